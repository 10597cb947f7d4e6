#include "dispatcher/directory.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/errors.h"
#include "core/base/memory.h"

int directory_new(uint16_t own_region, uint32_t core_count, struct directory **ret_directory)
{
    struct directory *directory = memory_new_aligned(sizeof(*directory));
    struct snapshot *snapshot = NULL;
    struct location *location = NULL;
    if (!directory)
        return -ENOMEM;
    if (snapshot_new(0, NULL, 0, &snapshot) < 0 || location_new(own_region, NULL, NULL, 0, &location) < 0 ||
        view_new(snapshot, location, &directory->view) < 0)
        goto failed;
    publication_init(&directory->publication, core_count, directory->view);
    if (members_init(&directory->members, &directory->publication) < 0) {
        free(directory->view);
        goto failed;
    }
    directory->own_region = own_region;
    *ret_directory = directory;
    return 0;
failed:
    snapshot_free(snapshot);
    location_free(location);
    free(directory);
    return -ENOMEM;
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    publication_done(&directory->publication);
    directory->view->retires_snapshot = true;
    directory->view->retires_location = true;
    view_free(directory->view);
    members_done(&directory->members);
    region_table_free(directory->table);
    free(directory);
}

bool directory_is_filled(const struct directory *directory)
{
    return directory->version.rm_id != 0;
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
    for (uint32_t slot = 0; slot < members->slot_count; slot++) {
        const struct member *member = members_at(members, slot);
        if (member && member->node.kind == WIRE_NODE_DISPATCHER && !(member->node.flags & flags))
            ret_addresses[count++] = member->node.address;
    }
    return count;
}

/* With the dispatchers in service; where there is none, with all: an empty list helps nobody. */
static int location_build(struct directory *directory, struct location **ret_location)
{
    const struct members *members = &directory->members;
    struct address *alive = calloc(members->present_count + 1u, sizeof(*alive));
    if (!alive)
        return -ENOMEM;
    uint32_t alive_count = dispatchers_without(members, MEMBER_FLAGS_OUT_OF_SERVICE, alive);
    if (alive_count == 0)
        alive_count = dispatchers_without(members, 0, alive);
    int error = location_new(directory->own_region, directory->table, alive, alive_count, ret_location);
    free(alive);
    return error;
}

/* Builds what changed and makes it current. On failure everything stays as it was, to be tried again with the next frame. */
static int directory_publish(struct directory *directory)
{
    struct view *before = directory->view;
    struct snapshot *snapshot = before->snapshot;
    struct location *location = before->location;
    struct view *view;
    if (!directory->members.changed && !directory->location_changed)
        return 0;
    int error = directory->members.changed ? members_snapshot(&directory->members, &snapshot) : 0;
    if (error == 0)
        error = location_build(directory, &location);
    if (error == 0)
        error = view_new(snapshot, location, &view);
    if (error < 0) {
        if (snapshot != before->snapshot)
            snapshot_free(snapshot);
        if (location != before->location)
            location_free(location);
        return error;
    }
    before->retires_snapshot = snapshot != before->snapshot;
    before->retires_location = true;
    directory->view = view;
    directory->location_changed = false;
    publication_replace(&directory->publication, view);
    publication_retire(&directory->publication, &before->retired, view_release);
    members_published(&directory->members);
    return 0;
}

/* Reads to the end without taking anything in: 0 when the frame is sound. */
static int nodes_check(struct wire_nodes nodes, enum refusal *ret_refusal)
{
    struct address address;
    struct wire_node node;
    int more;
    do
        more = wire_nodes_next_removed(&nodes, &address, ret_refusal);
    while (more > 0);
    if (more < 0)
        return more;
    do
        more = wire_nodes_next(&nodes, &node, ret_refusal);
    while (more > 0);
    return more;
}

static int nodes_take(struct directory *directory, struct wire_nodes nodes, uint64_t now_ns, enum refusal *ret_refusal)
{
    struct address address;
    struct wire_node node;
    int more;
    while ((more = wire_nodes_next_removed(&nodes, &address, ret_refusal)) > 0)
        (void)members_remove(&directory->members, &address); /* one that we did not have needs no removing */
    while (more == 0 && (more = wire_nodes_next(&nodes, &node, ret_refusal)) > 0)
        more = members_put(&directory->members, &node, now_ns, directory->generation);
    return more;
}

static int list_begin(struct directory *directory, const struct wire_directory *list)
{
    /* The same version again is the periodic full replacement. */
    if (directory_version_is_older(&list->version, &directory->version))
        return -ESTALE;
    directory->list_open = true;
    directory->list_version = list->version;
    directory->list_nodes = 0;
    directory->generation++;
    return 0;
}

/* The last part has come. A list that names nobody is taken only where there is nobody yet. */
static int list_end(struct directory *directory)
{
    directory->list_open = false;
    if (directory->list_nodes == 0 && directory->members.present_count > 0)
        return -ESTALE;
    members_sweep(&directory->members, directory->generation);
    directory->mixed = false;
    directory->version = directory->list_version;
    return directory_publish(directory);
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
    return directory_publish(directory);
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
    directory->location_changed = true;
    error = directory_publish(directory);
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
    publication_collect(&directory->publication);
    if (frame->type == FRAME_TYPE_DIRECTORY)
        error = directory_take_list(directory, frame, now_ns, ret_refusal);
    else if (frame->type == FRAME_TYPE_DELTA)
        error = directory_take_delta(directory, frame, now_ns, ret_refusal);
    else
        error = directory_take_regions(directory, frame, ret_refusal);
    if (error == 0 || error == -ESTALE)
        directory->updated_ns = now_ns;
    return error;
}
