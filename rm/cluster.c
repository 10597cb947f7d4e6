#include "rm/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "rm/averages.h"
#include "rm/changes.h"
#include "rm/membership.h"

/* How far ahead of our clock the moment of an operator's word may be. Beyond it is no moment but a number, and who follows on such ones
 * comes to where no reader takes the next (numbers of JSON end at 2^53): an operator's word would be lost with the next restart. A node's
 * message, which anybody may send, gets a day. Redis gets ten years, also so that what was stored while our own clock was ahead is found
 * when it has been set right; the next word is far below that in either case. */
#define ADMIN_TOLD_AHEAD_MS (UINT64_C(86400) * MS_PER_S)
#define ADMIN_STORED_AHEAD_MS (3650 * ADMIN_TOLD_AHEAD_MS)

/* The clock of a machine that has lost its time says something before this, the year 2020; then all versions that leave room pass. */
#define CLOCK_LOST_BEFORE_MS UINT64_C(1577836800000)
#define ADMIN_TOLD_MAX ((UINT64_C(1) << 52) - 1)
#define ADMIN_STORED_MAX ((UINT64_C(1) << 53) - 1)

int cluster_new(const struct cluster_config *config, uint64_t now_ns, struct cluster **ret_cluster)
{
    CHECK(config->valid_ns > 0 && config->on_event);
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster)
        return -ENOMEM;
    cluster->config = *config;
    cluster->free_head = NODE_NONE;
    cluster->started_ns = now_ns;
    cluster->restored_age_ns = UINT64_MAX;
    map_init(&cluster->by_address, sizeof(struct address));
    services_init(&cluster->services);
    for (uint32_t i = 0; i < NODE_STATES; i++)
        node_list_init(&cluster->states[i]);
    node_list_init(&cluster->changes);
    node_list_init(&cluster->dirty);
    node_list_init(&cluster->words);
    cluster->removals = calloc(CLUSTER_REMOVALS_MAX, sizeof(*cluster->removals));
    if (!cluster->removals) {
        cluster_free(cluster);
        return -ENOMEM;
    }
    *ret_cluster = cluster;
    return 0;
}

void cluster_free(struct cluster *cluster)
{
    if (!cluster)
        return;
    for (uint32_t slot = 0; slot < cluster->slot_count; slot++)
        node_release(&cluster->nodes[slot]);
    free(cluster->nodes);
    free(cluster->dispatchers);
    free(cluster->removals);
    map_done(&cluster->by_address);
    services_done(&cluster->services);
    free(cluster);
}

uint32_t cluster_find(const struct cluster *cluster, const struct address *address)
{
    return map_get(&cluster->by_address, address);
}

/* Whether a datagram of this boot and sequence may speak for the node. */
static enum cluster_verdict boot_check(const struct node *node, const struct wire_trailer *trailer)
{
    if (trailer->boot_id == node->boot.boot_id)
        return trailer->sequence > node->boot.sequence ? CLUSTER_ACCEPTED : CLUSTER_REPLAYED;
    for (uint8_t i = 0; i < node->older_count; i++) {
        if (node->older[i].boot_id != trailer->boot_id)
            continue;
        /* Late datagrams of a process that was replaced. When its successor is gone it may come back: it lives, then. */
        if (node->state == NODE_FRESH)
            return CLUSTER_OLDER_BOOT;
        return trailer->sequence > node->older[i].sequence ? CLUSTER_ACCEPTED : CLUSTER_REPLAYED;
    }
    return CLUSTER_ACCEPTED;
}

/* Takes the boot over; true when another process spoke for the node before. */
static bool boot_take(struct node *node, const struct wire_trailer *trailer)
{
    struct node_boot boot = {.boot_id = trailer->boot_id, .sequence = trailer->sequence};
    bool rebooted = node->boot.boot_id != 0 && node->boot.boot_id != boot.boot_id;
    node->instance = node->instance && node->boot.boot_id == boot.boot_id;
    if (rebooted) {
        uint8_t kept = 0;
        for (uint8_t i = 0; i < node->older_count; i++)
            if (node->older[i].boot_id != boot.boot_id)
                node->older[kept++] = node->older[i];
        if (kept == NODE_OLDER_BOOTS_MAX) {
            kept--;
            memmove(node->older, node->older + 1, kept * sizeof(node->older[0]));
        }
        node->older[kept++] = node->boot;
        node->older_count = kept;
    }
    node->boot = boot;
    return rebooted;
}

static void boot_change(struct cluster *cluster, uint32_t slot, const struct wire_trailer *trailer)
{
    if (!boot_take(&cluster->nodes[slot], trailer))
        return;
    cluster->nodes[slot].metadata_dirty = true;
    cluster->config.on_event(cluster->config.ctx, CLUSTER_NODE_REBOOTED, slot);
}

