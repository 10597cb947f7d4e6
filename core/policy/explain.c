#include "core/policy/explain.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/base/errors.h"
#include "core/policy/finish_time_internal.h"
#include "core/policy/policy_methods.h"

const char *const explain_reason_texts[EXPLAIN_REASONS] = {
#define REASON(symbol, text) text,
#include "core/policy/explain.def"
#undef REASON
};

/* All that a pick may change. */
struct world {
    struct node_values *values; /* by slot; those of the service's members are there */
    size_t values_bytes;
    struct finish_time finish;
    struct pick_state state;
};

static void values_copy(struct node_values *values, struct node_values *from)
{
    values->address = from->address;
    node_values_copy(values, from);
    atomic_store_explicit(&values->picks_at_report, atomic_load_explicit(&from->picks_at_report, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&values->token, atomic_load_explicit(&from->token, memory_order_relaxed), memory_order_relaxed);
}

static void world_done(struct world *world)
{
    if (world->values)
        munmap(world->values, world->values_bytes);
    idle_tokens_free(world->finish.tokens);
}

/* Tokens of nodes that have gone, or whose snapshot is still to come, may be about: their values are not in this world. */
static bool is_member(const void *ctx, uint32_t slot, uint8_t tenure)
{
    const struct world *world = ctx;
    return slot < world->values_bytes / sizeof(*world->values) && world->values[slot].address.family != 0 &&
           node_values_tenure(&world->values[slot]) == tenure;
}

static int finish_copy(struct world *world, const struct finish_time *finish, uint64_t service_id)
{
    if (!finish)
        return 0;
    finish_time_init(&world->finish, NULL);
    atomic_store_explicit(&world->finish.dispatchers, atomic_load_explicit(&finish->dispatchers, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&world->finish.age_s, finish_time_age_s(finish), memory_order_relaxed);
    world->state.finish = &world->finish;
    if (!finish->tokens)
        return 0;
    int error = idle_tokens_new(&world->finish.tokens);
    if (error == 0)
        idle_tokens_copy(world->finish.tokens, finish->tokens, service_id, is_member, world);
    return error;
}

/* Members whose slots are far apart cost no memory for what lies between. */
static int world_copy(struct world *world, const struct pick_state *state, const struct snapshot_service *service,
                      struct node_values *values)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < service->member_count; i++)
        last = service->members[i].slot > last ? service->members[i].slot : last;
    world->values_bytes = ((size_t)last + 1) * sizeof(*values);
    void *memory = mmap(NULL, world->values_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    world->values = memory;
    for (uint32_t i = 0; i < service->member_count; i++)
        values_copy(&world->values[service->members[i].slot], &values[service->members[i].slot]);
    world->state = *state;
    return finish_copy(world, state->finish, service->service_id);
}

static struct explained_node *note(struct explanation *explanation, struct world *world, struct snapshot_member member,
                                   enum explain_source source)
{
    struct explained_node *node = &explanation->nodes[explanation->node_count++];
    *node = (struct explained_node){.slot = member.slot, .ordinal = member.service_ordinal, .source = source};
    values_copy(&node->known, &world->values[member.slot]);
    return node;
}

static bool member_qualifies(const struct policy_methods *methods, const struct node_values *values,
                             struct snapshot_member member)
{
    return node_is_fresh(values) && (!methods->accept || methods->accept(values, member));
}

static void keys_note(struct explanation *explanation, const struct policy_methods *methods, const struct world *world,
                      const struct snapshot_member members[], uint32_t count)
{
    float keys[PICK_CANDIDATES_MAX];
    if (!methods->keys || count == 0)
        return;
    methods->keys(&world->state, world->values, members, count, keys);
    struct explained_node *nodes = &explanation->nodes[explanation->node_count - count];
    for (uint32_t i = 0; i < count; i++) {
        nodes[i].has_key = true;
        nodes[i].key = keys[i];
    }
}

static void drawn_note(struct explanation *explanation, const struct policy_methods *methods, struct world *world,
                       const struct pick_item *item)
{
    uint32_t count = item->in_turn ? 1 : methods->candidate_count;
    for (uint32_t i = 0; i < count; i++) {
        struct explained_node *node = note(explanation, world, item->candidate[i], EXPLAIN_DRAWN);
        node->qualifies = member_qualifies(methods, &node->known, item->candidate[i]);
    }
    keys_note(explanation, methods, world, item->candidate, count);
}

_Static_assert(TOKEN_SAMPLES <= PICK_CANDIDATES_MAX, "keys are for so many");

/* Those idle ones that the pick will look at: the generator is where the pick's will be. Looking takes nothing away. */
static void idle_note(struct explanation *explanation, const struct policy_methods *methods, struct world *world,
                      uint64_t service_id)
{
    struct idle_token found[TOKEN_SAMPLES];
    struct snapshot_member members[TOKEN_SAMPLES];
    struct random_state random = world->state.random;
    if (methods != &finish_time_methods || !idle_tokens_exist(world->finish.tokens, service_id))
        return;
    uint32_t count = idle_tokens_sample(world->finish.tokens, service_id, &random, found);
    for (uint32_t i = 0; i < count; i++) {
        members[i] =
            (struct snapshot_member){.slot = found[i].slot & (SNAPSHOT_SLOTS_MAX - 1), .service_ordinal = found[i].ordinal & 31u};
        struct explained_node *node = note(explanation, world, members[i], EXPLAIN_IDLE);
        struct candidate candidate = candidate_of(world->values, found[i].slot, found[i].ordinal, world->state.now_ns);
        node->qualifies = found[i].tenure == node_values_tenure(&node->known) && node_is_fresh(&node->known) &&
                          candidate_is_idle(&candidate, node_tells_idle(&node->known));
    }
    keys_note(explanation, methods, world, members, count);
    explanation->idle_count = idle_tokens_count(world->finish.tokens, service_id);
}

/* The idle one that gave its token for the pick; NULL: none did. */
static struct explained_node *token_spent(struct explanation *explanation, const struct world *world)
{
    for (uint32_t i = 0; i < explanation->node_count; i++) {
        struct explained_node *node = &explanation->nodes[i];
        if (node->source == EXPLAIN_IDLE && node->qualifies && node->slot == explanation->slot &&
            (atomic_load_explicit(&world->values[node->slot].token, memory_order_relaxed) & NODE_TOKEN_HELD) == 0)
            return node;
    }
    return NULL;
}

static enum explain_reason reason_drawn(enum policy policy, const struct explanation *explanation, const struct pick_item *item)
{
    switch (policy) {
    case POLICY_TWO_CHOICES: return EXPLAIN_LOWER_LOAD;
    case POLICY_BELOW_AVERAGE: return EXPLAIN_BELOW_AVERAGE;
    case POLICY_ROUND_ROBIN: return EXPLAIN_TURN;
    case POLICY_WEIGHTED: return item->shares ? EXPLAIN_WEIGHT : EXPLAIN_NO_WEIGHTS;
    case POLICY_FINISH_TIME:
        for (uint32_t i = 0; i < explanation->node_count; i++)
            if (explanation->nodes[i].source == EXPLAIN_IDLE && explanation->nodes[i].qualifies)
                return EXPLAIN_BEATS_IDLE;
        return EXPLAIN_SMALLEST_KEY;
    case POLICY_RANDOM:
    case POLICIES: break;
    }
    return EXPLAIN_RANDOM;
}

/* Of a pick that the general case has made: how much its demand had to give way. */
static enum explain_reason reason_anew(const struct policy_methods *methods, const struct node_values *values,
                                       struct snapshot_member member)
{
    if (!node_is_fresh(values))
        return EXPLAIN_NONE_FRESH;
    return member_qualifies(methods, values, member) ? EXPLAIN_DRAWN_ANEW : EXPLAIN_NONE_TO_TASTE;
}

static struct snapshot_member member_of(const struct snapshot_service *service, uint32_t slot)
{
    uint32_t at = 0;
    while (at + 1 < service->member_count && service->members[at].slot != slot)
        at++;
    return service->members[at];
}

/* Marks the row of the node that was picked, which gets one if it has none: the first of `source`. */
static void chosen_mark(struct explanation *explanation, struct world *world, struct snapshot_member member,
                        enum explain_source source)
{
    for (uint32_t i = 0; i < explanation->node_count; i++) {
        struct explained_node *node = &explanation->nodes[i];
        if (node->slot == member.slot && node->source == source) {
            node->chosen = true;
            return;
        }
    }
    struct explained_node *node = note(explanation, world, member, source);
    node->chosen = node->qualifies = true;
}

/* The picks' own steps, one after the other (policy.c, batch_run). */
static int world_pick(struct world *world, const struct snapshot *snapshot, const struct snapshot_service *service,
                      struct explanation *explanation)
{
    const struct policy_methods *methods = policy_methods_of(explanation->policy);
    struct pick_item item = {
        .service_id = service->service_id,
        .members = service->members,
        .shares = service->shares,
        .member_count = service->member_count,
    };
    struct pick_batch batch = {.state = &world->state, .values = world->values, .items = &item, .item_count = 1};
    uint64_t turns = world->state.turns;
    enum explain_source source = EXPLAIN_DRAWN;
    methods->draw(&batch);
    drawn_note(explanation, methods, world, &item);
    idle_note(explanation, methods, world, service->service_id);
    methods->choose_batch(&batch);
    bool anew = item.result == PICK_UNSURE;
    if (anew)
        item.result = pick_general(explanation->policy, &batch, snapshot, service->service_id);
    if (item.result < 0)
        return item.result;
    explanation->slot = (uint32_t)item.result;
    struct snapshot_member member = member_of(service, explanation->slot);
    const struct explained_node *spent = token_spent(explanation, world);
    if (spent) {
        explanation->reason = node_tells_idle(&spent->known) ? EXPLAIN_IDLE_TOKEN : EXPLAIN_LOOKS_IDLE;
        source = EXPLAIN_IDLE;
    } else if (world->state.turns != turns) {
        explanation->reason = EXPLAIN_OLD;
        source = item.in_turn && !anew ? EXPLAIN_DRAWN : EXPLAIN_ANEW;
    } else if (anew) {
        explanation->reason = reason_anew(methods, &world->values[member.slot], member);
        source = EXPLAIN_ANEW;
    } else {
        explanation->reason = reason_drawn(explanation->policy, explanation, &item);
    }
    chosen_mark(explanation, world, member, source);
    return 0;
}

int policy_explain(enum policy policy, const struct pick_state *state, const struct snapshot *snapshot,
                   struct node_values *values, uint64_t service_id, struct explanation *ret_explanation)
{
    struct world world = {.values = NULL};
    struct explanation explanation = {.policy = policy};
    const struct snapshot_service *service = snapshot_service_find(snapshot, service_id);
    if (!service)
        return USHER_ENOSERVICE;
    if (service->member_count == 0)
        return USHER_ENONODE;
    explanation.member_count = service->member_count;
    int error = world_copy(&world, state, service, values);
    if (error == 0)
        error = world_pick(&world, snapshot, service, &explanation);
    explanation.dispatchers = atomic_load_explicit(&world.finish.dispatchers, memory_order_relaxed);
    explanation.age_s = atomic_load_explicit(&world.finish.age_s, memory_order_relaxed);
    world_done(&world);
    if (error == 0)
        *ret_explanation = explanation;
    return error;
}
