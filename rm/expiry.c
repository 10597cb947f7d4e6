/* Who is too old (requirement R2), and what keeps rm from believing that too easily.
 *
 * A node that expires is first listed last (dispatchers pass it over unless nothing better is there) and leaves the list a
 * moment later: in this moment it shows whether many expire together. Three things keep it listed: grace, protection, and
 * that nobody fresh is left, since a list once filled never becomes empty. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "rm/averages.h"
#include "rm/changes.h"
#include "rm/cluster.h"
#include "rm/membership.h"

#define LINGER_NS_MAX (300 * NS_PER_MS)
#define PROTECTION_NODES_MIN 2u
#define PROTECTION_SHARE_DIVISOR 4u /* a quarter */
#define PROTECTION_VALID_TIMES 10u
#define GRACE_VALID_TIMES 2u
#define FAULTY_KEPT_NS (3600 * NS_PER_S)

/* Nodes that one sweep moves on, so that heartbeats do not wait when very many expire. */
#define SWEEP_NODES_MAX 1024u

/* Services that one sweep looks at: all of them within minutes. */
#define SWEEP_SERVICES 64u

static uint64_t linger_ns(const struct cluster_config *config)
{
    uint64_t tenth = config->valid_ns / 10;
    return tenth < LINGER_NS_MAX ? tenth : LINGER_NS_MAX;
}

static bool stood_still(const struct cluster *cluster, uint64_t now_ns)
{
    return cluster->swept_ns != 0 && now_ns - cluster->swept_ns > cluster->config.valid_ns / 2;
}

uint64_t cluster_detection_ns(const struct cluster_config *config)
{
    return config->valid_ns + linger_ns(config) + cluster_sweep_interval_ns(config);
}

uint64_t cluster_sweep_interval_ns(const struct cluster_config *config)
{
    uint64_t part = config->valid_ns / 40;
    return part < 50 * NS_PER_MS ? part : 50 * NS_PER_MS;
}

bool cluster_is_complete(const struct cluster *cluster, uint64_t now_ns)
{
    return cluster_complete_ns(cluster, now_ns) == 0;
}

uint64_t cluster_complete_ns(const struct cluster *cluster, uint64_t now_ns)
{
    uint64_t since_ns = cluster->started_ns;
    if (stood_still(cluster, now_ns))
        since_ns = now_ns; /* the next sweep will say so */
    else if (cluster->restored_current)
        return 0;
    return now_ns - since_ns >= cluster->config.valid_ns ? 0 : since_ns + cluster->config.valid_ns;
}

uint64_t cluster_shown_ns(const struct cluster *cluster, uint64_t now_ns)
{
    return cluster->was_complete ? 0 : cluster_complete_ns(cluster, now_ns);
}

void cluster_grace_begin(struct cluster *cluster, uint64_t now_ns)
{
    cluster->grace_until_ns = now_ns + GRACE_VALID_TIMES * cluster->config.valid_ns;
}

static void buckets_advance(struct cluster_protection *protection, uint64_t valid_ns, uint64_t now_ns)
{
    uint64_t bucket_ns = valid_ns / CLUSTER_PROTECTION_BUCKETS + 1;
    uint64_t steps = (now_ns - protection->bucket_start_ns) / bucket_ns;
    protection->bucket_start_ns += steps * bucket_ns;
    for (uint64_t i = 0; i < steps && i < CLUSTER_PROTECTION_BUCKETS; i++) {
        protection->bucket = (protection->bucket + 1) % CLUSTER_PROTECTION_BUCKETS;
        protection->expired[protection->bucket] = 0;
    }
}

static uint32_t buckets_sum(const struct cluster_protection *protection)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < CLUSTER_PROTECTION_BUCKETS; i++)
        sum += protection->expired[i];
    return sum;
}

/* More than a person would have switched off, or than chance takes, within one valid time. */
static bool too_many(uint32_t expired, uint32_t fresh)
{
    uint32_t quarter = (fresh + expired) / PROTECTION_SHARE_DIVISOR;
    return expired > (quarter > PROTECTION_NODES_MIN ? quarter : PROTECTION_NODES_MIN);
}

/* What memory could not be found for shows at the node's next heartbeat, which tries again. */
static void enter(struct cluster *cluster, uint32_t slot, enum node_state state)
{
    if (membership_enter(cluster, slot, state) < 0)
        averages_leave(cluster, slot);
}

static void node_expire(struct cluster *cluster, uint32_t slot, uint64_t now_ns)
{
    struct node *node = &cluster->nodes[slot];
    bool leaving = (node->flags & WIRE_NODE_DRAINING) != 0;
    node->expired_ns = now_ns > cluster->grace_until_ns ? now_ns : cluster->grace_until_ns;
    enter(cluster, slot, NODE_LAST);
    if (!leaving)
        cluster->protection.expired[cluster->protection.bucket]++;
    cluster->config.on_event(cluster->config.ctx, leaving ? CLUSTER_NODE_LEFT : CLUSTER_NODE_EXPIRED, slot);
}

