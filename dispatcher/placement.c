#include "dispatcher/placement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/memory.h"

#define SLOTS_BYTES (sizeof(struct placement_slot) * MEMBERS_MAX)
_Static_assert(sizeof(struct placement_slot) <= 192, "what placement.h says of memory");

#define LOOK_NS NS_PER_S
#define SETTLE_ROUNDS ((uint32_t)(FINISH_SETTLE_NS / LOOK_NS))

/* Rings of tokens looked through at once: all within 8 s, in which no slot has had 64 nodes one after the other (values.h). */
#define SWEEP_RINGS (TOKEN_RINGS / 8)

/* Nodes that tell all at once, after a pause, have this part of a second's tokens. */
#define BURST_S 0.1

/* Reports come at every heartbeat of any node; where there are few nodes, and heartbeats are rare, that is no silence. */
#define SILENCE_NS (3 * NS_PER_S)

struct token_note {
    struct address node;
    uint64_t boot_id;
    uint64_t sequence;
};

/* ---- tokens ---- */

void placement_token(struct post_box *box, const struct wire_idle_token *token, struct counters *counters)
{
    struct token_note *note = post_box_reserve(box);
    if (!note) {
        counter_add(counters, COUNTER_TOKENS_FLOOD, 1);
        return;
    }
    *note = (struct token_note){token->node, token->trailer.boot_id, token->trailer.sequence};
    post_box_publish(box);
}

static void tokens_push(struct placement *placement, uint32_t slot)
{
    const struct member *member = &placement->members->slots[slot];
    const struct offer_set *services = member->services;
    if (member->flags & WIRE_NODE_NO_JOBS)
        return;
    uint8_t tenure = node_values_tenure(&placement->members->values[slot]);
    bool pushed = false;
    for (uint32_t i = 0; i < services->count; i++)
        pushed |= idle_tokens_push(placement->finish.tokens, services->items[i].id, slot, i, tenure);
    if (!pushed)
        finish_time_unheld(&placement->members->values[slot]);
}

/* What it is to be counted as. */
static enum counter token_take(struct placement *placement, const struct token_note *note, uint64_t now_ns)
{
    struct members *members = placement->members;
    uint32_t slot = members_find(members, &note->node);
    const struct member *member = slot == MEMBER_NONE ? NULL : members_at(members, slot);
    if (!member)
        return COUNTER_TOKENS_UNKNOWN;
    struct placement_slot *told = &placement->slots[slot];
    if (member->boot_id != note->boot_id || told->track.boot_id != note->boot_id || note->sequence <= told->token_sequence)
        return COUNTER_TOKENS_STALE;
    told->token_sequence = note->sequence;
    if (member->flags & MEMBER_FLAGS_OUT_OF_SERVICE)
        return COUNTER_TOKENS_STALE;
    if (finish_time_token(&members->values[slot], &told->track, now_ns))
        tokens_push(placement, slot);
    return COUNTER_TOKENS_TAKEN;
}

/* How many of so many may be taken now. */
static size_t tokens_allowed(struct placement *placement, size_t count, uint64_t now_ns)
{
    const double most = BURST_S * PLACEMENT_TOKENS_PER_S;
    placement->allowance += (double)(now_ns - placement->allowance_ns) * 1e-9 * PLACEMENT_TOKENS_PER_S;
    placement->allowance_ns = now_ns;
    if (placement->allowance > most)
        placement->allowance = most;
    size_t allowed = (double)count <= placement->allowance ? count : (size_t)placement->allowance;
    placement->allowance -= (double)allowed;
    return allowed;
}

static void on_ring(void *ctx, struct loop_message *message)
{
    struct post_box *box = (struct post_box *)((char *)message - offsetof(struct post_box, message));
    struct placement *placement = ctx;
    uint64_t now_ns = loop_now_ns(placement->loop);
    post_box_silence(box);
    for (;;) {
        size_t count;
        const struct token_note *notes = spsc_queue_peek(&box->notes, &count);
        if (count == 0)
            return;
        size_t allowed = placement->on ? tokens_allowed(placement, count, now_ns) : 0;
        for (size_t i = 0; i < allowed; i++)
            counter_add(placement->counters, token_take(placement, &notes[i], now_ns), 1);
        counter_add(placement->counters, placement->on ? COUNTER_TOKENS_FLOOD : COUNTER_TOKENS_UNWANTED, count - allowed);
        spsc_queue_release(&box->notes, count);
    }
}

/* ---- reports ---- */

