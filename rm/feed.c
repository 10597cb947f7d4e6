#include "rm/feed.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "rm/changes.h"
#include "rm/weights.h"

#define DELTA_HEAD_BYTES (FRAME_HEADER_BYTES + 40u)

void feed_init(struct feed *feed, uint64_t rm_id, uint64_t epoch)
{
    *feed = (struct feed){.rm_id = rm_id, .epoch = epoch};
}

void feed_subscribe(struct feed *feed, const struct wire_subscribe *subscribe, uint64_t request_id, uint64_t now_ns)
{
    bool ours = subscribe->have.rm_id == feed->rm_id && subscribe->have.epoch == feed->epoch;
    /* On one connection what has been sent arrives, so after the first SUBSCRIBE it does not matter that the peer has yet to take it
     * in; but one that has nothing says that it could not use what it got. */
    if (!feed->subscribed) {
        feed->told = subscribe->have.sequence;
        feed->full_ns = now_ns;
    }
    if (!ours || now_ns - feed->full_ns >= FEED_FULL_INTERVAL_NS)
        feed->full_wanted = true;
    feed->subscriber_boot = subscribe->boot_id;
    feed->request_id = request_id;
    feed->push = subscribe->push;
    feed->subscribed = true;
    feed->answer_wanted = true;
}

static uint32_t echo_jobs_find(const struct node *node, uint64_t boot_id)
{
    for (uint8_t i = 0; i < node->echo_count; i++)
        if (node->echoes[i].dispatcher_boot_id == boot_id)
            return node->echoes[i].jobs;
    return 0;
}

static void entry_fill(const struct feed *feed, const struct cluster *cluster, const struct node *node, uint64_t now_ns,
                       struct wire_node *ret_entry)
{
    uint64_t age_ms = node_age_ns(node, now_ns) / NS_PER_MS;
    struct wire_node *entry = ret_entry;
    entry->address = node->address;
    entry->kind = node->kind;
    entry->flags = node_listed_flags(node);
    entry->slots = node->slots;
    entry->boot_id = node->boot.boot_id;
    entry->age_ms = age_ms < UINT32_MAX ? (uint32_t)age_ms : UINT32_MAX;
    entry->load_index = node->load_index;
    entry->load_per_job = node->load_per_job;
    entry->jobs_queued = node->jobs_queued;
    entry->jobs_running = node->jobs_running;
    entry->echo_jobs = echo_jobs_find(node, feed->subscriber_boot);
    entry->service_count = node->service_count;
    for (uint8_t i = 0; i < node->service_count; i++) {
        const struct node_service *service = &node->services[i];
        entry->services[i] = (struct wire_node_service){
            .service_id = service->service_id,
            .flags = service->below_average ? WIRE_SERVICE_BELOW_AVERAGE : 0,
            .work_s = service->work_s,
            .rate = service->rate,
            .weight = weights_of(cluster, node, i),
        };
    }
}

/* False: the frame is full. What comes from a node's own frames has been checked there, so nothing else can go wrong. */
static bool entry_add(const struct feed *feed, const struct cluster *cluster, uint32_t slot, uint64_t now_ns,
                      struct wire_nodes_builder *builder)
{
    struct wire_node entry;
    entry_fill(feed, cluster, &cluster->nodes[slot], now_ns, &entry);
    int error = wire_nodes_add(builder, &entry);
    CHECK(error == 0 || error == -EMSGSIZE);
    return error == 0;
}

static uint32_t frame_finish(struct wire_nodes_builder *builder, bool more)
{
    int length = wire_nodes_finish(builder, more);
    CHECK(length > 0);
    return (uint32_t)length;
}

/* The slot of the first listed node from `slot` on, or slot_count. */
static uint32_t listed_from(const struct cluster *cluster, uint32_t slot)
{
    while (slot < cluster->slot_count &&
           (cluster->nodes[slot].address.family == ADDRESS_NONE || !node_is_listed(&cluster->nodes[slot])))
        slot++;
    return slot;
}

