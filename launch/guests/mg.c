/* SPDX-License-Identifier: GPL-2.0-or-later
 * MG, the multigrid kernel of the NAS Parallel Benchmarks 3.3 (serial), written after their specification (NAS report
 * RNR-94-007): V-cycles for a discrete Poisson equation on a periodic cube, with the official test values.  The whole
 * timed part is one call on another node; the untimed first cycle and both initialisations stay at home, and so does
 * the check.  Sums are in the order of NPB, so that results are the same bits everywhere.
 * Arguments: class (S, W, A, B); the node that works (default: the other one; "home" or -1: no migration). */
#include <math.h>
#include <npb.h>

enum {
    BOTTOM = 1,               /* the coarsest level; level k has 2^k points a side, and a ghost point at either end */
    TOP_MAX = 8,              /* the finest level of any class */
    CHARGES = 10,             /* points where the right-hand side is +1, and where it is -1 */
    LINE = 3 + (1 << TOP_MAX) /* room for one line of a grid, as long as NPB has it */
};

/* Stencils are the same in all directions: a coefficient for the point itself, for its 6 neighbours across faces, for
 * the 12 across edges, for the 8 across corners.  Those which are zero in every class are not here. */
struct problem {
    int letter, top, iterations;
    double self, face, edge; /* of the smoother */
    double norm;             /* of the last residual */
};

static const struct problem problems[] = {
    {'S', 5, 4, -3.0 / 8, 1.0 / 32, -1.0 / 64, 0.5307707005734e-04},
    {'W', 7, 4, -3.0 / 8, 1.0 / 32, -1.0 / 64, 0.6467329375339e-05},
    {'A', 8, 4, -3.0 / 8, 1.0 / 32, -1.0 / 64, 0.2433365309069e-05},
    {'B', 8, 20, -3.0 / 17, 1.0 / 33, -1.0 / 61, 0.1800564401355e-05},
};
static const double operator_self = -8.0 / 3, operator_edge = 1.0 / 6, operator_corner = 1.0 / 12;

struct norms {
    double root_mean_square, greatest;
};

static const struct problem *problem;
static int top;                    /* the finest level of this class */
static int sides[TOP_MAX + 1];     /* points a side, with ghosts, by level */
static size_t starts[TOP_MAX + 1]; /* where a level is in u and r */
static double *u, *r;              /* solution and residual: all levels, the finest first */
static double *v;                  /* right-hand side: finest level only */
static int home, calls_away;       /* the node where it began; timed parts done elsewhere */

static size_t volume(int side)
{
    return (size_t)side * side * side;
}

/* The line of points (i3, i2, ...). */
static inline double *line(double *grid, int side, int i3, int i2)
{
    return grid + ((size_t)i3 * side + i2) * side;
}

/* Copy opposite sides into the ghost points, axis by axis.  Compilers inline it for some ISAs only, and a program for
 * several ISAs may be refused for that. */
__attribute__((noinline)) static void wrap(double *grid, int side)
{
    const int last = side - 1;
    const size_t plane = (size_t)side * side;

    for (int i3 = 1; i3 < last; i3++)
        for (int i2 = 1; i2 < last; i2++) {
            double *const at = line(grid, side, i3, i2);

            at[0] = at[last - 1];
            at[last] = at[1];
        }
    for (int i3 = 1; i3 < last; i3++) {
        double *const low = line(grid, side, i3, 0), *const high = line(grid, side, i3, last);

        for (int i1 = 0; i1 < side; i1++) {
            low[i1] = high[i1 - side];
            high[i1] = low[i1 + side];
        }
    }
    for (int i2 = 0; i2 < side; i2++) {
        double *const low = line(grid, side, 0, i2), *const high = line(grid, side, last, i2);

        for (int i1 = 0; i1 < side; i1++) {
            low[i1] = (high - plane)[i1];
            high[i1] = (low + plane)[i1];
        }
    }
}

/* Sums over the neighbours of each point of a line that are in the plane across the line: the four nearest, and the
 * four on its diagonals. */
static inline void sum_across(const double *at, int side, double *near, double *diagonal)
{
    const double *const below = at - (size_t)side * side, *const above = at + (size_t)side * side;

    for (int i1 = 0; i1 < side; i1++) {
        near[i1] = at[i1 - side] + at[i1 + side] + below[i1] + above[i1];
        diagonal[i1] = below[i1 - side] + below[i1 + side] + above[i1 - side] + above[i1 + side];
    }
}

/* residual = right - A solution; the first two may be the same grid. */
static void find_residual(double *residual, double *right, double *solution, int side)
{
    double near[LINE], diagonal[LINE];

    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++) {
            const double *const from = line(solution, side, i3, i2), *const wanted = line(right, side, i3, i2);
            double *const to = line(residual, side, i3, i2);

            sum_across(from, side, near, diagonal);
            for (int i1 = 1; i1 < side - 1; i1++)
                to[i1] = wanted[i1] - operator_self * from[i1] -
                         operator_edge * (diagonal[i1] + near[i1 - 1] + near[i1 + 1]) -
                         operator_corner * (diagonal[i1 - 1] + diagonal[i1 + 1]);
        }
    wrap(residual, side);
}

