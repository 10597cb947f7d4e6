#include "dispatcher/directory.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/memory.h"
#include "dispatcher/placement.h"

/* Not before the last build's work × this: 2 % of the time. */
#define BUILD_REST 50

/* A directory that takes no longer than this to build may be built every time. */
#define BUILD_WORK_SMALL 20000

#define BUILD_REST_NS_MAX (100 * NS_PER_MS)

/* Weights change with every heartbeat; what these say changes more slowly. */
#define WEIGH_INTERVAL_NS (100 * NS_PER_MS)

#define SLICE_GAP_NS NS_PER_MS
#define COLLECT_GAP_NS (10 * NS_PER_MS)

/* Entries whose memory is waited for together. */
#define NEWS_MAX 16u

int directory_new(uint16_t own_region, uint32_t core_count, struct directory **ret_directory)
{
    struct directory *directory = memory_new_aligned(sizeof(*directory));
    struct snapshot *snapshot = NULL;
    struct location *location = NULL;
    if (!directory)
        return -ENOMEM;
    if (members_init(&directory->members) < 0) {
        free(directory);
        return -ENOMEM;
    }
    if (snapshot_new_table(0, &snapshot) < 0 || location_new(own_region, NULL, NULL, 0, &location) < 0 ||
        view_new(snapshot, location, &directory->view) < 0) {
        snapshot_free(snapshot);
        location_free(location);
        members_done(&directory->members);
        free(directory);
        return -ENOMEM;
    }
    directory->view->members = &directory->members;
    publication_init(&directory->publication, core_count, directory->view);
    directory->own_region = own_region;
    *ret_directory = directory;
    return 0;
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    publication_done(&directory->publication);
    directory->view->retires_snapshot = true;
    directory->view->retires_location = true;
    view_free(directory->view);
    free(directory->next);
    members_done(&directory->members);
    region_table_free(directory->table);
    free(directory);
}

void directory_set_weighted(struct directory *directory, bool weighted)
{
    members_set_weighted(&directory->members, weighted);
}

bool directory_is_filled(const struct directory *directory)
{
    return directory->version.rm_id != 0;
}

bool directory_is_restored(const struct directory *directory)
{
    return atomic_load_explicit(&directory->members.restored, memory_order_relaxed);
}

bool directory_is_mixed(const struct directory *directory)
{
    return directory->mixed;
}

bool directory_version_is_older(const struct wire_version *version, const struct wire_version *than)
{
    if (version->rm_id != than->rm_id)
        return false;
    return version->epoch < than->epoch || (version->epoch == than->epoch && version->sequence < than->sequence);
}

/* Our region's dispatchers that have none of the flags; returns how many. */
static uint32_t dispatchers_without(const struct members *members, uint8_t flags, struct address *ret_addresses)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->dispatcher_count; i++) {
        const struct member *member = &members->slots[members->dispatchers[i]];
        if (!(member->flags & flags))
            ret_addresses[count++] = member->address;
    }
    return count;
}

/* With the dispatchers in service; where there is none, with all: an empty list helps nobody. */
static int location_build(struct directory *directory, struct location **ret_location)
{
    const struct members *members = &directory->members;
    struct address *alive = calloc(members->dispatcher_count + 1u, sizeof(*alive));
    if (!alive)
        return -ENOMEM;
    uint32_t alive_count = dispatchers_without(members, MEMBER_FLAGS_OUT_OF_SERVICE, alive);
    if (alive_count == 0)
        alive_count = dispatchers_without(members, 0, alive);
    int error = location_new(directory->own_region, directory->table, alive, alive_count, ret_location);
    free(alive);
    return error;
}

/* ---- publishing ---- */

static int next_reserve(struct directory *directory)
{
    return directory->next ? 0 : view_new(NULL, NULL, &directory->next);
}

/* The view in `next` becomes current, with this snapshot and location. */
static void next_publish(struct directory *directory, struct snapshot *snapshot, struct location *location)
{
    struct view *before = directory->view;
    struct view *view = directory->next;
    directory->next = NULL;
    view->snapshot = snapshot;
    view->location = location;
    view->members = &directory->members;
    before->retires_snapshot = snapshot != before->snapshot;
    before->retires_location = location != before->location;
    directory->view = view;
    publication_replace(&directory->publication, view);
    publication_retire(&directory->publication, &before->retired, view_release);
}

