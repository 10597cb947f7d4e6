/* The algorithm: a ring of versioned cells, with the indices only as hints.
 *
 * Ancestors: the arrays of Shann, Huang and Chen (ICPADS 2000), Tsigas and Zhang (SPAA 2001) and Colvin and Groves (ICECCS 2005),
 * where an item goes into its cell by compare-and-swap and anybody may then move the index on; the turn per cell is Vyukov's
 * (bounded MPMC queue, 2010). In Vyukov's queue, and in ck_ring's, a producer first takes a ticket and then fills the cell: one
 * that is preempted in between holds up every consumer at that cell, and items already pushed behind it can't be seen, so a
 * consumer told "empty" may go to sleep beside a job. Here a ticket is taken *by* filling its cell, in one step, so there is no
 * in between. The price is a 16-byte compare-and-swap. (SCQ, Nikolaev, DISC 2019, gets by with 8 bytes, but with two rings of
 * indices and twice the atomic operations per item.)
 *
 * Tickets count pushes from 0; ticket t lives in cell t mod capacity, here n. A cell's turn goes
 *     t (free for ticket t)  →  t + 1 (holds t's item)  →  t + n (free for ticket t + n)  →  …
 * and item is NULL while it is free. turn and item change together and turn never repeats: no ABA. n ≥ 2 keeps t + 1 and t + n
 * apart.
 *
 * Prefix rule: ticket t is filled only by a thread that knows that all tickets below t were filled, and popped only by one that
 * knows that all below were popped. It knows from the hint, and from the cells that it saw on its way from the hint to t. So
 * tickets are filled in order and popped in order, and each takes effect at its compare-and-swap: the queue is first in first
 * out and linearizable. Three consequences, for a thread that knows "all below t":
 *   pushing, cell t's turn is t + 1 − n: ticket t − n is still inside, and with it all up to t − 1: n items, the queue is full;
 *   popping, cell t's turn is t: ticket t was not pushed yet, so none behind it was: the queue is empty;
 *   otherwise, and not its own turn: somebody was faster; the turn says how far the queue got at least, go on from there.
 * Each loop iteration therefore ends the call, or moves on because another call succeeded: lock-free.
 *
 * Hints: tail and head are plain stores, so one by a thread that was stopped in between may fall back. A hint that is behind is not
 * wrong, since what it says of all tickets below stays true: the others find their way from there over the cells, whose turns say how
 * far the queue got, a lap at most, and set it anew. Raising them by compare-and-swap made every operation a second locked instruction
 * on a line that all share, which cost a third of its time.
 *
 * Contention: two threads that push (or pop) at once need the same two cache lines, the hint's and the cells'. Who finds that another was
 * faster would only take them away from it again to lose again, and each line's way between two cores takes longer than several pushes
 * by one core. So it stays away for a while, twice as long each time, and the winner goes on at a lone thread's speed. That is bounded
 * (some 500 pauses in all, 15 us), since a walk over the cells from a hint that fell back looks like losing; after it nobody waits any
 * more.
 *
 * Memory orders. A cell's compare-and-swap is a full barrier (seq_cst) and its turn is loaded seq_cst (on x86-64 a plain load):
 *   - the popper's load of turn t + 1 synchronises with the push that stored it: what the pusher wrote before (the job) is seen;
 *   - the pusher of t + n synchronises likewise with the pop of t;
 *   - seq_cst rather than acquire because parking.h needs it of its condition.
 * "Knows" means happens-before: hints are stored with release and loaded with acquire, after seeing the cells, so a thread that
 * read hint t can't then read a turn of cell t older than what the filling of t − n (or for head: its popping) left.
 * The item is loaded after the turn (acquire) and before the compare-and-swap, which succeeds only if neither changed since: a
 * torn pair is never used. Loading 8 bytes of what others change by 16 is outside C11's model, but well-defined on x86-64: an
 * aligned 8-byte load is atomic, and locked operations act on the whole cache line. */