/* solution += S residual. */
static void smooth(double *solution, double *residual, int side)
{
    const double self = problem->self, face = problem->face, edge = problem->edge;
    double near[LINE], diagonal[LINE];

    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++) {
            const double *const from = line(residual, side, i3, i2);
            double *const to = line(solution, side, i3, i2);

            sum_across(from, side, near, diagonal);
            for (int i1 = 1; i1 < side - 1; i1++)
                to[i1] = to[i1] + self * from[i1] + face * (from[i1 - 1] + from[i1 + 1] + near[i1]) +
                         edge * (diagonal[i1] + near[i1 - 1] + near[i1 + 1]);
        }
    wrap(solution, side);
}

static inline double near_sum(const double *at, int side, size_t plane)
{
    return *(at - side) + *(at + side) + *(at - plane) + *(at + plane);
}

/* As in sum_across, but in another order. */
static inline double diagonal_sum(const double *at, int side, size_t plane)
{
    const double *const below = at - plane, *const above = at + plane;

    return *(below - side) + *(above - side) + *(below + side) + *(above + side);
}

/* The grid of half the side whose points are weighted means of 27 points here. */
static void restrict_to(double *coarse, int coarse_side, double *fine, int side)
{
    const size_t plane = (size_t)side * side;
    double near[LINE], diagonal[LINE];

    for (int j3 = 1; j3 < coarse_side - 1; j3++)
        for (int j2 = 1; j2 < coarse_side - 1; j2++) {
            const double *const from = line(fine, side, 2 * j3, 2 * j2);
            double *const to = line(coarse, coarse_side, j3, j2);

            for (int i1 = 1; i1 < side; i1 += 2) {
                near[i1] = near_sum(from + i1, side, plane);
                diagonal[i1] = diagonal_sum(from + i1, side, plane);
            }
            for (int j1 = 1; j1 < coarse_side - 1; j1++) {
                const int i1 = 2 * j1;
                const double diagonal_here = diagonal_sum(from + i1, side, plane);
                const double near_here = near_sum(from + i1, side, plane);

                to[j1] = 0.5 * from[i1] + 0.25 * (from[i1 - 1] + from[i1 + 1] + near_here) +
                         0.125 * (near[i1 - 1] + near[i1 + 1] + diagonal_here) +
                         0.0625 * (diagonal[i1 - 1] + diagonal[i1 + 1]);
            }
        }
    wrap(coarse, coarse_side);
}

/* Add a line of the coarse grid, or a sum of such lines, to a line of the fine grid. */
static inline void add_line(double *to, const double *from, int intervals, double weight)
{
    for (int i1 = 0; i1 < intervals; i1++) {
        to[2 * i1] += weight * from[i1];
        to[2 * i1 + 1] += 0.5 * weight * (from[i1] + from[i1 + 1]);
    }
}

/* fine += coarse, linearly between its points. */
static void interpolate(double *fine, int side, double *coarse, int coarse_side)
{
    const size_t plane = (size_t)side * side;
    const int last = coarse_side - 1;
    double two[LINE], two_up[LINE], four[LINE];

    for (int j3 = 0; j3 < last; j3++)
        for (int j2 = 0; j2 < last; j2++) {
            const double *const at = line(coarse, coarse_side, j3, j2), *const next = at + coarse_side;
            const double *const above = line(coarse, coarse_side, j3 + 1, j2), *const above_next = above + coarse_side;
            double *const to = line(fine, side, 2 * j3, 2 * j2);

            for (int j1 = 0; j1 < coarse_side; j1++) {
                two[j1] = next[j1] + at[j1];
                two_up[j1] = above[j1] + at[j1];
                four[j1] = above_next[j1] + above[j1] + two[j1];
            }
            add_line(to, at, last, 1);
            add_line(to + side, two, last, 0.5);
            add_line(to + plane, two_up, last, 0.5);
            add_line(to + plane + side, four, last, 0.25);
        }
}

/* Root mean square, and greatest absolute value. */
static struct norms norms_of(double *grid, int side)
{
    const double points = volume(side - 2);
    double sum = 0, greatest = 0;

    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++) {
            const double *const at = line(grid, side, i3, i2);

            for (int i1 = 1; i1 < side - 1; i1++) {
                const double size = fabs(at[i1]);

                sum += at[i1] * at[i1];
                if (size > greatest)
                    greatest = size;
            }
        }
    return (struct norms){sqrt(sum / points), greatest};
}

static void clear(double *grid, int side)
{
    memset(grid, 0, volume(side) * sizeof *grid);
}

