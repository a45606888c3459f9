/* SPDX-License-Identifier: GPL-2.0-or-later
 * FT, the Fourier transform of the NAS Parallel Benchmarks 3.3 (serial), written after their specification (NAS report
 * RNR-94-007): a diffusion equation on a periodic box, solved where its operator is diagonal, with the official test
 * values.  The whole timed part is one call on another node; the untimed first transform, which makes the table of
 * roots, stays at home, and so does the check.
 * Arguments: class (S, W, A, B); the node that works (default: the other one; "home" or -1: no migration). */
#include <npb.h>

enum {
    ITERATIONS_MAX = 20,
    LINES_MAX = 32,    /* lines transformed together, */
    POINTS_MAX = 8192, /* which have at most so many points in all */
    SAMPLES = 1024,    /* points in a checksum */
    FORWARD = 1,
    BACKWARD = -1,
};

struct complex {
    double re, im;
};

struct problem {
    int letter, n1_log2, n2_log2, n3_log2, iterations;
    struct complex sums[ITERATIONS_MAX];
};

static const struct problem problems[] = {
    {'S', 6, 6, 6, 6,
     {{5.546087004964e+02, 4.845363331978e+02},
      {5.546385409189e+02, 4.865304269511e+02},
      {5.546148406171e+02, 4.883910722336e+02},
      {5.545423607415e+02, 4.901273169046e+02},
      {5.544255039624e+02, 4.917475857993e+02},
      {5.542683411902e+02, 4.932597244941e+02}}},
    {'W', 7, 7, 5, 6,
     {{5.673612178944e+02, 5.293246849175e+02},
      {5.631436885271e+02, 5.282149986629e+02},
      {5.594024089970e+02, 5.270996558037e+02},
      {5.560698047020e+02, 5.260027904925e+02},
      {5.530898991250e+02, 5.249400845633e+02},
      {5.504159734538e+02, 5.239212247086e+02}}},
    {'A', 8, 8, 7, 6,
     {{5.046735008193e+02, 5.114047905510e+02},
      {5.059412319734e+02, 5.098809666433e+02},
      {5.069376896287e+02, 5.098144042213e+02},
      {5.077892868474e+02, 5.101336130759e+02},
      {5.085233095391e+02, 5.104914655194e+02},
      {5.091487099959e+02, 5.107917842803e+02}}},
    {'B', 9, 8, 8, 20,
     {{5.177643571579e+02, 5.077803458597e+02},
      {5.154521291263e+02, 5.088249431599e+02},
      {5.146409228649e+02, 5.096208912659e+02},
      {5.142378756213e+02, 5.101023387619e+02},
      {5.139626667737e+02, 5.103976610617e+02},
      {5.137423460082e+02, 5.105948019802e+02},
      {5.135547056878e+02, 5.107404165783e+02},
      {5.133910925466e+02, 5.108576573661e+02},
      {5.132470705390e+02, 5.109577278523e+02},
      {5.131197729984e+02, 5.110460304483e+02},
      {5.130070319283e+02, 5.111252433800e+02},
      {5.129070537032e+02, 5.111968077718e+02},
      {5.128182883502e+02, 5.112616233064e+02},
      {5.127393733383e+02, 5.113203605551e+02},
      {5.126691062020e+02, 5.113735928093e+02},
      {5.126064276004e+02, 5.114218460548e+02},
      {5.125504076570e+02, 5.114656139760e+02},
      {5.125002331720e+02, 5.115053595966e+02},
      {5.124551951846e+02, 5.115415130407e+02},
      {5.124146770029e+02, 5.115744692211e+02}}},
};

static const double pi = 3.141592653589793238, alpha = 1e-6, tolerance = 1e-12;

