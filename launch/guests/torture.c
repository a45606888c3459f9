/* SPDX-License-Identifier: GPL-2.0-or-later
 * Several threads wander over all nodes at once, by nested calls up to four deep, and use there what they got
 * elsewhere: heap blocks, mappings that are protected, replaced and unmapped, locks taken on one node and given back on
 * another, parcels for the next thread, a token that goes round, a barrier.  What a thread computes depends neither on
 * the nodes nor on who runs first, so the same plan done in plain arithmetic, without memory, threads or migration,
 * gives the checksum that it must have.  Arguments: seed, threads, steps of each thread. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <stramash.h>

enum {
    SEED = 1,
    THREADS = 4,
    THREADS_MAX = 16,
    STEPS = 48,
    STEPS_MAX = 1000000,
    STEPS_PER_ROUND = 8, /* then the threads meet */
    NODES_MAX = 64,
    DEPTH_MAX = 4,
    SLOTS = 4, /* blocks and mappings that a thread keeps */
    ACCOUNTS = 3,
    PAGE_BYTES = 4096,
    PAGES_MAX = 8,
    WORDS_PER_PAGE = 4, /* touched */
    WORD_STRIDE = PAGE_BYTES / WORDS_PER_PAGE / sizeof(uint64_t),
    PARCEL_WORDS_MAX = 700,
};

enum kind { BLOCK, REGION, TREE, ACCOUNT, KINDS };

struct step {
    enum kind kind;
    unsigned slot, size, descent; /* descent: so many calls before it begins */
    uint64_t seed;
};

struct block {
    uint64_t *word, seed;
    unsigned count;
};

/* Mapped memory: the first half keeps what it had, the second was replaced by fresh pages. */
struct region {
    uint64_t *word, seed;
    unsigned pages;
};

/* What one thread gives to the next: from the heap, or mapped. */
struct parcel {
    uint64_t *word;
    unsigned count;
    int mapped;
};

struct walker {
    unsigned number;
    uint64_t plan, route; /* random: what to do; where */
    uint64_t checksum, expected;
    uint64_t calls;
    unsigned depth;
    const char *failure; /* the first */
    struct block block[SLOTS];
    struct region region[SLOTS];
    struct parcel parcel;
    pthread_t thread;
};

/* What can be done on another node. */
typedef uint64_t deed(struct walker *walker, void *data);

/* In the caller's frame. */
struct call {
    struct walker *walker;
    deed *deed;
    void *data;
    uint64_t value;
    int node, error;
};

struct branch {
    uint64_t seed;
    unsigned levels;
    uint64_t *sum; /* of a frame further up */
};

static struct {
    pthread_mutex_t mutex;
    uint64_t sum;
    unsigned owner;
} account[ACCOUNTS];

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct parcel parcel;
} box[THREADS_MAX];

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint64_t turn, value;
} token;

static pthread_barrier_t barrier;
static uint64_t published[2][THREADS_MAX]; /* by odd and even rounds: one barrier a round is enough */
static struct walker walkers[THREADS_MAX];
static struct walker starter; /* the main thread */
static unsigned threads, steps;
static uint64_t seed;
static int nodes[NODES_MAX];
static unsigned nodes_count;
static uint64_t deposits; /* into all accounts, by the plan */
static _Thread_local uint64_t arrivals;

/* A random number that depends on all of x. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t turned(uint64_t x)
{
    return mix(x << 19 | x >> 45);
}

static uint64_t negated(uint64_t x)
{
    return mix(~x);
}

static uint64_t (*const variants[])(uint64_t) = {mix, turned, negated};

/* xorshift64; the state is never 0. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void draw_step(uint64_t *plan, struct step *step)
{
    uint64_t random = mix(draw(plan));

    step->kind = random % KINDS;
    step->slot = (random >> 8) % SLOTS;
    step->size = (random >> 16) % 65536;
    step->descent = (random >> 40) % 3;
    step->seed = draw(plan);
}

/* Most blocks are small; some are so large that the heap maps them. */
static unsigned block_words(const struct step *step)
{
    return (1 + step->size % 1000) * (step->size % 8 == 0 ? 24 : 1);
}