/* One V-cycle: residuals down to the coarsest grid, corrections up again. */
static void cycle(void)
{
    for (int level = top; level > BOTTOM; level--)
        restrict_to(r + starts[level - 1], sides[level - 1], r + starts[level], sides[level]);
    clear(u + starts[BOTTOM], sides[BOTTOM]);
    smooth(u + starts[BOTTOM], r + starts[BOTTOM], sides[BOTTOM]);
    for (int level = BOTTOM + 1; level <= top; level++) {
        double *const solution = u + starts[level], *const residual = r + starts[level];
        const int side = sides[level];

        if (level < top)
            clear(solution, side);
        interpolate(solution, side, u + starts[level - 1], sides[level - 1]);
        find_residual(residual, level < top ? residual : v, solution, side);
        smooth(solution, residual, side);
    }
}

struct place {
    double value;
    size_t index;
};

/* Replace the least of the places, which ascend, by this greater one. */
static void keep(struct place *places, double value, size_t index)
{
    int i;

    for (i = 0; i < CHARGES - 1 && places[i + 1].value < value; i++)
        places[i] = places[i + 1];
    places[i] = (struct place){value, index};
}

/* Random numbers in all points; then +1 where the greatest were, -1 where the least were, and 0 elsewhere. */
static void make_right_side(void)
{
    const int side = sides[top];
    struct place greatest[CHARGES] = {{0}}, least[CHARGES];
    uint64_t seed = 314159265;

    clear(v, side);
    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++)
            for (int i1 = 1; i1 < side - 1; i1++)
                line(v, side, i3, i2)[i1] = npb_random(&seed, npb_multiplier);
    for (int i = 0; i < CHARGES; i++)
        least[i] = (struct place){-1, 0}; /* of negated values */
    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++) {
            const double *const at = line(v, side, i3, i2);

            for (int i1 = 1; i1 < side - 1; i1++) {
                if (at[i1] > greatest[0].value)
                    keep(greatest, at[i1], &at[i1] - v);
                if (-at[i1] > least[0].value)
                    keep(least, -at[i1], &at[i1] - v);
            }
        }
    clear(v, side);
    for (int i = 0; i < CHARGES; i++) {
        v[least[i].index] = -1;
        v[greatest[i].index] = 1;
    }
    wrap(v, side);
}

static void initialise(void)
{
    clear(u, sides[top]);
    make_right_side();
}

static void make_grids(void)
{
    size_t points = 0;

    top = problem->top;
    for (int level = top; level >= BOTTOM; level--) {
        sides[level] = 2 + (1 << level);
        starts[level] = points;
        points += volume(sides[level]);
    }
    u = npb_array(points, sizeof *u);
    v = npb_array(volume(sides[top]), sizeof *v);
    r = npb_array(points, sizeof *r);
}

/* Norms of the residual. */
struct outcome {
    struct norms first, last;
};

static void solve(struct outcome *outcome, int iterations)
{
    const int side = sides[top];

    find_residual(r, v, u, side);
    outcome->first = norms_of(r, side);
    for (int i = 0; i < iterations; i++) {
        cycle();
        find_residual(r, v, u, side);
    }
    outcome->last = norms_of(r, side);
}

/* What migrates, as npb_work wants it. */
static void *solve_there(void *outcome)
{
    solve(outcome, problem->iterations);
    calls_away += current_node() != home;
    return outcome;
}

static int verify(double norm)
{
    const double error = fabs(norm - problem->norm) / problem->norm;

    printf(" L2 norm is %20.13e\n Expected   %20.13e\n Error is   %20.13e\n", norm, problem->norm, error);
    return error <= 1e-8;
}

static uint64_t checksum(double norm)
{
    const int side = sides[top];
    uint64_t hash = npb_hash_double(npb_hash_start, norm);

    for (int i3 = 1; i3 < side - 1; i3++)
        for (int i2 = 1; i2 < side - 1; i2++) {
            const double *const at = line(u, side, i3, i2);

            for (int i1 = 1; i1 < side - 1; i1++)
                hash = npb_hash_double(hash, at[i1]);
        }
    return hash;
}

int main(int argc, char **argv)
{
    struct npb_arguments given = npb_parse("mg", argc, argv);
    struct outcome outcome;
    char size[40];

    home = current_node();
    for (problem = problems; problem->letter != given.letter; problem++)
        ;
    make_grids();
    const int points = 1 << top, iterations = problem->iterations;
    snprintf(size, sizeof size, "%dx%dx%d", points, points, points);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-SER) - MG Benchmark\n\n");
    printf(" Size:  %s  (class %c)\n Iterations:   %d\n\n", size, problem->letter, iterations);
    initialise();
    solve(&outcome, 1);
    initialise();
    double time = npb_timed_work(given.target, solve_there, &outcome);
    printf(" First residual: L2 norm %20.13e, maximum %20.13e\n", outcome.first.root_mean_square,
           outcome.first.greatest);
    printf(" Last residual:  L2 norm %20.13e, maximum %20.13e\n\n", outcome.last.root_mean_square,
           outcome.last.greatest);
    return npb_report("MG", problem->letter, size, iterations, time, 58.0 * iterations * points * points * points,
                      "floating point", verify(outcome.last.root_mean_square), calls_away,
                      checksum(outcome.last.root_mean_square));
}