/* A part of the full list. node_total is what is listed now: a hint until the last part. */
static uint32_t full_next(struct feed *feed, const struct cluster *cluster, uint64_t now_ns, uint8_t *bytes)
{
    struct wire_nodes_builder builder;
    struct wire_directory directory = {
        .version = {.rm_id = feed->rm_id, .epoch = feed->epoch, .sequence = feed->full_sequence},
        .first = feed->next_slot == 0,
        .node_total = cluster_listed_count(cluster),
    };
    wire_directory_begin(&builder, &directory, feed->request_id, bytes, DIRECTORY_PART_BYTES_MAX);
    uint32_t slot = listed_from(cluster, feed->next_slot);
    while (slot < cluster->slot_count && entry_add(feed, cluster, slot, now_ns, &builder))
        slot = listed_from(cluster, slot + 1);
    feed->next_slot = slot;
    bool more = slot < cluster->slot_count;
    if (!more) {
        feed->full_running = false;
        feed->told = feed->full_sequence;
    }
    return frame_finish(&builder, more);
}

static void full_begin(struct feed *feed, const struct cluster *cluster, uint64_t now_ns)
{
    feed->full_wanted = false;
    feed->full_running = true;
    feed->answer_wanted = false;
    feed->full_ns = now_ns;
    feed->full_sequence = cluster->sequence;
    feed->next_slot = 0;
}

static uint32_t item_bytes(const struct cluster *cluster, const struct changes_item *item)
{
    if (item->kind == CHANGES_REMOVAL)
        return FIXED_ADDRESS_BYTES;
    return NODE_ENTRY_BYTES_MIN + cluster->nodes[item->slot].service_count * NODE_ENTRY_SERVICE_BYTES;
}

/* Up to which sequence the changes from the cursor on fit into one frame. */
static uint64_t delta_reach(struct changes_cursor cursor, uint64_t base)
{
    uint32_t bytes = DELTA_HEAD_BYTES;
    uint64_t reach = base;
    for (;;) {
        struct changes_item item = changes_peek(&cursor);
        if (item.kind == CHANGES_END)
            return item.sequence;
        bytes += item_bytes(cursor.cluster, &item);
        if (bytes > DIRECTORY_PART_BYTES_MAX)
            return reach;
        reach = item.sequence;
        changes_next(&cursor);
    }
}

/* Two passes: in a frame removals come before nodes, in the order of changes they are mixed. A node that left and came back is in
 * both lists, and the receiver takes it out and in again. */
static uint32_t delta_next(struct feed *feed, const struct cluster *cluster, uint64_t now_ns, uint8_t *bytes)
{
    struct wire_nodes_builder builder;
    struct changes_cursor cursor;
    changes_begin(cluster, feed->told, &cursor);
    struct wire_delta delta = {.rm_id = feed->rm_id, .epoch = feed->epoch, .base_sequence = feed->told};
    delta.sequence = delta_reach(cursor, feed->told);
    wire_delta_begin(&builder, &delta, feed->request_id, bytes, DIRECTORY_PART_BYTES_MAX);
    struct changes_cursor again = cursor;
    struct changes_item item;
    for (item = changes_peek(&cursor); item.kind != CHANGES_END && item.sequence <= delta.sequence;
         item = changes_peek(&cursor)) {
        if (item.kind == CHANGES_REMOVAL)
            CHECK(wire_nodes_add_removed(&builder, item.address) == 0);
        changes_next(&cursor);
    }
    for (item = changes_peek(&again); item.kind != CHANGES_END && item.sequence <= delta.sequence; item = changes_peek(&again)) {
        if (item.kind == CHANGES_NODE)
            CHECK(entry_add(feed, cluster, item.slot, now_ns, &builder));
        changes_next(&again);
    }
    feed->told = delta.sequence;
    feed->answer_wanted = false;
    return frame_finish(&builder, false);
}

uint32_t feed_next(struct feed *feed, const struct cluster *cluster, uint64_t now_ns, uint8_t *bytes)
{
    if (feed->full_running)
        return full_next(feed, cluster, now_ns, bytes);
    if (!feed->subscribed || !(feed->answer_wanted || (feed->push && cluster->sequence > feed->told)))
        return 0;
    if (feed->full_wanted || !changes_reach_back_to(cluster, feed->told)) {
        full_begin(feed, cluster, now_ns);
        return full_next(feed, cluster, now_ns, bytes);
    }
    return delta_next(feed, cluster, now_ns, bytes);
}