static unsigned region_pages(const struct step *step)
{
    return 2 + step->size % (PAGES_MAX - 1);
}

static uint64_t fold(uint64_t sum, uint64_t word)
{
    return sum * 31 + word;
}

/* ---- The plan in plain arithmetic. ---- */

struct shadow {
    struct block block[SLOTS]; /* without their memory */
    struct region region[SLOTS];
};

static uint64_t plain_words(uint64_t first, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum = fold(sum, mix(first + i));
    return sum;
}

static uint64_t plain_region(const struct region *region)
{
    unsigned half = region->pages / 2;

    return plain_words(region->seed, half * WORDS_PER_PAGE) +
           plain_words(~region->seed, (region->pages - half) * WORDS_PER_PAGE);
}

static uint64_t plain_tree(uint64_t from, unsigned levels)
{
    uint64_t sum = variants[from % 3](from);

    for (unsigned child = 0; levels > 0 && child < 2; child++)
        sum = fold(sum, plain_tree(mix(from + child), levels - 1));
    return sum + (uint64_t)(sqrt((double)(from >> 40)) * 1024);
}

static unsigned tree_levels(const struct step *step)
{
    return step->size % (DEPTH_MAX + 1);
}

/* How often the seeds of all branches were added to the sum at the top. */
static uint64_t plain_leaves(uint64_t from, unsigned levels)
{
    uint64_t sum = from;

    for (unsigned child = 0; levels > 0 && child < 2; child++)
        sum += plain_leaves(mix(from + child), levels - 1);
    return sum;
}

static uint64_t plain_step(struct shadow *shadow, const struct step *step)
{
    struct block *block = &shadow->block[step->slot];
    struct region *region = &shadow->region[step->slot];
    uint64_t value;

    switch (step->kind) {
    case BLOCK:
        value = plain_words(block->seed, block->count);
        block->seed = step->seed;
        block->count = block_words(step);
        return value;
    case REGION:
        value = plain_region(region);
        region->seed = step->seed;
        region->pages = region_pages(step);
        return value + plain_words(region->seed, region->pages / 2 * WORDS_PER_PAGE);
    case TREE:
        return plain_tree(step->seed, tree_levels(step)) ^ plain_leaves(step->seed, tree_levels(step));
    default:
        deposits += step->seed >> 32;
        return step->seed;
    }
}

static uint64_t parcel_seed(unsigned sender, unsigned round)
{
    return mix(seed + ((uint64_t)round * THREADS_MAX + sender) * 977);
}

static unsigned parcel_words(uint64_t from)
{
    return 1 + from % PARCEL_WORDS_MAX;
}

static uint64_t plain_parcel(unsigned receiver, unsigned round)
{
    uint64_t from = parcel_seed((receiver + threads - 1) % threads, round);

    return plain_words(from, parcel_words(from));
}

static unsigned rounds(void)
{
    return (steps + STEPS_PER_ROUND - 1) / STEPS_PER_ROUND;
}

static unsigned steps_in(unsigned round)
{
    unsigned done = round * STEPS_PER_ROUND;

    return steps - done < STEPS_PER_ROUND ? steps - done : STEPS_PER_ROUND;
}

static uint64_t first_plan(unsigned number)
{
    return mix(seed * 1000003 + number) | 1;
}

/* All threads in turn, a round at a time, as they meet after each. */
static void plain_walk(void)
{
    static struct shadow shadow[THREADS_MAX];
    uint64_t plan[THREADS_MAX], value = 0;

    for (unsigned i = 0; i < threads; i++)
        plan[i] = first_plan(i);
    for (unsigned round = 0; round < rounds(); round++) {
        uint64_t all = 0;

        for (unsigned i = 0; i < threads; i++) {
            uint64_t *sum = &walkers[i].expected;

            for (unsigned n = 0; n < steps_in(round); n++) {
                struct step step;

                draw_step(&plan[i], &step);
                *sum = mix(*sum ^ plain_step(&shadow[i], &step));
            }
            all += *sum = mix(*sum ^ plain_parcel(i, round));
            value = mix(value + *sum);
            *sum ^= value;
        }
        for (unsigned i = 0; i < threads; i++)
            walkers[i].expected = mix(walkers[i].expected + all);
    }
    for (unsigned i = 0; i < threads; i++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            const struct block *block = &shadow[i].block[slot];

            walkers[i].expected += plain_words(block->seed, block->count);
            walkers[i].expected += plain_region(&shadow[i].region[slot]);
        }
}