/* The location alone, which is small. On failure everything stays as it was. */
static int location_publish(struct directory *directory)
{
    struct location *location;
    int error = next_reserve(directory);
    if (error == 0)
        error = location_build(directory, &location);
    if (error < 0)
        return error;
    directory->location_changed = false;
    next_publish(directory, directory->view->snapshot, location);
    return 0;
}

static void snapshot_publish(struct directory *directory, struct snapshot *snapshot, const struct members_gone *gone)
{
    struct location *location = directory->view->location;
    if (directory->location_changed && location_build(directory, &location) == 0)
        directory->location_changed = false;
    directory->publications++;
    directory->view->gone = *gone;
    next_publish(directory, snapshot, location);
}

static bool build_is_running(const struct directory *directory)
{
    return directory->members.build.phase != BUILD_NONE;
}

/* Parts of a list that is not complete must not be shown. */
static bool build_is_due(const struct directory *directory, uint64_t now_ns)
{
    return build_is_running(directory) ||
           (members_changed(&directory->members) && !directory->list_open && now_ns >= directory->build_after_ns);
}

static bool weights_are_due(const struct directory *directory, uint64_t now_ns)
{
    return members_weights_moved(&directory->members) && !build_is_running(directory) && !directory->list_open &&
           now_ns >= directory->weigh_after_ns;
}

/* The build that has ended took in moved weights, or it did not: what these cost must not hold up those who come and leave. */
static void build_rest(struct directory *directory, uint64_t now_ns, bool failed)
{
    uint64_t rest_ns = directory->build_work > BUILD_WORK_SMALL ? (uint64_t)directory->build_work * BUILD_REST : 0;
    directory->build_work = 0;
    if (directory->members.build.reweighs)
        directory->weigh_after_ns = now_ns + (rest_ns > WEIGH_INTERVAL_NS ? rest_ns : WEIGH_INTERVAL_NS);
    else
        directory->build_after_ns = now_ns + (rest_ns < BUILD_REST_NS_MAX ? rest_ns : BUILD_REST_NS_MAX);
    if (failed)
        directory->build_after_ns = now_ns + BUILD_REST_NS_MAX;
}

static int build_step(struct directory *directory, uint64_t now_ns)
{
    struct snapshot *snapshot;
    struct members_gone gone;
    int64_t work = DIRECTORY_SLICE_NS;
    int error = next_reserve(directory);
    if (error == 0)
        error = members_build(&directory->members, directory->view->snapshot, &work, &snapshot, &gone);
    directory->build_work += (int64_t)DIRECTORY_SLICE_NS - work;
    if (error == -EAGAIN)
        return 0;
    build_rest(directory, now_ns, error < 0);
    if (error == 0)
        snapshot_publish(directory, snapshot, &gone);
    return error;
}

static void dispatchers_look(struct directory *directory)
{
    const struct members *members = &directory->members;
    uint32_t in_service = 0;
    for (uint32_t i = 0; i < members->dispatcher_count; i++)
        in_service += !(members->slots[members->dispatchers[i]].flags & MEMBER_FLAGS_OUT_OF_SERVICE);
    placement_set_dispatchers(members->placement, in_service);
    directory->location_changed = true;
    directory->members.dispatchers_changed = false;
}

int directory_step(struct directory *directory, uint64_t now_ns)
{
    if (directory->members.dispatchers_changed)
        dispatchers_look(directory);
    publication_collect(&directory->publication);
    if (weights_are_due(directory, now_ns))
        members_reweigh(&directory->members);
    if (build_is_due(directory, now_ns))
        return build_step(directory, now_ns);
    /* What a snapshot that is to come changes of it comes with that. */
    if (directory->location_changed && !members_changed(&directory->members))
        return location_publish(directory);
    return 0;
}