static struct finish_report report_of(const struct placement *placement, struct node_entry entry, uint64_t age_ns)
{
    uint16_t slots = bytes_load_u16(entry.bytes + NODE_ENTRY_SLOTS);
    struct finish_report report = {
        .boot_id = bytes_load_u64(entry.bytes + NODE_ENTRY_BOOT_ID),
        .age_ns = age_ns,
        .slots = slots ? slots : 1,
        .jobs = bytes_load_u32(entry.bytes + NODE_ENTRY_JOBS_QUEUED) + bytes_load_u32(entry.bytes + NODE_ENTRY_JOBS_RUNNING),
        .received = bytes_load_u32(entry.bytes + NODE_ENTRY_ECHO_JOBS),
        .echoes = !(node_entry_flags(entry) & WIRE_NODE_NO_ECHO),
        .load = node_entry_f32(entry, NODE_ENTRY_LOAD_INDEX),
        .queue_factor = node_entry_kind(entry) == WIRE_NODE_DISPATCHER ? placement->queue_factor : 1,
        .service_count = node_entry_service_count(entry),
    };
    for (uint32_t i = 0; i < report.service_count; i++) {
        float rate = node_entry_rate(entry, i);
        report.kind = hash_mix(report.kind ^ node_entry_service_id(entry, i));
        report.work_s += node_entry_work_s(entry, i);
        report.job_s[i] = rate > 0 ? (float)report.slots / rate : 0;
    }
    return report;
}

void placement_report(struct placement *placement, uint32_t slot, struct node_entry entry, uint64_t age_ns, uint64_t now_ns)
{
    if (!placement || !placement->on)
        return;
    struct placement_slot *told = &placement->slots[slot];
    struct finish_report report = report_of(placement, entry, age_ns);
    uint64_t held_ns = told->track.share.held_ns;
    placement->reported_ns = now_ns;
    atomic_store_explicit(&placement->finish.silent_s, 0, memory_order_relaxed);
    if (told->track.boot_id != report.boot_id)
        told->token_sequence = 0;
    if (finish_time_report(&placement->finish, &placement->members->values[slot], &told->track, &report, now_ns))
        tokens_push(placement, slot);
    counter_add(placement->counters, COUNTER_NODES_HELD, told->track.share.held_ns != held_ns);
}

bool placement_done(struct placement *placement, uint32_t slot, float latency_s, uint64_t now_ns)
{
    if (!placement || !placement->on)
        return false;
    share_cap_done(&placement->finish.share, &placement->slots[slot].track.share, latency_s, now_ns);
    return true;
}

static struct placement_held *held_at(struct placement *placement, const struct address *address)
{
    return &placement->held[member_index_hash(address) % PLACEMENT_HELD_MAX];
}

void placement_join(struct placement *placement, uint32_t slot, uint32_t before)
{
    if (!placement)
        return;
    if (before != MEMBER_NONE) {
        placement->slots[slot] = placement->slots[before];
        return;
    }
    const struct address *address = &placement->members->slots[slot].address;
    const struct placement_held *left = held_at(placement, address);
    placement->slots[slot] = (struct placement_slot){0};
    if (address_equal(&left->address, address))
        placement->slots[slot].track.share.held_ns = left->held_ns;
}

void placement_leave(struct placement *placement, uint32_t slot)
{
    if (!placement || !placement->on)
        return;
    const struct address *address = &placement->members->slots[slot].address;
    uint64_t held_ns = placement->slots[slot].track.share.held_ns;
    if (held_ns > loop_now_ns(placement->loop))
        *held_at(placement, address) = (struct placement_held){*address, held_ns};
}

void placement_set_dispatchers(struct placement *placement, uint32_t count)
{
    if (placement)
        atomic_store_explicit(&placement->finish.dispatchers, count ? count : 1, memory_order_relaxed);
}

/* ---- once a second ---- */

/* Tokens are lost now and then (idle_tokens.h). Whose was, counts as one of which nobody has heard, else its next one would not be taken. */
static void token_look_after(struct placement *placement, uint32_t slot)
{
    const struct member *member = members_at(placement->members, slot);
    struct node_values *values = &placement->members->values[slot];
    if (!member || member->services->count == 0 ||
        !(atomic_load_explicit(&values->token, memory_order_relaxed) & NODE_TOKEN_HELD))
        return;
    if (!idle_tokens_hold(placement->finish.tokens, member->services->items[0].id, slot, 0, node_values_tenure(values)))
        finish_time_unheld(values);
}