static const struct problem *problem;
static int n1, n2, n3;          /* points along each axis; those along the first are adjacent, */
static size_t row, slice;       /* and those along the second and third so far apart; a row ends with an unused point */
static struct complex *x, *y;   /* the field, and its transform, which evolves */
static double *decay;           /* of every component of the transform, from one time to the next */
static struct complex *roots;   /* of unity: roots[n + k] is e^(pi i k/n), for n = 1, 2, 4, ... and k < n */
static struct complex *work;    /* lines gathered from the field, */
static struct complex *scratch; /* and lines between two steps of their transforms */
static int home, calls_away;    /* the node where it began; timed parts done elsewhere */

/* e^(pi i numerator/denominator), 0 <= numerator < denominator: the angle as one of at most pi/4, and power series; the
 * same on every ISA, which libm does not promise. */
static struct complex root_of_unity(int numerator, int denominator)
{
    const double turns = (double)numerator / denominator;
    const double to_axis = turns > 0.5 ? 1 - turns : turns;
    const double angle = pi * (to_axis > 0.25 ? 0.5 - to_axis : to_axis), square = angle * angle;
    double cosine = 1, sine = 1;

    for (int i = 18; i > 0; i -= 2) {
        cosine = 1 - square / (i * (i - 1)) * cosine;
        sine = 1 - square / (i * (i + 1)) * sine;
    }
    sine *= angle;
    struct complex root = to_axis > 0.25 ? (struct complex){sine, cosine} : (struct complex){cosine, sine};
    if (turns > 0.5)
        root.re = -root.re;
    return root;
}

static void make_roots(int size)
{
    for (int n = 1; n < size; n *= 2)
        for (int k = 0; k < n; k++)
            roots[n + k] = root_of_unity(k, n);
}

/* e^exponent for exponents from -20 to 0, for the same reason: a power of 2 times a power series. */
static inline double exponential(double exponent)
{
    static const double factor[] = {
        1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
        1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
    };
    const double ln_2_high = 0x1.62e42fefa3800p-1, ln_2_low = 0x1.ef35793c76730p-45;
    const int halvings = (int)(0.5 - exponent / (ln_2_high + ln_2_low));
    const double rest = exponent + halvings * ln_2_high + halvings * ln_2_low;
    double sum = factor[13];

    for (int i = 12; i >= 0; i--)
        sum = factor[i] + rest * sum;
    return sum / (1 << halvings);
}

/* The frequency of a component: 0, 1, ..., n/2 - 1, -n/2, ..., -1. */
static inline int frequency(int i, int n)
{
    return i < n / 2 ? i : i - n;
}

static void make_decay(void)
{
    const double scale = -4 * alpha * pi * pi;

    for (int i3 = 0; i3 < n3; i3++)
        for (int i2 = 0; i2 < n2; i2++) {
            const int f3 = frequency(i3, n3), f2 = frequency(i2, n2), across = f3 * f3 + f2 * f2, points = n1;
            double *const to = decay + i3 * slice + i2 * row;

            for (int i1 = 0; i1 < points; i1++) {
                const int f1 = frequency(i1, points);

                to[i1] = exponential(scale * (f1 * f1 + across));
            }
        }
}

/* Random numbers, slice by slice: NPB jumps to the start of each, which is where the one before it ends. */
static void start_field(void)
{
    uint64_t seed = 314159265;

    for (int i3 = 0; i3 < n3; i3++)
        for (int i2 = 0; i2 < n2; i2++) {
            struct complex *const to = x + i3 * slice + i2 * row;

            for (int i1 = 0; i1 < n1; i1++) {
                to[i1].re = npb_random(&seed, npb_multiplier);
                to[i1].im = npb_random(&seed, npb_multiplier);
            }
        }
}

/* One step of Stockham's transform of `lines` lines of 2 * groups * size points.  Here and below, point i of line j is
 * at i * stride + j. */