static void fresh_expire(struct cluster *cluster, uint64_t now_ns, uint32_t *budget)
{
    const struct node_list *fresh = &cluster->states[NODE_FRESH];
    for (; *budget > 0 && fresh->head != NODE_NONE; (*budget)--) {
        if (node_silence_ns(&cluster->nodes[fresh->head], now_ns) <= cluster->config.valid_ns)
            return;
        node_expire(cluster, fresh->head, now_ns);
    }
}

/* Those that left the list just before it became clear that many are leaving. */
static void faulty_relist(struct cluster *cluster, uint64_t now_ns)
{
    const struct node_list *faulty = &cluster->states[NODE_FAULTY];
    for (;;) {
        uint32_t slot = faulty->tail;
        if (slot == NODE_NONE || cluster->nodes[slot].expired_ns + cluster->config.valid_ns < now_ns)
            return;
        enter(cluster, slot, NODE_LAST);
    }
}

static void protection_begin(struct cluster *cluster, uint64_t now_ns)
{
    cluster->protection.active = true;
    cluster->protection.since_ns = now_ns;
    faulty_relist(cluster, now_ns);
    cluster->config.on_event(cluster->config.ctx, CLUSTER_PROTECTION_BEGAN, NODE_NONE);
}

/* The same losses must not begin it again: what counts is what expires from now on. */
static void protection_end(struct cluster *cluster)
{
    cluster->protection.active = false;
    for (uint32_t i = 0; i < CLUSTER_PROTECTION_BUCKETS; i++)
        cluster->protection.expired[i] = 0;
    cluster->config.on_event(cluster->config.ctx, CLUSTER_PROTECTION_ENDED, NODE_NONE);
}

static void protection_step(struct cluster *cluster, uint64_t now_ns)
{
    const struct cluster_protection *protection = &cluster->protection;
    uint32_t fresh = cluster->states[NODE_FRESH].count;
    if (cluster->config.no_protection)
        return;
    if (!protection->active) {
        if (too_many(buckets_sum(protection), fresh))
            protection_begin(cluster, now_ns);
        return;
    }
    if (!too_many(cluster->states[NODE_LAST].count, fresh) ||
        now_ns - protection->since_ns >= PROTECTION_VALID_TIMES * cluster->config.valid_ns)
        protection_end(cluster);
}

/* Takes off the list who may go. */
static void last_leave(struct cluster *cluster, uint64_t now_ns, uint32_t *budget)
{
    const struct node_list *last = &cluster->states[NODE_LAST];
    if (cluster->protection.active || now_ns < cluster->grace_until_ns || cluster->states[NODE_FRESH].count == 0)
        return;
    for (; *budget > 0 && last->head != NODE_NONE; (*budget)--) {
        uint32_t slot = last->head;
        if (now_ns < cluster->nodes[slot].expired_ns + linger_ns(&cluster->config))
            return;
        enter(cluster, slot, NODE_FAULTY);
    }
}

/* Lists of nodes without a heartbeat stay short, however often addresses change. An operator's word is kept. */
static void old_forget(struct cluster *cluster, enum node_state state, uint64_t now_ns, uint32_t *budget)
{
    const struct node_list *list = &cluster->states[state];
    for (; *budget > 0 && list->head != NODE_NONE; (*budget)--) {
        struct node *node = &cluster->nodes[list->head];
        if (node->expired_ns + FAULTY_KEPT_NS >= now_ns)
            return;
        if (node->admin.flags != 0) {
            node->expired_ns = now_ns;
            enter(cluster, list->head, state);
        } else {
            membership_forget(cluster, list->head);
        }
    }
}

/* Stopped, or starved of CPU: what the nodes said meanwhile is lost, and whom other rm have met is not known here. */
static void resume(struct cluster *cluster, uint64_t now_ns)
{
    cluster->started_ns = now_ns;
    cluster->restored_current = false;
    for (uint32_t slot = cluster->states[NODE_FRESH].head; slot != NODE_NONE;
         slot = cluster->nodes[slot].links[NODE_LIST_STATE].next)
        cluster->nodes[slot].trusted_ns = now_ns;
    cluster_grace_begin(cluster, now_ns);
    cluster->config.on_event(cluster->config.ctx, CLUSTER_RESUMED, NODE_NONE);
}

bool cluster_sweep(struct cluster *cluster, struct cluster_time now)
{
    uint32_t budget = SWEEP_NODES_MAX;
    if (stood_still(cluster, now.ns))
        resume(cluster, now.ns);
    cluster->swept_ns = now.ns;
    cluster->was_complete = cluster->was_complete || cluster_is_complete(cluster, now.ns);
    buckets_advance(&cluster->protection, cluster->config.valid_ns, now.ns);
    fresh_expire(cluster, now.ns, &budget);
    protection_step(cluster, now.ns);
    last_leave(cluster, now.ns, &budget);
    old_forget(cluster, NODE_FAULTY, now.ns, &budget);
    old_forget(cluster, NODE_REGISTERED, now.ns, &budget);
    services_forget_step(&cluster->services, now.ns, SWEEP_SERVICES);
    return budget == 0;
}
