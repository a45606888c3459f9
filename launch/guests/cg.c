/* SPDX-License-Identifier: GPL-2.0-or-later
 * CG, the conjugate gradients of the NAS Parallel Benchmarks 3.3 (serial), written after their specification (NAS
 * report RNR-94-007): same random sparse matrix, same order of every sum, same official test values.  The power method
 * estimates an eigenvalue (zeta) of the matrix by solving a system with it again and again.  Each timed solution is
 * computed on another node; the matrix is made and the solutions are normalized at home, and the untimed first
 * iteration stays there too.
 * Arguments: class (S, W, A, B); the node that solves (default: the other one; "home" or -1: no migration). */
#include <math.h>
#include <npb.h>

enum { CG_ITERATIONS = 25 };

struct problem {
    int letter, order, nonzer, iterations;
    double shift, zeta;
};

static const struct problem problems[] = {
    {'S', 1400, 7, 15, 10, 8.5971775078648},
    {'W', 7000, 8, 15, 12, 10.362595087124},
    {'A', 14000, 11, 15, 20, 17.130235054029},
    {'B', 75000, 13, 75, 60, 22.712745482631},
};

static const double smallest_weight = 0.1, ln_smallest_weight = -2.302585092994045684, tolerance = 1e-10;

/* The matrix is a weighted sum of outer products v v^T of `order` sparse vectors, the seeds. */
static const struct problem *problem;
static int order, seed_capacity; /* a seed has at most nonzer + 1 nonzeros */
static int *seed_size;           /* of every seed, how many it has */
static int *seed_position;       /* seed_capacity for every seed */
static double *seed_value;
static double *a;                        /* the matrix: nonzeros, row by row */
static int *column, *row_start;          /* of every nonzero; of every row and the end */
static int *row_size;                    /* while the matrix is made */
static double *x, *z, *p, *q, *residual; /* named as in the specification, where `residual` is r */
static uint64_t checksum = npb_hash_start;
static int home, solutions_away;

/* A seed: nonzer random values at different random positions, and 0.5 at its own number.  Returns its size. */
static int make_seed(uint64_t *random, int number, int range, int *position, double *value)
{
    int size = 0;

    while (size < problem->nonzer) {
        double drawn = npb_random(random, npb_multiplier);
        int place = (int)(range * npb_random(random, npb_multiplier)), known = 0;

        if (place >= order)
            continue;
        while (known < size && position[known] != place)
            known++;
        if (known < size)
            continue;
        position[size] = place;
        value[size++] = drawn;
    }
    for (int i = 0; i < size; i++)
        if (position[i] == number) {
            value[i] = 0.5;
            return size;
        }
    position[size] = number;
    value[size++] = 0.5;
    return size;
}

static void make_seeds(uint64_t *random)
{
    int range = 2;

    while (range < order)
        range *= 2;
    for (int i = 0; i < order; i++) {
        size_t first = (size_t)i * seed_capacity;

        seed_size[i] = make_seed(random, i, range, seed_position + first, seed_value + first);
    }
}

/* Room in each row for all that will be added to it, as if no two were in the same column. */
static void reserve_rows(void)
{
    for (int i = 0; i < order; i++)
        for (int k = 0; k < seed_size[i]; k++)
            row_start[seed_position[(size_t)i * seed_capacity + k] + 1] += seed_size[i];
    for (int row = 0; row < order; row++)
        row_start[row + 1] += row_start[row];
}

/* Add to one element of the matrix.  The columns of a row ascend. */
static void add(int row, int where, double value)
{
    double *const values = a + row_start[row];
    int *const columns = column + row_start[row];
    int low = 0, high = row_size[row];

    while (low < high) {
        int middle = (low + high) / 2;

        if (columns[middle] < where)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == row_size[row] || columns[low] != where) {
        for (int i = row_size[row]++; i > low; i--) {
            values[i] = values[i - 1];
            columns[i] = columns[i - 1];
        }
        values[low] = 0;
        columns[low] = where;
    }
    values[low] += value;
}

/* e^exponent for an exponent near 0: for the orders above the nearest double, and the same on every ISA, which libm
 * does not promise. */
static double exp_small(double exponent)
{
    double sum = 1;

    for (int i = 8; i > 0; i--)
        sum = 1 + exponent / i * sum;
    return sum;
}

/* The weights of the outer products fall from 1 to 0.1, which is also added to the diagonal, less the shift. */
static void add_outer_products(void)
{
    const double ratio = exp_small(ln_smallest_weight / order);
    double weight = 1;

    for (int i = 0; i < order; i++, weight *= ratio) {
        const int *position = seed_position + (size_t)i * seed_capacity;
        const double *value = seed_value + (size_t)i * seed_capacity;

        for (int k = 0; k < seed_size[i]; k++) {
            double scale = weight * value[k];

            for (int l = 0; l < seed_size[i]; l++) {
                double product = value[l] * scale;

                if (position[k] == i && position[l] == i)
                    product = product + smallest_weight - problem->shift;
                add(position[k], position[l], product);
            }
        }
    }
}

/* Close the gaps that elements added more than once left at the ends of rows. */
static void pack_rows(void)
{
    int end = 0;

    for (int row = 0; row < order; row++) {
        int from = row_start[row];

        row_start[row] = end;
        for (int i = 0; i < row_size[row]; i++, end++) {
            a[end] = a[from + i];
            column[end] = column[from + i];
        }
    }
    row_start[order] = end;
}