uint64_t directory_due_ns(const struct directory *directory, uint64_t now_ns)
{
    bool changed = (members_changed(&directory->members) || directory->location_changed) && !directory->list_open;
    bool moved = members_weights_moved(&directory->members) && !directory->list_open;
    uint64_t soon_ns = now_ns + SLICE_GAP_NS;
    uint64_t due_ns = directory->publication.oldest ? now_ns + COLLECT_GAP_NS : UINT64_MAX;
    if (build_is_running(directory))
        return soon_ns;
    if (changed && directory->build_after_ns < due_ns)
        due_ns = directory->build_after_ns;
    if (moved && !changed && directory->weigh_after_ns < due_ns)
        due_ns = directory->weigh_after_ns;
    if (due_ns == UINT64_MAX)
        return 0;
    return due_ns > soon_ns ? due_ns : soon_ns;
}

/* ---- what rm sends ---- */

/* Reads to the end without taking anything in: 0 when the frame is sound. */
static int nodes_check(struct wire_nodes nodes, enum refusal *ret_refusal)
{
    struct address address;
    struct node_entry entry;
    int more;
    do
        more = wire_nodes_next_removed(&nodes, &address, ret_refusal);
    while (more > 0);
    if (more < 0)
        return more;
    do
        more = wire_nodes_next_entry(&nodes, &entry, ret_refusal);
    while (more > 0);
    return more;
}

static int news_take(struct directory *directory, const struct member_news news[], uint32_t count, uint64_t now_ns)
{
    int error = 0;
    for (uint32_t i = 0; i < count; i++)
        members_prefetch(&directory->members, &news[i]);
    for (uint32_t i = 0; i < count && error == 0; i++)
        error = members_put(&directory->members, &news[i], now_ns);
    return error;
}

static int nodes_take(struct directory *directory, struct wire_nodes nodes, uint64_t now_ns, enum refusal *ret_refusal)
{
    struct member_news news[NEWS_MAX];
    struct node_entry entry;
    struct address address;
    uint32_t count = 0;
    int more;
    while ((more = wire_nodes_next_removed(&nodes, &address, ret_refusal)) > 0)
        (void)members_remove(&directory->members, &address); /* one that we did not have needs no removing */
    while (more == 0 && (more = wire_nodes_next_entry(&nodes, &entry, ret_refusal)) > 0) {
        members_expect(&directory->members, entry, &news[count++]);
        more = 0;
        if (count < NEWS_MAX)
            continue;
        more = news_take(directory, news, count, now_ns);
        count = 0;
    }
    return more < 0 ? more : news_take(directory, news, count, now_ns);
}

static int list_begin(struct directory *directory, const struct wire_directory *list)
{
    /* The same version again is the periodic full replacement. */
    if (directory_version_is_older(&list->version, &directory->version))
        return -ESTALE;
    directory->list_open = true;
    directory->list_version = list->version;
    directory->list_nodes = 0;
    members_list_begin(&directory->members);
    return 0;
}

/* The last part has come. A list that names nobody is taken only where there is nobody yet. */
static int list_end(struct directory *directory)
{
    directory->list_open = false;
    if (directory->list_nodes == 0 && directory->members.present_count > 0)
        return -ESTALE;
    (void)members_list_end(&directory->members);
    directory->mixed = false;
    directory->version = directory->list_version;
    return 0;
}

static int directory_take_list(struct directory *directory, const struct frame *frame, uint64_t now_ns, enum refusal *ret_refusal)
{
    struct wire_directory list;
    struct wire_nodes nodes;
    int error = wire_directory_decode(frame, &list, &nodes, ret_refusal);
    if (error == 0)
        error = nodes_check(nodes, ret_refusal);
    if (error == 0 && list.first)
        error = list_begin(directory, &list);
    if (error < 0)
        return error;
    if (!directory->list_open || list.version.rm_id != directory->list_version.rm_id ||
        list.version.epoch != directory->list_version.epoch || list.version.sequence != directory->list_version.sequence)
        return -ENODATA;
    directory->list_nodes += list.node_count;
    directory->mixed |= list.node_count > 0;
    error = nodes_take(directory, nodes, now_ns, ret_refusal);
    if (error < 0)
        directory->list_open = false;
    return error < 0 || list.more ? error : list_end(directory);
}