#include "core/base/mpmc_queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#if !defined(__x86_64__)
#error "mpmc_queue: say here how this architecture does a 16-byte compare-and-swap, and check the memory orders argued above"
#endif

/* How long a thread stays away after a lost race, in pause instructions (30 ns each on Zen 4), doubled from the least to the most. */
#define PAUSES_MIN 8u
#define PAUSES_MAX 256u

/* x86-64 is little-endian: turn, the first member, is the low half. */
static inline unsigned __int128 cell_pair(uint64_t turn, const void *item)
{
    return (unsigned __int128)(uintptr_t)item << 64 | turn;
}

/* The __sync builtin and not the __atomic one: that calls libatomic even where the instruction is at hand. */
__attribute__((target("cx16"))) static inline bool cell_replace(struct mpmc_cell *cell, unsigned __int128 expected,
                                                                unsigned __int128 wanted)
{
    return __sync_bool_compare_and_swap(&cell->pair, expected, wanted);
}

static inline uint64_t cell_turn(const struct mpmc_cell *cell)
{
    return __atomic_load_n(&cell->turn, __ATOMIC_SEQ_CST);
}

static inline struct mpmc_cell *cell_of(const struct mpmc_queue *queue, uint64_t ticket)
{
    return &queue->cells[ticket & (queue->capacity - 1)];
}

/* From a cell's turn that is ahead of `ticket`: the lowest ticket that may be unfilled. A cell that holds ticket k has turn
 * k + 1; one that is free for ticket k + n was filled with ticket k before. */
static inline uint64_t ticket_after_filled(const struct mpmc_queue *queue, uint64_t ticket, uint64_t turn)
{
    bool is_free = ((turn ^ ticket) & (queue->capacity - 1)) == 0;
    return is_free ? turn - queue->capacity + 1 : turn;
}

/* The same for popping: one that holds ticket k + n, or is free for it, had ticket k popped. */
static inline uint64_t ticket_after_popped(const struct mpmc_queue *queue, uint64_t ticket, uint64_t turn)
{
    bool is_free = ((turn ^ ticket) & (queue->capacity - 1)) == 0;
    return is_free ? turn - queue->capacity + 1 : turn - queue->capacity;
}