static void make_matrix(void)
{
    uint64_t random = 314159265;

    npb_random(&random, npb_multiplier); /* NPB draws one number before those of the matrix */
    make_seeds(&random);
    reserve_rows();
    add_outer_products();
    pack_rows();
}

/* to = A from */
static void multiply(const double *restrict from, double *restrict to)
{
    const double *const values = a;
    const int *const columns = column, *const start = row_start;
    const int rows = order;

    for (int row = 0; row < rows; row++) {
        const int end = start[row + 1];
        double sum = 0;

        for (int i = start[row]; i < end; i++)
            sum += values[i] * from[columns[i]];
        to[row] = sum;
    }
}

static double dot(const double *u, const double *v)
{
    const int n = order;
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += u[i] * v[i];
    return sum;
}

/* Solve A z = x, nearly.  Returns ||x - A z||. */
static double solve(void)
{
    const int n = order;
    const double *const goal = x;
    double *const solution = z, *const direction = p, *const image = q, *const r = residual;
    double rho, sum = 0;

    for (int i = 0; i < n; i++) {
        image[i] = 0;
        solution[i] = 0;
        r[i] = goal[i];
        direction[i] = r[i];
    }
    rho = dot(r, r);
    for (int step = 0; step < CG_ITERATIONS; step++) {
        multiply(direction, image);
        const double rho_before = rho, alpha = rho / dot(direction, image);
        for (int i = 0; i < n; i++) {
            solution[i] += alpha * direction[i];
            r[i] -= alpha * image[i];
        }
        rho = dot(r, r);
        const double beta = rho / rho_before;
        for (int i = 0; i < n; i++)
            direction[i] = r[i] + beta * direction[i];
    }
    multiply(solution, r);
    for (int i = 0; i < n; i++) {
        const double difference = goal[i] - r[i];

        sum += difference * difference;
    }
    return sqrt(sum);
}

/* What migrates, as npb_work wants it. */
static void *solve_there(void *norm)
{
    *(double *)norm = solve();
    solutions_away += current_node() != home;
    return norm;
}

static void start_vector(void)
{
    for (int i = 0; i < order; i++)
        x[i] = 1;
}

/* Make the normalized solution the next x.  Returns the estimate, zeta. */
static double normalize(void)
{
    const int n = order;
    const double *const solution = z;
    double *const next = x;
    double product = 0, square = 0;

    for (int i = 0; i < n; i++) {
        product += next[i] * solution[i];
        square += solution[i] * solution[i];
    }
    const double scale = 1 / sqrt(square);
    for (int i = 0; i < n; i++)
        next[i] = scale * solution[i];
    return problem->shift + 1 / product;
}

/* The timed iterations; what they took. */
static double iterate(int target, double *zeta)
{
    double norm;

    region_begin(NPB_TIMED);
    double start = npb_seconds();
    for (int iteration = 1; iteration <= problem->iterations; iteration++) {
        npb_work(target, solve_there, &norm);
        *zeta = normalize();
        if (iteration == 1)
            printf("\n   iteration           ||r||                 zeta\n");
        printf("    %5d       %20.14E%20.13f\n", iteration, norm, *zeta);
        checksum = npb_hash_double(checksum, *zeta);
    }
    double time = npb_seconds() - start;
    region_end(NPB_TIMED);
    return time;
}

static int verify(double zeta)
{
    const double error = fabs(zeta - problem->zeta) / problem->zeta;

    printf("\n Zeta is    %20.13E\n Error is   %20.13E\n", zeta, error);
    return error <= tolerance;
}

/* By the formula of NPB. */
static double operations(void)
{
    const double nonzeros = problem->nonzer * (problem->nonzer + 1);

    return 2.0 * problem->iterations * order * (3 + nonzeros + CG_ITERATIONS * (5 + nonzeros) + 3);
}

static void make_arrays(void)
{
    const size_t seeds = (size_t)order * seed_capacity, nonzeros = seeds * seed_capacity;

    seed_size = npb_array(order, sizeof *seed_size);
    seed_position = npb_array(seeds, sizeof *seed_position);
    seed_value = npb_array(seeds, sizeof *seed_value);
    a = npb_array(nonzeros, sizeof *a);
    column = npb_array(nonzeros, sizeof *column);
    row_start = npb_array(order + 1, sizeof *row_start);
    row_size = npb_array(order, sizeof *row_size);
    x = npb_array(order, sizeof *x);
    z = npb_array(order, sizeof *z);
    p = npb_array(order, sizeof *p);
    q = npb_array(order, sizeof *q);
    residual = npb_array(order, sizeof *residual);
}

int main(int argc, char **argv)
{
    struct npb_arguments given = npb_parse("cg", argc, argv);
    double zeta = 0;
    char size[16];

    home = current_node();
    for (problem = problems; problem->letter != given.letter; problem++)
        ;
    order = problem->order;
    seed_capacity = problem->nonzer + 1;
    make_arrays();
    snprintf(size, sizeof size, "%d", order);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-SER) - CG Benchmark\n\n");
    printf(" Size: %11d  (class %c)\n Iterations: %5d\n", order, problem->letter, problem->iterations);
    make_matrix();
    start_vector();
    solve();
    normalize();
    start_vector();
    double time = iterate(given.target, &zeta);
    int verified = verify(zeta);
    for (int i = 0; i < order; i++)
        checksum = npb_hash_double(checksum, x[i]);
    return npb_report("CG", problem->letter, size, problem->iterations, time, operations(), "floating point", verified,
                      solutions_away, checksum);
}