/* ---- The same with everything that can go wrong. ---- */

static void require(struct walker *walker, int good, const char *otherwise)
{
    if (!good && walker->failure == NULL)
        walker->failure = otherwise;
}

/* Entered on the other node. */
static void *arrive(void *argument)
{
    struct call *call = argument;

    require(call->walker, current_node() == call->node, "a call ran on the wrong node");
    arrivals++;
    call->value = call->deed(call->walker, call->data);
    errno = call->error;
    return call;
}

/* Do it on a node by chance, which may be this one; as deep as allowed, here. */
static uint64_t elsewhere(struct walker *walker, deed *deed, void *data)
{
    struct call call = {.walker = walker, .deed = deed, .data = data};
    int here, error;
    void *result;

    if (walker->depth == DEPTH_MAX)
        return deed(walker, data);
    here = current_node();
    call.node = nodes_count > 0 ? nodes[draw(&walker->route) % nodes_count] : here;
    call.error = 1 + walker->calls % 30;
    walker->calls++;
    walker->depth++;
    result = migrate_call(call.node, arrive, &call);
    error = errno;
    walker->depth--;
    require(walker, result == &call, "a call did not come back");
    require(walker, error == call.error, "errno set by a call was lost");
    require(walker, current_node() == here, "a call came back to another node");
    return call.value;
}

static void fill(uint64_t *word, unsigned stride, uint64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        word[(size_t)i * stride] = mix(first + i);
}

static uint64_t read_words(const uint64_t *word, unsigned stride, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum = fold(sum, word[(size_t)i * stride]);
    return sum;
}

/* Heap blocks: allocated, grown, read and freed on as many nodes. */

static uint64_t allocate_block(struct walker *walker, void *data)
{
    struct block *block = data;

    block->word = malloc((block->count + 1) / 2 * sizeof *block->word);
    require(walker, block->word != NULL, "malloc failed");
    return 0;
}

static uint64_t fill_block(struct walker *walker, void *data)
{
    struct block *block = data;

    (void)walker;
    if (block->word != NULL)
        fill(block->word, 1, block->seed, (block->count + 1) / 2);
    return 0;
}

static uint64_t grow_block(struct walker *walker, void *data)
{
    struct block *block = data;
    unsigned half = (block->count + 1) / 2;
    uint64_t *word = realloc(block->word, block->count * sizeof *word);

    require(walker, word != NULL, "realloc failed");
    if (word == NULL)
        return 0;
    block->word = word;
    fill(word + half, 1, block->seed + half, block->count - half);
    return 0;
}

static uint64_t read_block(struct walker *walker, void *data)
{
    const struct block *block = data;

    (void)walker;
    return block->word != NULL ? read_words(block->word, 1, block->count) : 0;
}

static uint64_t free_block(struct walker *walker, void *data)
{
    struct block *block = data;

    (void)walker;
    free(block->word);
    block->word = NULL;
    return 0;
}

static uint64_t retire_block(struct walker *walker, void *data)
{
    struct block *block = data;
    uint64_t value = 0;

    if (block->word != NULL) {
        value = elsewhere(walker, read_block, block);
        elsewhere(walker, free_block, block);
    }
    return value;
}

static uint64_t step_block(struct walker *walker, void *data)
{
    const struct step *step = data;
    struct block *block = &walker->block[step->slot];
    uint64_t value = elsewhere(walker, retire_block, block);

    block->seed = step->seed;
    block->count = block_words(step);
    elsewhere(walker, allocate_block, block);
    elsewhere(walker, fill_block, block);
    elsewhere(walker, grow_block, block);
    return value;
}