__attribute__((noinline)) static void step(const struct complex *restrict from, size_t from_stride,
                                           struct complex *restrict to, size_t to_stride, int lines, int groups,
                                           int size, int direction)
{
    for (int i = 0; i < groups; i++) {
        const double re = roots[groups + i].re, im = direction * roots[groups + i].im;

        for (int k = i * size; k < (i + 1) * size; k++) {
            const struct complex *const low = from + k * from_stride;
            const struct complex *const high = from + (k + (size_t)groups * size) * from_stride;
            struct complex *const sum = to + (k + (size_t)i * size) * to_stride;
            struct complex *const turned = sum + size * to_stride;

            for (int j = 0; j < lines; j++) {
                const double difference_re = low[j].re - high[j].re, difference_im = low[j].im - high[j].im;

                sum[j].re = low[j].re + high[j].re;
                sum[j].im = low[j].im + high[j].im;
                turned[j].re = re * difference_re - im * difference_im;
                turned[j].im = re * difference_im + im * difference_re;
            }
        }
    }
}

/* Copy `lines` lines of n points. */
__attribute__((noinline)) static void copy(const struct complex *restrict from, size_t from_stride,
                                           struct complex *restrict to, size_t to_stride, int lines, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < lines; j++)
            to[i * to_stride + j] = from[i * from_stride + j];
}

/* The same from, and to, rows of the field. */
static void gather(const struct complex *restrict from, struct complex *restrict to, size_t to_stride, int lines)
{
    for (int j = 0; j < lines; j++)
        for (int i = 0; i < n1; i++)
            to[i * to_stride + j] = from[j * row + i];
}

static void scatter(const struct complex *restrict from, size_t from_stride, struct complex *restrict to, int lines)
{
    for (int j = 0; j < lines; j++)
        for (int i = 0; i < n1; i++)
            to[j * row + i] = from[i * from_stride + j];
}

/* Transform `lines` lines of n points in place. */
__attribute__((noinline)) static void transform_lines(struct complex *line, size_t stride, int lines, int n,
                                                      int direction)
{
    const size_t scratch_stride = LINES_MAX + 1;

    for (int groups = n / 2, size = 1; groups > 0; groups /= 4, size *= 4) {
        step(line, stride, scratch, scratch_stride, lines, groups, size, direction);
        if (groups == 1)
            copy(scratch, scratch_stride, line, stride, lines, n);
        else
            step(scratch, scratch_stride, line, stride, lines, groups / 2, size * 2, direction);
    }
}

/* How many lines of n points are transformed together; it divides the points along every axis. */
static inline int lines_together(int n)
{
    return POINTS_MAX / n < LINES_MAX ? POINTS_MAX / n : LINES_MAX;
}

/* Transform x along all axes.  The result is in `to`, which may be x itself; otherwise x is left half transformed. */
__attribute__((noinline)) static void transform(struct complex *to, int direction)
{
    int lines = lines_together(n1);

    for (int i3 = 0; i3 < n3; i3++)
        for (int i2 = 0; i2 < n2; i2 += lines) {
            struct complex *const from = x + i3 * slice + i2 * row;

            gather(from, work, lines + 1, lines);
            transform_lines(work, lines + 1, lines, n1, direction);
            scatter(work, lines + 1, from, lines);
        }
    lines = lines_together(n2);
    for (int i3 = 0; i3 < n3; i3++)
        for (int i1 = 0; i1 < n1; i1 += lines)
            transform_lines(x + i3 * slice + i1, row, lines, n2, direction);
    lines = lines_together(n3);
    for (int i2 = 0; i2 < n2; i2++)
        for (int i1 = 0; i1 < n1; i1 += lines) {
            const size_t first = i2 * row + i1;

            copy(x + first, slice, work, lines + 1, lines, n3);
            transform_lines(work, lines + 1, lines, n3, direction);
            copy(work, lines + 1, to + first, slice, lines, n3);
        }
}

/* The transform at the next time, and a copy in x. */
static void evolve(void)
{
    for (int i3 = 0; i3 < n3; i3++)
        for (int i2 = 0; i2 < n2; i2++) {
            const size_t first = i3 * slice + i2 * row;
            const double *const restrict factor = decay + first;
            struct complex *const restrict kept = y + first;
            struct complex *const restrict used = x + first;
            const int points = n1;

            for (int i1 = 0; i1 < points; i1++) {
                kept[i1].re *= factor[i1];
                kept[i1].im *= factor[i1];
                used[i1] = kept[i1];
            }
        }
}