/* What of the heartbeat's services counts: nothing twice. */
static uint8_t services_filter(const struct wire_heartbeat *heartbeat,
                               struct wire_service_load ret_services[static NODE_SERVICES_MAX])
{
    uint8_t count = 0;
    for (uint8_t i = 0; i < heartbeat->service_count; i++) {
        bool counts = true;
        for (uint8_t j = 0; j < count && counts; j++)
            counts = ret_services[j].service_id != heartbeat->services[i].service_id;
        if (counts)
            ret_services[count++] = heartbeat->services[i];
    }
    return count;
}

static bool services_are_the_same(const struct node *node, const struct wire_service_load *services, uint8_t count)
{
    if (node->service_count != count)
        return false;
    for (uint8_t i = 0; i < count; i++)
        if (node->services[i].service_id != services[i].service_id)
            return false;
    return true;
}

/* True in *ret_changed when the node offers other services than before. */
static int services_take(struct cluster *cluster, uint32_t slot, const struct wire_heartbeat *heartbeat, bool *ret_changed)
{
    struct node *node = &cluster->nodes[slot];
    struct wire_service_load services[NODE_SERVICES_MAX];
    uint8_t count = services_filter(heartbeat, services);
    bool changed = !services_are_the_same(node, services, count);
    if (changed) {
        averages_leave(cluster, slot);
        int error = membership_set_services(cluster, slot, services, count);
        if (error < 0)
            return error;
    }
    for (uint8_t i = 0; i < count; i++) {
        node->services[i].work_s = services[i].work_s;
        node->services[i].rate = services[i].rate;
    }
    *ret_changed = changed;
    return 0;
}

static void metadata_take(struct node *node, const struct wire_heartbeat *heartbeat)
{
    memcpy(node->metadata, heartbeat->metadata, heartbeat->metadata_count * sizeof(node->metadata[0]));
    node->metadata_count = heartbeat->metadata_count;
}

/* Everything but who the node is and when it spoke. -ENOMEM, -ENOSPC: some of it may have been taken. */
static int heartbeat_take(struct cluster *cluster, uint32_t slot, const struct wire_heartbeat *heartbeat)
{
    struct node *node = &cluster->nodes[slot];
    float old_load = node->load_index;
    bool services_changed;
    bool identity = node->kind != heartbeat->kind || node->slots != heartbeat->slots || node->flags != heartbeat->node_flags;
    int error = node_set_echoes(node, heartbeat->echoes, heartbeat->echo_count);
    if (error < 0)
        return error;
    error = services_take(cluster, slot, heartbeat, &services_changed);
    if (error < 0)
        return error;
    metadata_take(node, heartbeat);
    node->kind = heartbeat->kind;
    node->flags = heartbeat->node_flags;
    node->slots = heartbeat->slots;
    node->timestamp_ms = heartbeat->timestamp_ms;
    node->load_index = heartbeat->load_index;
    node->load_per_job = heartbeat->load_per_job;
    node->jobs_queued = heartbeat->jobs_queued;
    node->jobs_running = heartbeat->jobs_running;
    node->metadata_dirty = node->metadata_dirty || identity || services_changed;
    averages_load_changed(cluster, slot, old_load);
    weights_update(cluster, slot);
    return 0;
}

/* The node has been heard of: it is in the examined set, whatever it was before (R4). */
static int node_arrive(struct cluster *cluster, uint32_t slot, uint64_t now_ns)
{
    struct node *node = &cluster->nodes[slot];
    enum node_state was = node->state;
    bool restored = node->restored;
    node->restored = false;
    node->arrival_ns = now_ns;
    /* The first to come back after all had been lost must not be left alone: the others follow within a heartbeat. */
    if (cluster->states[NODE_FRESH].count == 0 && cluster->states[NODE_LAST].count > 1)
        cluster_grace_begin(cluster, now_ns);
    int error = membership_enter(cluster, slot, NODE_FRESH);
    if (was == NODE_REGISTERED)
        cluster->config.on_event(cluster->config.ctx, CLUSTER_NODE_JOINED, slot);
    else if (was != NODE_FRESH || restored)
        cluster->config.on_event(cluster->config.ctx, CLUSTER_NODE_RETURNED, slot);
    return error;
}

/* A flood in a node's name costs little, and does not silence the node: what is within the rate is taken, whoever sent it. A second's worth
 * may come at once. */
static bool allowance_take(const struct cluster *cluster, struct node *node, uint64_t now_ns)
{
    float per_s = (float)cluster->config.messages_per_s;
    if (cluster->config.messages_per_s == 0)
        return true;
    float passed_s = (float)(now_ns - node->allowance_ns) / (float)NS_PER_S;
    float allowance = node->allowance_ns == 0 || passed_s > 1 ? per_s : node->allowance + passed_s * per_s;
    node->allowance_ns = now_ns;
    node->allowance = allowance < per_s ? allowance : per_s;
    if (node->allowance < 1)
        return false;
    node->allowance--;
    return true;
}

