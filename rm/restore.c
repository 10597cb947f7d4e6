/* Nodes that an earlier run of rm, or another rm, left in Redis: what they offered, and when they last heartbeat; and operators' words.
 *
 * They are listed with their ages, but believed to live for one valid time from now, however long rm was away: else the first to
 * heartbeat again would be the only one fit to be handed out, and would get everybody's work for as long as the others take.
 *
 * Where several rm share a Redis each reads the words again and again: what is later there is adopted, what is older is written anew. So
 * they agree whichever of them was away when, and in whatever order they wrote. */
#include <errno.h>
#include <string.h>

#include "rm/averages.h"
#include "rm/changes.h"
#include "rm/cluster.h"
#include "rm/membership.h"

static bool heard_here(const struct node *node)
{
    return node->state != NODE_REGISTERED || (node->boot.boot_id != 0 && !node->restored);
}

int cluster_restore(struct cluster *cluster, struct cluster_time now, const struct cluster_restored *restored)
{
    uint32_t slot;
    int error = membership_put(cluster, now, &restored->address, &slot);
    if (error < 0)
        return error;
    struct node *node = &cluster->nodes[slot];
    if (heard_here(node))
        return 0;
    error = membership_set_services(cluster, slot, restored->services, restored->service_count);
    if (error < 0)
        return error;
    node->kind = restored->kind;
    node->flags = restored->flags;
    node->slots = restored->slots;
    node->boot = restored->boot;
    node->registered_boot = restored->registered ? restored->boot.boot_id : 0;
    node->timestamp_ms = restored->timestamp_ms;
    node->load_index = restored->load_index;
    node->load_per_job = restored->load_per_job;
    node->jobs_queued = restored->jobs_queued;
    node->jobs_running = restored->jobs_running;
    node->metadata_count = restored->metadata_count;
    memcpy(node->metadata, restored->metadata, restored->metadata_count * sizeof(node->metadata[0]));
    weights_update(cluster, slot);
    node->restored = true;
    return 0;
}

void cluster_restore_age(struct cluster *cluster, struct cluster_time now, const struct address *address, uint64_t age_ns)
{
    uint32_t slot = cluster_find(cluster, address);
    if (slot == NODE_NONE || !cluster->nodes[slot].restored)
        return;
    /* 0 says that it never heartbeat; a machine that has just booted has no time as early as an old heartbeat's. */
    cluster->nodes[slot].arrival_ns = now.ns > age_ns ? now.ns - age_ns : 1;
    if (age_ns < cluster->restored_age_ns)
        cluster->restored_age_ns = age_ns;
}

void cluster_restore_load(struct cluster *cluster, const struct address *address, float load_index)
{
    uint32_t slot = cluster_find(cluster, address);
    if (slot != NODE_NONE && cluster->nodes[slot].restored && cluster->nodes[slot].state == NODE_REGISTERED)
        cluster->nodes[slot].load_index = load_index;
}

static void word_write(struct cluster *cluster, uint32_t slot)
{
    cluster->nodes[slot].admin_dirty = true;
    changes_mark_dirty(cluster, slot);
}

int cluster_restore_admin(struct cluster *cluster, struct cluster_time now, const struct address *address,
                          const struct wire_admin *admin, const char *reason, bool *ret_adopted)
{
    uint32_t slot = cluster_find(cluster, address);
    *ret_adopted = false;
    if (!cluster_admin_is_plausible(admin, now, CLUSTER_ADMIN_STORED)) {
        if (slot != NODE_NONE && cluster->nodes[slot].admin.version_ms != 0)
            word_write(cluster, slot);
        return -ERANGE;
    }
    if (slot == NODE_NONE && admin->flags == 0)
        return 0; /* taken back, of a node that may never come again */
    int error = membership_put(cluster, now, address, &slot);
    if (error < 0)
        return error;
    struct node *node = &cluster->nodes[slot];
    node->word_reading = cluster->word_reading;
    bool ours_is_later = wire_admin_is_later(&node->admin, admin);
    if (cluster_admin_adopt(cluster, now, slot, admin, CLUSTER_ADMIN_STORED, reason)) {
        cluster->nodes[slot].admin_dirty = false; /* it stands there */
        *ret_adopted = true;
    } else if (ours_is_later || (node->reason && reason[0] == '\0')) {
        word_write(cluster, slot);
    } else if (!node->reason) {
        node_set_reason(node, reason); /* the word itself came with a heartbeat, which carries no reason */
    }
    return 0;
}

void cluster_words_reading(struct cluster *cluster)
{
    cluster->word_reading++;
}

uint32_t cluster_words_missing(struct cluster *cluster)
{
    uint32_t missing = 0;
    for (uint32_t slot = cluster->words.head; slot != NODE_NONE; slot = cluster->nodes[slot].links[NODE_LIST_WORDS].next) {
        const struct node *node = &cluster->nodes[slot];
        if (node->admin_dirty || node->word_reading == cluster->word_reading)
            continue;
        word_write(cluster, slot);
        missing++;
    }
    return missing;
}

/* Known from Redis, and without a beat there: they were faulty before. */
static void faulty_enter(struct cluster *cluster, uint32_t slot, uint64_t now_ns)
{
    struct node *node = &cluster->nodes[slot];
    node->expired_ns = now_ns;
    if (membership_enter(cluster, slot, NODE_FAULTY) < 0)
        averages_leave(cluster, slot);
}

void cluster_restore_commit(struct cluster *cluster, struct cluster_time now)
{
    uint32_t next;
    /* After a valid time of our own whoever lives has been heard. */
    bool late = now.ns - cluster->started_ns > cluster->config.valid_ns;
    for (uint32_t slot = cluster->states[NODE_REGISTERED].head; slot != NODE_NONE; slot = next) {
        struct node *node = &cluster->nodes[slot];
        next = node->links[NODE_LIST_STATE].next;
        if (node->restored && node->arrival_ns == 0)
            faulty_enter(cluster, slot, now.ns);
        if (late || !node->restored || node->arrival_ns == 0)
            continue;
        node->trusted_ns = now.ns;
        /* Out of memory: listed, but neither examined nor told of; its next heartbeat tries again. */
        if (membership_enter(cluster, slot, NODE_FRESH) < 0)
            averages_leave(cluster, slot);
        cluster->restored_count++;
    }
    if (cluster->restored_count > 0)
        cluster_grace_begin(cluster, now.ns);
    /* Somebody has written there within the valid time. An old store knows nothing of those who came since. */
    cluster->restored_current = cluster->restored_count > 0 && cluster->restored_age_ns <= cluster->config.valid_ns;
}