static struct complex sum_of_samples(void)
{
    const double points = (double)n1 * n2 * n3;
    struct complex sum = {0, 0};

    for (int i = 1; i <= SAMPLES; i++) {
        const struct complex *const at = x + 5 * i % n3 * slice + 3 * i % n2 * row + i % n1;

        sum.re += at->re;
        sum.im += at->im;
    }
    return (struct complex){sum.re / points, sum.im / points};
}

/* What migrates, as npb_work wants it: the whole timed part. */
static void *solve_there(void *sums)
{
    make_decay();
    start_field();
    transform(y, FORWARD);
    for (int i = 0; i < problem->iterations; i++) {
        evolve();
        transform(x, BACKWARD);
        ((struct complex *)sums)[i] = sum_of_samples();
    }
    calls_away += current_node() != home;
    return sums;
}

static int verify(const struct complex *sums)
{
    int wrong = 0;

    for (int i = 0; i < problem->iterations; i++) {
        const struct complex right = problem->sums[i], error = {sums[i].re - right.re, sums[i].im - right.im};

        printf(" T = %4d     Checksum = %21.12E %21.12E\n", i + 1, sums[i].re, sums[i].im);
        wrong += !(error.re * error.re + error.im * error.im <=
                   tolerance * tolerance * (right.re * right.re + right.im * right.im));
    }
    return wrong == 0;
}

/* By the formula of NPB, which has the natural logarithm of the points. */
static double operations(void)
{
    const double points = (double)n1 * n2 * n3;
    const double ln_points = (problem->n1_log2 + problem->n2_log2 + problem->n3_log2) * 0.693147180559945309;

    return points * (14.8157 + 7.19641 * ln_points + (5.23518 + 7.21113 * ln_points) * problem->iterations);
}

static uint64_t checksum(const struct complex *sums)
{
    uint64_t hash = npb_hash_start;

    for (int i = 0; i < problem->iterations; i++)
        hash = npb_hash_double(npb_hash_double(hash, sums[i].re), sums[i].im);
    for (int i3 = 0; i3 < n3; i3++)
        for (int i2 = 0; i2 < n2; i2++) {
            const struct complex *const at = x + i3 * slice + i2 * row;

            for (int i1 = 0; i1 < n1; i1++)
                hash = npb_hash_double(npb_hash_double(hash, at[i1].re), at[i1].im);
        }
    return hash;
}

static void make_arrays(void)
{
    const int longer = n1 > n2 ? n1 : n2, longest = longer > n3 ? longer : n3;

    row = n1 + 1;
    slice = row * n2;
    x = npb_array(slice * n3, sizeof *x);
    y = npb_array(slice * n3, sizeof *y);
    decay = npb_array(slice * n3, sizeof *decay);
    roots = npb_array(longest, sizeof *roots);
    work = npb_array((size_t)longest * (LINES_MAX + 1), sizeof *work);
    scratch = npb_array((size_t)longest * (LINES_MAX + 1), sizeof *scratch);
    make_roots(longest);
}

int main(int argc, char **argv)
{
    struct npb_arguments given = npb_parse("ft", argc, argv);
    struct complex sums[ITERATIONS_MAX];
    char size[40];

    home = current_node();
    for (problem = problems; problem->letter != given.letter; problem++)
        ;
    n1 = 1 << problem->n1_log2;
    n2 = 1 << problem->n2_log2;
    n3 = 1 << problem->n3_log2;
    make_arrays();
    snprintf(size, sizeof size, "%dx%dx%d", n1, n2, n3);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-SER) - FT Benchmark\n\n");
    printf(" Size:  %s  (class %c)\n Iterations:   %d\n\n", size, problem->letter, problem->iterations);
    start_field();
    transform(y, FORWARD);
    double time = npb_timed_work(given.target, solve_there, sums);
    return npb_report("FT", problem->letter, size, problem->iterations, time, operations(), "floating point",
                      verify(sums), calls_away, checksum(sums));
}