/* Whether the message counts, whose node is known from now on. CLUSTER_ACCEPTED, with *ret_slot: it does. */
static enum cluster_verdict message_admit(struct cluster *cluster, struct cluster_time now, const struct address *address,
                                          const struct wire_trailer *trailer, uint32_t *ret_slot)
{
    uint32_t slot;
    if (membership_put(cluster, now, address, &slot) < 0)
        return CLUSTER_FULL;
    enum cluster_verdict verdict = boot_check(&cluster->nodes[slot], trailer);
    if (verdict == CLUSTER_ACCEPTED && !allowance_take(cluster, &cluster->nodes[slot], now.ns))
        verdict = CLUSTER_TOO_MANY;
    if (verdict == CLUSTER_ACCEPTED)
        *ret_slot = slot;
    return verdict;
}

enum cluster_verdict cluster_heartbeat(struct cluster *cluster, struct cluster_time now, const struct wire_heartbeat *heartbeat,
                                       uint32_t *ret_slot)
{
    uint32_t slot;
    enum cluster_verdict verdict = message_admit(cluster, now, &heartbeat->node, &heartbeat->trailer, &slot);
    if (verdict != CLUSTER_ACCEPTED)
        return verdict;
    struct node *node = &cluster->nodes[slot];
    boot_change(cluster, slot, &heartbeat->trailer);
    if (node->collided_boot == node->boot.boot_id)
        return CLUSTER_COLLISION;
    if (heartbeat_take(cluster, slot, heartbeat) < 0)
        return CLUSTER_FULL;
    node->clock_offset_ms = (int64_t)(heartbeat->timestamp_ms - now.wall_ms);
    if (node_arrive(cluster, slot, now.ns) < 0)
        return CLUSTER_FULL;
    if (cluster_keeps_metrics(cluster))
        node_metrics_take(node, now.ns);
    (void)cluster_admin_adopt(cluster, now, slot, &heartbeat->admin, CLUSTER_ADMIN_TOLD, NULL);
    *ret_slot = slot;
    return CLUSTER_ACCEPTED;
}

static int names_take(struct cluster *cluster, const struct wire_register *registration)
{
    for (uint8_t i = 0; i < registration->service_count; i++) {
        const struct wire_service_name *name = &registration->services[i];
        uint32_t index;
        int error = services_put_name(&cluster->services, name->text, name->length, &index);
        if (error < 0)
            return error;
    }
    return 0;
}

static void collision_note(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    if (node->collided_boot != node->boot.boot_id)
        cluster->config.on_event(cluster->config.ctx, CLUSTER_NAME_COLLISION, slot);
    node->collided_boot = node->boot.boot_id;
}

enum cluster_verdict cluster_register(struct cluster *cluster, struct cluster_time now, const struct wire_register *registration,
                                      uint32_t *ret_slot)
{
    uint32_t slot;
    enum cluster_verdict verdict = message_admit(cluster, now, &registration->node, &registration->trailer, &slot);
    if (verdict != CLUSTER_ACCEPTED)
        return verdict;
    struct node *node = &cluster->nodes[slot];
    bool same_boot = node->boot.boot_id == registration->trailer.boot_id && node->state != NODE_REGISTERED;
    boot_change(cluster, slot, &registration->trailer);
    int error = names_take(cluster, registration);
    if (error == USHER_ENAMECOLLISION) {
        collision_note(cluster, slot);
        return CLUSTER_COLLISION;
    }
    if (error < 0)
        return CLUSTER_FULL;
    node->collided_boot = 0;
    node->registered_boot = node->boot.boot_id;
    node->metadata_dirty = true;
    changes_mark_dirty(cluster, slot);
    *ret_slot = slot;
    if (!same_boot)
        return CLUSTER_ACCEPTED;
    return node_arrive(cluster, slot, now.ns) < 0 ? CLUSTER_FULL : CLUSTER_ACCEPTED;
}

bool cluster_wants_register(const struct cluster *cluster, uint32_t slot)
{
    const struct node *node = &cluster->nodes[slot];
    if (node->registered_boot != node->boot.boot_id)
        return true;
    for (uint8_t i = 0; i < node->service_count; i++)
        if (cluster->services.item[node->services[i].service].name[0] == '\0')
            return true;
    return false;
}

/* An operator changes drain or weight, not both. One word of another rm that changes both of a word told here either is two that were told there,
 * or did not follow on ours: then ours is lost. */