int mpmc_queue_init(struct mpmc_queue *queue, size_t capacity)
{
    if (capacity < MPMC_QUEUE_CAPACITY_MIN || capacity > MPMC_QUEUE_CAPACITY_MAX || (capacity & (capacity - 1)) != 0)
        return -EINVAL;

    size_t bytes = (capacity * sizeof(struct mpmc_cell) + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct mpmc_cell *cells = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (cells == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < capacity; i++)
        cells[i].pair = cell_pair(i, NULL);

    queue->cells = cells;
    queue->capacity = capacity;
    atomic_init(&queue->tail, 0);
    atomic_init(&queue->head, 0);
    return 0;
}

void mpmc_queue_done(struct mpmc_queue *queue)
{
    free(queue->cells);
    queue->cells = NULL;
}

/* After a lost race: lets the winner have the lines for a while, and returns the lowest ticket that may be free by then (see Contention). */
static uint64_t ticket_after_pause(const _Atomic uint64_t *hint, uint64_t ticket, uint32_t *pauses)
{
    if (*pauses <= PAUSES_MAX) {
        for (uint32_t i = 0; i < *pauses; i++)
            __builtin_ia32_pause();
        *pauses *= 2;
    }
    uint64_t now = atomic_load_explicit(hint, memory_order_acquire);
    return (int64_t)(now - ticket) > 0 ? now : ticket;
}

/* What mpmc_queue_push does when its first look, at cell `ticket`, was not enough. */
__attribute__((target("cx16"), noinline)) static int push_contended(struct mpmc_queue *queue, void *item, uint64_t ticket)
{
    uint32_t pauses = PAUSES_MIN;
    for (;;) {
        struct mpmc_cell *cell = cell_of(queue, ticket);
        uint64_t turn = cell_turn(cell);
        if (turn == ticket) {
            if (cell_replace(cell, cell_pair(ticket, NULL), cell_pair(ticket + 1, item)))
                break;
        } else if (turn == ticket + 1 - queue->capacity) {
            return -EAGAIN;
        } else {
            ticket = ticket_after_pause(&queue->tail, ticket_after_filled(queue, ticket, turn), &pauses);
        }
    }
    atomic_store_explicit(&queue->tail, ticket + 1, memory_order_release);
    return 0;
}

__attribute__((target("cx16"))) int mpmc_queue_push(struct mpmc_queue *queue, void *item)
{
    uint64_t ticket = atomic_load_explicit(&queue->tail, memory_order_acquire);
    struct mpmc_cell *cell = cell_of(queue, ticket);
    if (UNLIKELY(cell_turn(cell) != ticket || !cell_replace(cell, cell_pair(ticket, NULL), cell_pair(ticket + 1, item))))
        return push_contended(queue, item, ticket);
    atomic_store_explicit(&queue->tail, ticket + 1, memory_order_release);
    return 0;
}

/* Likewise. */
__attribute__((target("cx16"), noinline)) static int pop_contended(struct mpmc_queue *queue, uint64_t ticket, void **ret_item)
{
    uint32_t pauses = PAUSES_MIN;
    void *item;
    for (;;) {
        struct mpmc_cell *cell = cell_of(queue, ticket);
        uint64_t turn = cell_turn(cell);
        if (turn == ticket + 1) {
            item = __atomic_load_n(&cell->item, __ATOMIC_RELAXED);
            if (cell_replace(cell, cell_pair(turn, item), cell_pair(ticket + queue->capacity, NULL)))
                break;
        } else if (turn == ticket) {
            return -EAGAIN;
        } else {
            ticket = ticket_after_pause(&queue->head, ticket_after_popped(queue, ticket, turn), &pauses);
        }
    }
    atomic_store_explicit(&queue->head, ticket + 1, memory_order_release);
    *ret_item = item;
    return 0;
}

__attribute__((target("cx16"))) int mpmc_queue_pop(struct mpmc_queue *queue, void **ret_item)
{
    uint64_t ticket = atomic_load_explicit(&queue->head, memory_order_acquire);
    struct mpmc_cell *cell = cell_of(queue, ticket);
    uint64_t turn = cell_turn(cell);
    void *item = __atomic_load_n(&cell->item, __ATOMIC_RELAXED);
    if (UNLIKELY(turn != ticket + 1 || !cell_replace(cell, cell_pair(turn, item), cell_pair(ticket + queue->capacity, NULL))))
        return pop_contended(queue, ticket, ret_item);
    atomic_store_explicit(&queue->head, ticket + 1, memory_order_release);
    *ret_item = item;
    return 0;
}

/* The next ticket to pop: of some moment within the call. */
static uint64_t ticket_to_pop(const struct mpmc_queue *queue)
{
    uint64_t ticket = atomic_load_explicit(&queue->head, memory_order_acquire);
    for (;;) {
        uint64_t turn = cell_turn(cell_of(queue, ticket));
        if (turn == ticket + 1 || turn == ticket)
            return ticket;
        ticket = ticket_after_popped(queue, ticket, turn);
    }
}

static uint64_t ticket_to_push(const struct mpmc_queue *queue)
{
    uint64_t ticket = atomic_load_explicit(&queue->tail, memory_order_acquire);
    for (;;) {
        uint64_t turn = cell_turn(cell_of(queue, ticket));
        if (turn == ticket || turn == ticket + 1 - queue->capacity)
            return ticket;
        ticket = ticket_after_filled(queue, ticket, turn);
    }
}

size_t mpmc_queue_length(const struct mpmc_queue *queue)
{
    /* In this order the difference never goes below 0; it may exceed the capacity by what went through in between. */
    uint64_t head = ticket_to_pop(queue);
    uint64_t length = ticket_to_push(queue) - head;
    return (size_t)(length < queue->capacity ? length : queue->capacity);
}