/* Mappings: every change must reach the nodes that still know what was there before. */

static size_t half_words(const struct region *region)
{
    return (size_t)(region->pages / 2) * WORDS_PER_PAGE;
}

static size_t all_words(const struct region *region)
{
    return (size_t)region->pages * WORDS_PER_PAGE;
}

static uint64_t *second_half(const struct region *region)
{
    return region->word + half_words(region) * WORD_STRIDE;
}

static size_t half_bytes(const struct region *region)
{
    return (size_t)(region->pages / 2) * PAGE_BYTES;
}

static size_t rest_bytes(const struct region *region)
{
    return (size_t)region->pages * PAGE_BYTES - half_bytes(region);
}

static uint64_t map_region(struct walker *walker, void *data)
{
    struct region *region = data;
    void *start = mmap(NULL, (size_t)region->pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    region->word = start == MAP_FAILED ? NULL : start;
    require(walker, region->word != NULL, "mmap failed");
    return 0;
}

static uint64_t expect_empty(struct walker *walker, void *data)
{
    const struct region *region = data;

    require(walker, read_words(region->word, WORD_STRIDE, all_words(region)) == 0,
            "a fresh mapping is not empty");
    return 0;
}

static uint64_t fill_region(struct walker *walker, void *data)
{
    struct region *region = data;

    (void)walker;
    fill(region->word, WORD_STRIDE, region->seed, all_words(region));
    return 0;
}

static uint64_t protect_half(struct walker *walker, void *data)
{
    struct region *region = data;

    require(walker, mprotect(region->word, half_bytes(region), PROT_READ) == 0, "mprotect failed");
    return 0;
}

/* The kernel is asked to write there, because a refused store of our own would end the program. */
static uint64_t read_protected(struct walker *walker, void *data)
{
    const struct region *region = data;

    errno = 0;
    require(walker, uname((struct utsname *)region->word) == -1 && errno == EFAULT,
            "the kernel wrote to a protected page");
    return read_words(region->word, WORD_STRIDE, half_words(region));
}

static uint64_t release_half(struct walker *walker, void *data)
{
    struct region *region = data;

    require(walker, mprotect(region->word, half_bytes(region), PROT_READ | PROT_WRITE) == 0,
            "mprotect back failed");
    return 0;
}

/* In one call, or another thread could be given the gap. */
static uint64_t replace_half(struct walker *walker, void *data)
{
    struct region *region = data;
    void *start = mmap(second_half(region), rest_bytes(region), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    require(walker, start == second_half(region), "mmap over a mapping failed");
    return 0;
}

static uint64_t refill_half(struct walker *walker, void *data)
{
    struct region *region = data;
    unsigned count = all_words(region) - half_words(region);

    require(walker, read_words(second_half(region), WORD_STRIDE, count) == 0,
            "a replaced mapping shows what it replaced");
    fill(region->word, WORD_STRIDE, region->seed, half_words(region));
    fill(second_half(region), WORD_STRIDE, ~region->seed, count);
    return 0;
}

static uint64_t read_region(struct walker *walker, void *data)
{
    const struct region *region = data;
    unsigned half = half_words(region);

    (void)walker;
    return read_words(region->word, WORD_STRIDE, half) +
           read_words(second_half(region), WORD_STRIDE, all_words(region) - half);
}

static uint64_t unmap_rest(struct walker *walker, void *data)
{
    struct region *region = data;

    require(walker, munmap(second_half(region), rest_bytes(region)) == 0, "munmap failed");
    return 0;
}

static uint64_t unmap_half(struct walker *walker, void *data)
{
    struct region *region = data;

    require(walker, read_words(region->word, WORD_STRIDE, half_words(region)) ==
            plain_words(region->seed, half_words(region)), "munmap took more than it should");
    require(walker, munmap(region->word, half_bytes(region)) == 0, "munmap failed");
    region->word = NULL;
    return 0;
}

static uint64_t retire_region(struct walker *walker, void *data)
{
    struct region *region = data;
    uint64_t value = 0;

    if (region->word != NULL) {
        value = elsewhere(walker, read_region, region);
        elsewhere(walker, unmap_rest, region);
        elsewhere(walker, unmap_half, region);
    }
    return value;
}

static uint64_t step_region(struct walker *walker, void *data)
{
    const struct step *step = data;
    struct region *region = &walker->region[step->slot];
    uint64_t value = elsewhere(walker, retire_region, region);

    region->seed = step->seed;
    region->pages = region_pages(step);
    elsewhere(walker, map_region, region);
    if (region->word == NULL)
        return value;
    elsewhere(walker, expect_empty, region);
    elsewhere(walker, fill_region, region);
    elsewhere(walker, protect_half, region);
    value += elsewhere(walker, read_protected, region);
    elsewhere(walker, release_half, region);
    elsewhere(walker, replace_half, region);
    elsewhere(walker, refill_half, region);
    return value;
}

/* A tree of calls: locals and floating-point values wait in the frames of several instruction sets. */

static uint64_t grow_tree(struct walker *walker, void *data)
{
    const struct branch *branch = data;
    uint64_t sum = variants[branch->seed % 3](branch->seed);
    double root = sqrt((double)(branch->seed >> 40));

    *branch->sum += branch->seed;
    for (unsigned child = 0; branch->levels > 0 && child < 2; child++) {
        struct branch next = {mix(branch->seed + child), branch->levels - 1, branch->sum};

        sum = fold(sum, elsewhere(walker, grow_tree, &next));
    }
    return sum + (uint64_t)(root * 1024);
}

static uint64_t step_tree(struct walker *walker, void *data)
{
    const struct step *step = data;
    uint64_t sum = 0, value;
    struct branch branch = {step->seed, tree_levels(step), &sum};

    value = elsewhere(walker, grow_tree, &branch);
    return value ^ sum;
}

/* Accounts: the lock is taken on one node, used on the next and given back on a third. */

static uint64_t lock_account(struct walker *walker, void *data)
{
    unsigned i = *(unsigned *)data;

    require(walker, pthread_mutex_lock(&account[i].mutex) == 0, "pthread_mutex_lock failed");
    account[i].owner = walker->number;
    return 0;
}

static uint64_t add_to_account(struct walker *walker, void *data)
{
    const struct step *step = data;
    unsigned i = step->slot % ACCOUNTS;

    require(walker, account[i].owner == walker->number, "two threads hold one lock");
    account[i].sum += step->seed >> 32;
    return step->seed;
}

static uint64_t unlock_account(struct walker *walker, void *data)
{
    unsigned i = *(unsigned *)data;

    require(walker, account[i].owner == walker->number, "two threads held one lock");
    require(walker, pthread_mutex_unlock(&account[i].mutex) == 0, "pthread_mutex_unlock failed");
    return 0;
}

static uint64_t step_account(struct walker *walker, void *data)
{
    const struct step *step = data;
    unsigned i = step->slot % ACCOUNTS;
    uint64_t value;

    elsewhere(walker, lock_account, &i);
    value = elsewhere(walker, add_to_account, data);
    elsewhere(walker, unlock_account, &i);
    return value;
}

static deed *const deed_of[KINDS] = {
    [BLOCK] = step_block, [REGION] = step_region, [TREE] = step_tree, [ACCOUNT] = step_account};

static uint64_t perform(struct walker *walker, void *data)
{
    struct step *step = data;

    if (step->descent-- > 0)
        return elsewhere(walker, perform, step);
    return deed_of[step->kind](walker, step);
}

/* Parcels: made by one thread, read and given back by the next. */

static uint64_t send_parcel(struct walker *walker, void *data)
{
    uint64_t from = parcel_seed(walker->number, *(unsigned *)data);
    unsigned to = (walker->number + 1) % threads;
    struct parcel parcel = {.count = parcel_words(from), .mapped = from >> 60 & 1};
    size_t bytes = parcel.count * sizeof *parcel.word;
    void *start = parcel.mapped ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                : malloc(bytes);

    if (start == NULL || start == MAP_FAILED) {
        perror("torture: a parcel");
        exit(2); /* the next thread would wait for it for ever */
    }
    parcel.word = start;
    fill(parcel.word, 1, from, parcel.count);
    pthread_mutex_lock(&box[to].mutex);
    while (box[to].parcel.word != NULL)
        pthread_cond_wait(&box[to].changed, &box[to].mutex);
    box[to].parcel = parcel;
    pthread_cond_broadcast(&box[to].changed);
    pthread_mutex_unlock(&box[to].mutex);
    return 0;
}

static uint64_t receive_parcel(struct walker *walker, void *data)
{
    unsigned me = walker->number;

    (void)data;
    pthread_mutex_lock(&box[me].mutex);
    while (box[me].parcel.word == NULL)
        pthread_cond_wait(&box[me].changed, &box[me].mutex);
    walker->parcel = box[me].parcel;
    box[me].parcel.word = NULL;
    pthread_cond_broadcast(&box[me].changed);
    pthread_mutex_unlock(&box[me].mutex);
    return read_words(walker->parcel.word, 1, walker->parcel.count);
}

static uint64_t discard_parcel(struct walker *walker, void *data)
{
    struct parcel *parcel = data;

    if (parcel->mapped)
        require(walker, munmap(parcel->word, parcel->count * sizeof *parcel->word) == 0,
                "munmap of a parcel failed");
    else
        free(parcel->word);
    return 0;
}

/* The token comes to the threads in order, once a round. */
static uint64_t pass_token(struct walker *walker, void *data)
{
    unsigned round = *(unsigned *)data;
    uint64_t turn = (uint64_t)round * threads + walker->number, value;

    pthread_mutex_lock(&token.mutex);
    while (token.turn != turn)
        pthread_cond_wait(&token.moved, &token.mutex);
    value = token.value = mix(token.value + walker->checksum);
    token.turn++;
    pthread_cond_broadcast(&token.moved);
    pthread_mutex_unlock(&token.mutex);
    return value;
}

static uint64_t meet(struct walker *walker, void *data)
{
    int result = pthread_barrier_wait(&barrier);

    (void)data;
    require(walker, result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD, "the barrier failed");
    return 0;
}

static void walk_round(struct walker *walker, unsigned round)
{
    uint64_t all = 0;

    for (unsigned n = 0; n < steps_in(round); n++) {
        struct step step;

        draw_step(&walker->plan, &step);
        walker->checksum = mix(walker->checksum ^ elsewhere(walker, perform, &step));
    }
    elsewhere(walker, send_parcel, &round);
    walker->checksum = mix(walker->checksum ^ elsewhere(walker, receive_parcel, NULL));
    elsewhere(walker, discard_parcel, &walker->parcel);
    published[round % 2][walker->number] = walker->checksum;
    walker->checksum ^= elsewhere(walker, pass_token, &round);
    elsewhere(walker, meet, NULL);
    for (unsigned i = 0; i < threads; i++)
        all += published[round % 2][i];
    walker->checksum = mix(walker->checksum + all);
}

static uint64_t leave_thread(struct walker *walker, void *data)
{
    (void)data;
    pthread_exit(walker);
}

/* A thread.  Every other one ends where it happens to be, inside a call. */
static void *walk(void *argument)
{
    struct walker *walker = argument;

    for (unsigned round = 0; round < rounds(); round++)
        walk_round(walker, round);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        walker->checksum += elsewhere(walker, retire_block, &walker->block[slot]);
        walker->checksum += elsewhere(walker, retire_region, &walker->region[slot]);
    }
    require(walker, arrivals == walker->calls, "a thread-local variable lost a count");
    if (walker->number % 2 == 1)
        elsewhere(walker, leave_thread, NULL);
    return walker;
}

static uint64_t start_thread(struct walker *main_walker, void *data)
{
    struct walker *walker = data;
    int error = pthread_create(&walker->thread, NULL, walk, walker);

    (void)main_walker;
    if (error != 0) {
        fprintf(stderr, "torture: pthread_create: error %d\n", error);
        exit(2); /* the others would wait for it for ever */
    }
    return 0;
}

static uint64_t join_thread(struct walker *main_walker, void *data)
{
    struct walker *walker = data;
    void *result = NULL;

    require(main_walker, pthread_join(walker->thread, &result) == 0 && result == walker,
            "pthread_join failed");
    return 0;
}

static uint64_t leave_program(struct walker *main_walker, void *data)
{
    (void)main_walker;
    exit(*(int *)data);
}

static void *where(void *node)
{
    *(int *)node = current_node();
    return node;
}

/* The nodes that calls reach: on a machine of several, a program built for one instruction set stays at home. */
static void find_nodes(void)
{
    for (int node = 0; node < NODES_MAX; node++) {
        int reached = -1;

        if (!node_available(node))
            continue;
        if (migrate_call(node, where, &reached) == &reached && reached == node)
            nodes[nodes_count++] = node;
        else
            fprintf(stderr, "torture: calls do not reach node %d\n", node);
    }
}

static void prepare(void)
{
    for (unsigned i = 0; i < ACCOUNTS; i++)
        pthread_mutex_init(&account[i].mutex, NULL);
    for (unsigned i = 0; i < threads; i++) {
        pthread_mutex_init(&box[i].mutex, NULL);
        pthread_cond_init(&box[i].changed, NULL);
        walkers[i].number = i;
        walkers[i].plan = first_plan(i);
        walkers[i].route = mix(~first_plan(i)) | 1;
    }
    pthread_mutex_init(&token.mutex, NULL);
    pthread_cond_init(&token.moved, NULL);
    pthread_barrier_init(&barrier, NULL, threads);
    starter.number = threads;
    starter.route = mix(seed) | 1;
}

/* One line for each thread, and the verdict. */
static int report(void)
{
    uint64_t sum = 0;
    int good = starter.failure == NULL;

    for (unsigned i = 0; i < threads; i++) {
        const struct walker *walker = &walkers[i];

        printf("thread %u: %llu calls, checksum %016llx", i, (unsigned long long)walker->calls,
               (unsigned long long)walker->checksum);
        if (walker->checksum != walker->expected)
            printf(", expected %016llx", (unsigned long long)walker->expected);
        printf("%s%s\n", walker->failure ? ": " : "", walker->failure ? walker->failure : "");
        good &= walker->checksum == walker->expected && walker->failure == NULL;
    }
    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += account[i].sum;
    if (sum != deposits)
        printf("accounts hold %llu, paid in were %llu\n", (unsigned long long)sum,
               (unsigned long long)deposits);
    if (starter.failure != NULL)
        printf("main thread: %s\n", starter.failure);
    good &= sum == deposits;
    puts(good ? "PASS" : "FAIL");
    return good ? 0 : 1;
}

static unsigned number_of(const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 0);

    if (end == text || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "usage: torture [seed [threads 1..%d [steps 1..%d]]]\n", THREADS_MAX, STEPS_MAX);
        exit(2);
    }
    return number;
}

int main(int argc, char **argv)
{
    int status;

    seed = argc > 1 ? number_of(argv[1], 0, ~0u) : SEED;
    threads = argc > 2 ? number_of(argv[2], 1, THREADS_MAX) : THREADS;
    steps = argc > 3 ? number_of(argv[3], 1, STEPS_MAX) : STEPS;
    find_nodes();
    printf("seed %llu, %u threads, %u steps, %u nodes\n", (unsigned long long)seed, threads, steps, nodes_count);
    plain_walk();
    prepare();
    for (unsigned i = 0; i < threads; i++)
        elsewhere(&starter, start_thread, &walkers[i]);
    for (unsigned i = 0; i < threads; i++)
        elsewhere(&starter, join_thread, &walkers[i]);
    status = report();
    elsewhere(&starter, leave_program, &status);
    return 2;
}
