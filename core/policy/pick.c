/* What the policies share: whom they may hand out at all, random choice among these, and which of thousands are left. */
#include "core/base/hash.h"
#include "core/policy/policy_methods.h"

static bool slot_is_taken(const struct pick *pick, uint32_t slot)
{
    for (uint32_t i = 0; i < pick->slot_count; i++)
        if (pick->slots[i] == slot)
            return true;
    for (uint32_t i = 0; i < pick->query->exclude_count; i++)
        if (address_equal(&pick->query->excludes[i], &pick->values[slot].address))
            return true;
    return false;
}

bool pick_accepts(const struct pick *pick, struct snapshot_member member)
{
    const struct node_values *values = &pick->values[member.slot];
    uint32_t flags = atomic_load_explicit(&values->flags, memory_order_relaxed);
    if (flags & NODE_VALUE_DRAIN)
        return false;
    if ((flags & NODE_VALUE_LAST) && pick->demand != DEMAND_ANY)
        return false;
    if (pick->demand == DEMAND_POLICY && pick->methods->accept && !pick->methods->accept(values, member))
        return false;
    return !slot_is_taken(pick, member.slot);
}

static double member_share(const struct pick *pick, struct snapshot_member member)
{
    return pick->methods->share ? pick->methods->share(pick->state, &pick->values[member.slot]) : 1;
}

/* Of all that have been looked at each acceptable one as likely as its share; `member` joins in. */
static void member_draw(struct pick *pick, const struct snapshot_member *member, double *total,
                        const struct snapshot_member **chosen)
{
    if (!pick_accepts(pick, *member))
        return;
    double share = member_share(pick, *member);
    *total += share;
    if (random_unit(&pick->state->random) * *total < share)
        *chosen = member;
}

const struct snapshot_member *pick_by_pass(struct pick *pick)
{
    const struct snapshot_member *chosen = NULL;
    double total = 0;
    for (uint32_t i = 0; i < pick->member_count; i++)
        member_draw(pick, &pick->members[i], &total, &chosen);
    return chosen;
}

/* ---- of many members few ---- */

#define SCARCE_LOOKS 64u /* members that each call looks at */
#define SCARCE_LEAP                                                                                                              \
    UINT64_C(                                                                                                                    \
        2654435761) /* from one to the next: those that joined together do not come together; a prime, so that none is left out */
#define SCARCE_AGAIN_NS UINT64_C(10000000) /* as old as what rm relays may be: so long it is believed that there is none */

/* Whatever is wanted of it otherwise, it can be handed out. */
static bool is_usable(const struct pick *pick, uint32_t position)
{
    uint32_t out = pick->demand == DEMAND_ANY ? NODE_VALUE_DRAIN : NODE_VALUE_DRAIN | NODE_VALUE_LAST;
    const struct node_values *values = &pick->values[pick->members[position].slot];
    return (atomic_load_explicit(&values->flags, memory_order_relaxed) & out) == 0;
}

/* Of those found by the first pass each is as likely to be kept as any other (Vitter 1985). */
static void scarce_begin(struct pick *pick, struct pick_scarce *scarce)
{
    uint32_t usable = 0;
    *scarce = (struct pick_scarce){.members = pick->members, .member_count = pick->member_count, .begun_ns = pick->state->now_ns};
    for (uint32_t i = 0; i < pick->member_count; i++) {
        if (!is_usable(pick, i))
            continue;
        usable++;
        if (scarce->found < PICK_SCARCE_MAX) {
            scarce->positions[scarce->found++] = i;
            continue;
        }
        uint32_t at = random_below(&pick->state->random, usable);
        if (at < PICK_SCARCE_MAX)
            scarce->positions[at] = i;
    }
}

static void scarce_note(struct pick *pick, struct pick_scarce *scarce, uint32_t position)
{
    if (!is_usable(pick, position))
        return;
    for (uint32_t i = 0; i < scarce->found; i++)
        if (scarce->positions[i] == position)
            return;
    uint32_t at = scarce->found < PICK_SCARCE_MAX ? scarce->found++ : random_below(&pick->state->random, PICK_SCARCE_MAX);
    scarce->positions[at] = position;
}

static void scarce_go_on(struct pick *pick, struct pick_scarce *scarce)
{
    for (uint32_t i = 0; i < scarce->found;)
        if (is_usable(pick, scarce->positions[i]))
            i++;
        else
            scarce->positions[i] = scarce->positions[--scarce->found];
    for (uint32_t i = 0; i < SCARCE_LOOKS; i++) {
        scarce_note(pick, scarce, scarce->cursor);
        scarce->cursor = (uint32_t)((scarce->cursor + SCARCE_LEAP) % scarce->member_count);
    }
}

static struct pick_scarce *scarce_now(struct pick *pick)
{
    uint64_t index = hash_mix(pick->query->service_id) * 2 + (pick->demand == DEMAND_ANY);
    struct pick_scarce *scarce = &pick->state->scarces[index % PICK_SCARCES];
    if (scarce->members != pick->members || scarce->member_count != pick->member_count)
        scarce_begin(pick, scarce);
    else
        scarce_go_on(pick, scarce);
    return scarce;
}

static bool scarce_begin_again(struct pick *pick, struct pick_scarce *scarce)
{
    if (pick->state->now_ns - scarce->begun_ns < SCARCE_AGAIN_NS)
        return false;
    scarce_begin(pick, scarce);
    return true;
}

static const struct snapshot_member *scarce_draw(struct pick *pick, const struct pick_scarce *scarce)
{
    const struct snapshot_member *chosen = NULL;
    double total = 0;
    for (uint32_t i = 0; i < scarce->found; i++)
        member_draw(pick, &pick->members[scarce->positions[i]], &total, &chosen);
    return chosen;
}

const struct snapshot_member *pick_of_few(struct pick *pick)
{
    if (pick->member_count <= PASS_MEMBERS_MAX)
        return pick_by_pass(pick);
    struct pick_scarce *scarce = scarce_now(pick);
    const struct snapshot_member *chosen = scarce_draw(pick, scarce);
    if (!chosen && scarce_begin_again(pick, scarce))
        chosen = scarce_draw(pick, scarce);
    return !chosen && scarce->found == PICK_SCARCE_MAX ? pick_by_pass(pick) : chosen;
}

bool pick_has_none(struct pick *pick)
{
    if (pick->member_count <= PASS_MEMBERS_MAX)
        return false;
    struct pick_scarce *scarce = scarce_now(pick);
    return scarce->found == 0 && !(scarce_begin_again(pick, scarce) && scarce->found > 0);
}

const struct snapshot_member *pick_at_random(struct pick *pick)
{
    for (uint32_t i = 0; i < PICK_TRIES; i++) {
        const struct snapshot_member *member = &pick->members[random_below(&pick->state->random, pick->member_count)];
        double share = member_share(pick, *member);
        if (share < 1 && random_unit(&pick->state->random) >= share)
            continue;
        if (pick_accepts(pick, *member))
            return member;
    }
    return pick_of_few(pick);
}