static void settle_some(struct placement *placement, uint32_t count, uint64_t now_ns)
{
    uint32_t total = placement->members->slot_count;
    for (uint32_t i = 0; i < count && placement->settled < total; i++) {
        finish_time_settle(&placement->members->values[placement->settled], now_ns);
        token_look_after(placement, placement->settled++);
    }
    if (placement->settled >= total)
        placement->settled = 0;
}

static bool token_holds(const void *ctx, uint32_t slot, uint8_t tenure)
{
    const struct members *members = ctx;
    return slot < members->slot_count && node_values_tenure(&members->values[slot]) == tenure;
}

static void sweep_some(struct placement *placement)
{
    for (uint32_t i = 0; i < SWEEP_RINGS; i++) {
        idle_tokens_sweep(placement->finish.tokens, placement->swept, token_holds, placement->members);
        placement->swept = (placement->swept + 1) % TOKEN_RINGS;
    }
}

static void on_look(void *ctx, struct timer *timer)
{
    struct placement *placement = ctx;
    uint64_t now_ns = loop_now_ns(placement->loop), silent_ns = now_ns - placement->reported_ns;
    settle_some(placement, placement->members->slot_count / SETTLE_ROUNDS + 1, now_ns);
    sweep_some(placement);
    if (placement->reported_ns != 0 && silent_ns > SILENCE_NS)
        atomic_store_explicit(&placement->finish.silent_s, (float)silent_ns * 1e-9f, memory_order_relaxed);
    timer_start(placement->loop, timer, now_ns + LOOK_NS);
}

void placement_set_share_max(struct placement *placement, double share_max)
{
    placement->finish.share.max = share_max;
}

void placement_read_stats(const struct placement *placement, uint64_t now_ns, struct placement_stats *ret_stats)
{
    const struct finish_time *finish = &placement->finish;
    uint64_t turned_ns = atomic_load_explicit(&finish->turned_ns, memory_order_relaxed);
    *ret_stats = (struct placement_stats){0};
    if (!placement->on)
        return;
    ret_stats->in_turn = turned_ns != 0 && now_ns < turned_ns + NS_PER_S;
    ret_stats->age_s = finish_time_age_s(finish);
    ret_stats->idle_tokens = idle_tokens_total(finish->tokens);
    ret_stats->dispatchers = atomic_load_explicit(&finish->dispatchers, memory_order_relaxed);
}

void placement_set_on(struct placement *placement, bool on)
{
    if (placement->on == on)
        return;
    placement->on = on;
    timer_stop(&placement->timer);
    if (!on)
        return;
    uint64_t now_ns = loop_now_ns(placement->loop);
    memset(placement->held, 0, sizeof(placement->held));
    for (uint32_t slot = 0; slot < placement->members->slot_count; slot++) {
        placement->slots[slot] = (struct placement_slot){0};
        finish_time_forget(&placement->members->values[slot], now_ns);
    }
    timer_start(placement->loop, &placement->timer, now_ns + LOOK_NS);
}

/* ---- life ---- */

int placement_new(struct loop *loop, struct members *members, struct counters *counters, uint32_t core_count, float queue_factor,
                  struct placement **ret_placement)
{
    struct placement *placement = memory_new_aligned(sizeof(*placement));
    struct idle_tokens *tokens;
    if (!placement)
        return -ENOMEM;
    placement->loop = loop;
    placement->members = members;
    placement->counters = counters;
    placement->queue_factor = queue_factor;
    placement->allowance_ns = loop_now_ns(loop);
    timer_init(&placement->timer, on_look, placement);
    int error = idle_tokens_new(&tokens);
    if (error < 0) {
        free(placement);
        return error;
    }
    finish_time_init(&placement->finish, tokens);
    placement->slots = mmap(NULL, SLOTS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (placement->slots == MAP_FAILED) {
        placement->slots = NULL;
        error = -ENOMEM;
    }
    for (; error == 0 && placement->box_count < core_count; placement->box_count++)
        error = post_box_init(&placement->boxes[placement->box_count], PLACEMENT_NOTES_MAX, sizeof(struct token_note), loop,
                              on_ring, placement);
    if (error < 0) {
        placement_free(placement);
        return error;
    }
    *ret_placement = placement;
    return 0;
}

void placement_free(struct placement *placement)
{
    if (!placement)
        return;
    timer_stop(&placement->timer);
    for (uint32_t i = 0; i < placement->box_count; i++)
        post_box_done(&placement->boxes[i]);
    if (placement->slots)
        munmap(placement->slots, SLOTS_BYTES);
    idle_tokens_free(placement->finish.tokens);
    free(placement);
}
