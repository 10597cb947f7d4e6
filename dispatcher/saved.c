#include "dispatcher/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/log.h"
#include "core/wire/region_frame.h"

#define SAVED_NEW_NAME SAVED_NAME ".new"
#define LOOK_GAP_NS NS_PER_S

/* Who comes and leaves is saved so often at most; who was drained, at the next look: a start without rm must not give him jobs. */
#define CHANGE_GAP_NS (10 * NS_PER_S)
#define PART_GAP_NS (5 * NS_PER_MS)

/* How far the age in the file may be behind while nothing changes. */
#define AGE_GAP_NS (60 * NS_PER_S)

uint64_t saved_checksum(uint64_t checksum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        checksum = (checksum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return checksum;
}

int saved_path(const char *state_dir, const char *name, char **ret_path)
{
    return asprintf(ret_path, "%s/%s", state_dir, name) < 0 ? -ENOMEM : 0;
}

static int bytes_write(int fd, const uint8_t *bytes, size_t length, off_t at)
{
    while (length > 0) {
        ssize_t written = pwrite(fd, bytes, length, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        bytes += written;
        length -= (size_t)written;
        at += written;
    }
    return 0;
}

static int payload_write(struct saver *saver, const uint8_t *bytes, size_t length)
{
    int error = bytes_write(saver->fd, bytes, length, (off_t)(SAVED_HEAD_BYTES + saver->length));
    saver->checksum = saved_checksum(saver->checksum, bytes, length);
    saver->length += length;
    return error;
}

static int regions_write(struct saver *saver)
{
    struct buffer frame = {.length = 0};
    if (!saver->directory->table)
        return 0;
    int error = region_frame_make(saver->directory->table, &frame);
    if (error == 0)
        error = payload_write(saver, frame.bytes, frame.length);
    buffer_done(&frame);
    return error;
}

static int saver_begin(struct saver *saver)
{
    const struct directory *directory = saver->directory;
    uint64_t now_ns = loop_now_ns(saver->loop);
    uint64_t silent_ms = (now_ns - directory->updated_ns) / NS_PER_MS;
    saver->publications = directory->publications;
    saver->drains = directory->members.drains;
    saver->begun_ns = now_ns;
    saver->spoke_ns = directory->updated_ns;
    saver->version = directory->version;
    saver->saved_ms = loop_wall_ms(saver->loop) - silent_ms;
    saver->next_slot = 0;
    saver->length = 0;
    saver->checksum = SAVED_CHECKSUM_FIRST;
    saver->fd = open(saver->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return saver->fd < 0 ? -errno : regions_write(saver);
}

static void entry_fill(const struct members *members, uint32_t slot, uint64_t now_ns, struct wire_node *ret_node)
{
    const struct member *member = &members->slots[slot];
    const struct node_values *values = &members->values[slot];
    uint64_t age_ms = (now_ns - member->reported_ns) / NS_PER_MS;
    uint32_t below = atomic_load_explicit(&values->below_mask, memory_order_relaxed);
    *ret_node = (struct wire_node){
        .address = member->address,
        .kind = member->kind,
        .flags = member->flags,
        .slots = member->slots,
        .boot_id = member->boot_id,
        .age_ms = age_ms < UINT32_MAX ? (uint32_t)age_ms : UINT32_MAX,
        .load_index = atomic_load_explicit(&values->load_index, memory_order_relaxed),
        .load_per_job = atomic_load_explicit(&values->load_per_job, memory_order_relaxed),
        .jobs_queued = member->jobs_queued,
        .jobs_running = member->jobs_running,
        .service_count = (uint8_t)member->services->count,
    };
    for (uint32_t i = 0; i < member->services->count; i++) {
        ret_node->services[i].service_id = member->services->items[i].id;
        ret_node->services[i].flags = below >> i & 1 ? WIRE_SERVICE_BELOW_AVERAGE : 0;
        ret_node->services[i].weight = *members_weight_at(members, slot, i);
    }
}

/* One frame of the list: 1 when more follow, 0 after the last. */
static int part_write(struct saver *saver)
{
    const struct members *members = &saver->directory->members;
    struct wire_nodes_builder builder;
    struct wire_node node;
    uint64_t now_ns = loop_now_ns(saver->loop);
    struct wire_directory list = {
        .version = saver->version,
        .node_total = members->present_count,
        .first = saver->next_slot == 0,
    };
    wire_directory_begin(&builder, &list, 0, saver->part, sizeof(saver->part));
    for (; saver->next_slot < members->slot_count; saver->next_slot++) {
        if (!members_at(members, saver->next_slot))
            continue;
        entry_fill(members, saver->next_slot, now_ns, &node);
        if (wire_nodes_add(&builder, &node) < 0)
            break;
    }
    bool more = saver->next_slot < members->slot_count;
    int length = wire_nodes_finish(&builder, more);
    CHECK(length > 0);
    int error = payload_write(saver, saver->part, (size_t)length);
    return error < 0 ? error : more;
}

static int saver_finish(struct saver *saver)
{
    uint8_t head[SAVED_HEAD_BYTES] = SAVED_MAGIC;
    bytes_store_u64(head + 16, saver->saved_ms);
    bytes_store_u16(head + 24, saver->region);
    bytes_store_u64(head + 32, saver->length);
    bytes_store_u64(head + 8, saved_checksum(saver->checksum, head + 16, sizeof(head) - 16));
    int error = bytes_write(saver->fd, head, sizeof(head), 0);
    if (close(saver->fd) < 0 && error == 0)
        error = -errno;
    saver->fd = -1;
    if (error == 0 && rename(saver->new_path, saver->path) < 0)
        error = -errno;
    if (error == 0)
        saver->failed_logged = false;
    return error;
}

/* The old file, if there is one, stays. */
static void saver_fail(struct saver *saver, int error)
{
    if (saver->fd >= 0)
        (void)close(saver->fd);
    saver->fd = -1;
    (void)unlink(saver->new_path);
    if (!saver->failed_logged)
        LOG(MESSAGE_DIRECTORY_NOT_SAVED, LOG_TEXT("file", saver->path), LOG_TEXT("reason", error_text(error)));
    saver->failed_logged = true;
}

/* Begins, or writes one part; 1 while more is to be done. */
static int saver_step(struct saver *saver)
{
    int result = saver->fd < 0 ? saver_begin(saver) : 0;
    if (result == 0)
        result = part_write(saver);
    if (result == 0)
        result = saver_finish(saver);
    if (result < 0)
        saver_fail(saver, result);
    return result;
}

int saver_save(struct saver *saver)
{
    int result;
    do
        result = saver_step(saver);
    while (result > 0);
    return result;
}

/* What is incomplete, and what came from the file itself, is not worth saving. */
static bool is_worth_saving(const struct saver *saver)
{
    const struct directory *directory = saver->directory;
    if (!directory_is_filled(directory) || directory_is_restored(directory) || directory->mixed)
        return false;
    return directory->publications != saver->publications || directory->members.drains != saver->drains ||
           directory->updated_ns - saver->spoke_ns >= AGE_GAP_NS;
}

static bool is_due(const struct saver *saver, uint64_t now_ns)
{
    bool drained = saver->directory->members.drains != saver->drains;
    return saver->fd >= 0 || ((drained || now_ns - saver->begun_ns >= CHANGE_GAP_NS) && is_worth_saving(saver));
}

static void on_timer(void *ctx, struct timer *timer)
{
    struct saver *saver = ctx;
    uint64_t gap_ns = LOOK_GAP_NS, now_ns = loop_now_ns(saver->loop);
    if (is_due(saver, now_ns) && saver_step(saver) > 0)
        gap_ns = PART_GAP_NS;
    timer_start(saver->loop, timer, now_ns + gap_ns);
}

int saver_new(struct loop *loop, struct directory *directory, const char *state_dir, uint16_t region, struct saver **ret_saver)
{
    struct saver *saver = calloc(1, sizeof(*saver));
    if (!saver)
        return -ENOMEM;
    *saver = (struct saver){.loop = loop, .directory = directory, .region = region, .fd = -1};
    if (saved_path(state_dir, SAVED_NAME, &saver->path) < 0 || saved_path(state_dir, SAVED_NEW_NAME, &saver->new_path) < 0) {
        free(saver->path);
        free(saver);
        return -ENOMEM;
    }
    saver->publications = directory->publications;
    saver->drains = directory->members.drains;
    timer_init(&saver->timer, on_timer, saver);
    timer_start(loop, &saver->timer, loop_now_ns(loop) + LOOK_GAP_NS);
    *ret_saver = saver;
    return 0;
}

void saver_free(struct saver *saver)
{
    if (!saver)
        return;
    timer_stop(&saver->timer);
    if (saver->fd >= 0 || is_worth_saving(saver))
        (void)saver_save(saver);
    free(saver->path);
    free(saver->new_path);
    free(saver);
}