static bool admin_overrules(const struct cluster *cluster, const struct wire_admin *word, const struct wire_admin *before)
{
    bool same_weight = ((word->flags ^ before->flags) & WIRE_ADMIN_WEIGHT) == 0 && word->weight >= before->weight &&
                       word->weight <= before->weight;
    return before->version_ms != 0 && before->flags != 0 && before->writer_rm_id == cluster->config.rm_id &&
           word->writer_rm_id != cluster->config.rm_id && !same_weight;
}

/* Takes the word as it is and lets it have its effect. */
static void admin_take(struct cluster *cluster, uint32_t slot, const struct wire_admin *admin, const char *reason)
{
    struct node *node = &cluster->nodes[slot];
    bool was_drained = node_is_drained(node);
    bool drained = (admin->flags & WIRE_ADMIN_DRAIN) != 0;
    enum cluster_event event = drained ? CLUSTER_NODE_DRAINED : CLUSTER_NODE_READY;
    if (admin_overrules(cluster, admin, &node->admin))
        event = CLUSTER_NODE_OVERRULED;
    node->admin = *admin;
    node->admin_dirty = true;
    if (!node->has_word && admin->version_ms != 0) {
        node->has_word = true;
        node_list_append(&cluster->words, cluster->nodes, slot, NODE_LIST_WORDS);
    }
    node_set_reason(node, reason);
    changes_mark_dirty(cluster, slot);
    /* Out of memory while a node joins its averages: it stays unmarked until its next heartbeat. */
    weights_update(cluster, slot);
    if (averages_update(cluster, slot) == 0 && node_is_listed(node))
        changes_touch(cluster, slot);
    if (was_drained != drained)
        cluster->config.on_event(cluster->config.ctx, event, slot);
}

bool cluster_admin_is_plausible(const struct wire_admin *admin, struct cluster_time now, enum cluster_admin_source source)
{
    bool stored = source == CLUSTER_ADMIN_STORED;
    if (now.wall_ms < CLOCK_LOST_BEFORE_MS)
        return admin->version_ms <= (stored ? ADMIN_STORED_MAX : ADMIN_TOLD_MAX);
    return admin->version_ms <= now.wall_ms + (stored ? ADMIN_STORED_AHEAD_MS : ADMIN_TOLD_AHEAD_MS);
}

bool cluster_admin_adopt(struct cluster *cluster, struct cluster_time now, uint32_t slot, const struct wire_admin *admin,
                         enum cluster_admin_source source, const char *reason)
{
    if (!cluster_admin_is_plausible(admin, now, source) || !wire_admin_is_later(admin, &cluster->nodes[slot].admin))
        return false;
    admin_take(cluster, slot, admin, reason);
    return true;
}

/* The word that follows on what is known, as from here and now. */
static struct wire_admin admin_next(const struct cluster *cluster, struct cluster_time now, uint32_t slot)
{
    struct wire_admin admin = cluster->nodes[slot].admin;
    admin.version_ms = now.wall_ms > admin.version_ms ? now.wall_ms : admin.version_ms + 1;
    admin.writer_rm_id = cluster->config.rm_id;
    return admin;
}

int cluster_admin_set(struct cluster *cluster, struct cluster_time now, const struct address *address, uint8_t set, uint8_t clear,
                      const char *reason)
{
    uint32_t slot = cluster_find(cluster, address);
    if (slot == NODE_NONE)
        return -ENOENT;
    struct wire_admin admin = admin_next(cluster, now, slot);
    admin.flags = (uint8_t)((admin.flags & ~clear) | set);
    admin_take(cluster, slot, &admin, reason);
    return 0;
}

int cluster_admin_weight(struct cluster *cluster, struct cluster_time now, const struct address *address, const float *weight)
{
    uint32_t slot = cluster_find(cluster, address);
    if (slot == NODE_NONE)
        return -ENOENT;
    struct wire_admin admin = admin_next(cluster, now, slot);
    char reason[NODE_REASON_BYTES_MAX + 1];
    snprintf(reason, sizeof(reason), "%s", cluster->nodes[slot].reason ? cluster->nodes[slot].reason : "");
    admin.flags &= (uint8_t)~WIRE_ADMIN_WEIGHT;
    if (weight)
        admin.flags |= WIRE_ADMIN_WEIGHT;
    admin.weight = weight ? *weight : 0;
    admin_take(cluster, slot, &admin, reason);
    return 0;
}

void cluster_deregister(struct cluster *cluster, struct cluster_time now, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    node->flags |= WIRE_NODE_DRAINING;
    node->expired_ns = now.ns;
    node->metadata_dirty = true;
    if (!node_is_listed(node))
        return;
    if (membership_enter(cluster, slot, cluster_listed_count(cluster) > 1 ? NODE_FAULTY : NODE_LAST) < 0)
        averages_leave(cluster, slot);
    cluster->config.on_event(cluster->config.ctx, CLUSTER_NODE_LEFT, slot);
}