static int directory_take_delta(struct directory *directory, const struct frame *frame, uint64_t now_ns,
                                enum refusal *ret_refusal)
{
    struct wire_delta delta;
    struct wire_nodes nodes;
    int error = wire_delta_decode(frame, &delta, &nodes, ret_refusal);
    if (error == 0)
        error = nodes_check(nodes, ret_refusal);
    if (error < 0)
        return error;
    /* rm sends a list in one piece: what comes between says that it has given that one up, and may be newer than it. */
    directory->list_open = false;
    if (delta.rm_id != directory->version.rm_id || delta.epoch != directory->version.epoch)
        return -ENODATA;
    if (delta.sequence < directory->version.sequence)
        return -ESTALE;
    if (delta.base_sequence > directory->version.sequence)
        return -ENODATA;
    error = nodes_take(directory, nodes, now_ns, ret_refusal);
    if (error < 0)
        return error;
    directory->version.sequence = delta.sequence;
    return 0;
}

/* Region table frames are rare and small beside directories: collected into arrays, then made into a table. */
static int regions_collect(struct wire_regions *regions, struct region_dispatcher *dispatchers, struct region_range *ranges,
                           enum refusal *ret_refusal)
{
    struct wire_region_dispatcher dispatcher;
    struct wire_region_range range;
    int more;
    while ((more = wire_regions_next_dispatcher(regions, &dispatcher, ret_refusal)) > 0)
        *dispatchers++ = (struct region_dispatcher){.address = dispatcher.address, .region = dispatcher.region};
    if (more < 0)
        return more;
    while ((more = wire_regions_next_range(regions, &range, ret_refusal)) > 0)
        *ranges++ = (struct region_range){.range = range.range, .region = range.region};
    return more;
}

static int directory_take_regions(struct directory *directory, const struct frame *frame, enum refusal *ret_refusal)
{
    struct wire_region_table head;
    struct wire_regions regions;
    struct region_table *table = NULL;
    int error = wire_region_table_decode(frame, &head, &regions, ret_refusal);
    if (error < 0)
        return error;
    struct region_dispatcher *dispatchers = calloc(head.dispatcher_count + 1u, sizeof(*dispatchers));
    struct region_range *ranges = calloc(head.range_count + 1u, sizeof(*ranges));
    error = dispatchers && ranges ? regions_collect(&regions, dispatchers, ranges, ret_refusal) : -ENOMEM;
    if (error == 0)
        error = region_table_new(head.version, ranges, head.range_count, dispatchers, head.dispatcher_count, &table);
    free(dispatchers);
    free(ranges);
    if (error == -EINVAL || error == -EEXIST) {
        *ret_refusal = REFUSAL_BAD_VALUE;
        error = USHER_EPROTOCOL;
    }
    if (error < 0)
        return error;
    struct region_table *table_before = directory->table;
    struct view *view_before = directory->view;
    directory->table = table;
    error = location_publish(directory);
    if (error < 0) {
        directory->table = table_before;
        region_table_free(table);
        return error;
    }
    view_before->retired_table = table_before;
    directory->table_version = head.version;
    return 0;
}

int directory_take(struct directory *directory, const struct frame *frame, uint64_t now_ns, enum refusal *ret_refusal)
{
    int error;
    publication_collect(&directory->publication); /* slots to be had again */
    if (frame->type == FRAME_TYPE_DIRECTORY)
        error = directory_take_list(directory, frame, now_ns, ret_refusal);
    else if (frame->type == FRAME_TYPE_DELTA)
        error = directory_take_delta(directory, frame, now_ns, ret_refusal);
    else
        error = directory_take_regions(directory, frame, ret_refusal);
    if (error == 0 || error == -ESTALE) {
        directory->updated_ns = now_ns;
        atomic_store_explicit(&directory->members.restored, false, memory_order_relaxed);
    }
    /* If memory is short it is tried again when it is due. */
    (void)directory_step(directory, now_ns);
    return error;
}
