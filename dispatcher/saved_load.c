/* What saved.h says of reading. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "dispatcher/saved.h"

static int corrupt(struct conf_error *ret_why, const char *what)
{
    conf_error_set(ret_why, "it is corrupt: %s", what);
    return -EINVAL;
}

/* 0: whole, of this region and young enough. */
static int head_check(const uint8_t *bytes, size_t length, uint16_t region, uint64_t now_ms, struct conf_error *ret_why)
{
    if (length < SAVED_HEAD_BYTES || memcmp(bytes, SAVED_MAGIC, 8) != 0)
        return corrupt(ret_why, "it does not begin as such a file does");
    if (bytes_load_u64(bytes + 32) != length - SAVED_HEAD_BYTES)
        return corrupt(ret_why, "its length is not what it says");
    uint64_t checksum = saved_checksum(SAVED_CHECKSUM_FIRST, bytes + SAVED_HEAD_BYTES, length - SAVED_HEAD_BYTES);
    if (saved_checksum(checksum, bytes + 16, SAVED_HEAD_BYTES - 16) != bytes_load_u64(bytes + 8))
        return corrupt(ret_why, "its checksum is wrong");
    uint64_t saved_ms = bytes_load_u64(bytes + 16);
    if (bytes_load_u16(bytes + 24) != region) {
        conf_error_set(ret_why, "it is of region %u", bytes_load_u16(bytes + 24));
        return -EXDEV;
    }
    if (now_ms > saved_ms && now_ms - saved_ms > SAVED_AGE_MS_MAX) {
        conf_error_set(ret_why, "it is older than a day");
        return -ESTALE;
    }
    return 0;
}

/* As if rm had sent it when it was saved. */
static int frames_take(struct directory *directory, const uint8_t *bytes, size_t length, uint64_t then_ns,
                       struct conf_error *ret_why)
{
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    int error = 0;
    for (size_t taken = 0; taken < length; taken += frame.length) {
        error = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (error > 0 && (frame.type == FRAME_TYPE_DIRECTORY || frame.type == FRAME_TYPE_REGION_TABLE))
            error = directory_take(directory, &frame, then_ns, &refusal);
        else if (error > 0)
            error = -EINVAL;
        if (error == -ENOMEM) {
            conf_error_set(ret_why, "out of memory");
            return error;
        }
        if (error < 0)
            return corrupt(ret_why, refusal != REFUSAL_NONE ? refusal_text(refusal) : error_text(error));
    }
    while (members_changed(&directory->members) && error == 0)
        error = directory_step(directory, UINT64_MAX);
    return error;
}

static int bytes_take(struct directory *directory, const uint8_t *bytes, size_t length, uint16_t region, uint64_t now_ns,
                      uint64_t now_ms, struct conf_error *ret_why)
{
    int error = head_check(bytes, length, region, now_ms, ret_why);
    if (error < 0)
        return error;
    uint64_t saved_ms = bytes_load_u64(bytes + 16);
    uint64_t age_ns = now_ms > saved_ms ? (now_ms - saved_ms) * NS_PER_MS : 0;
    /* The machine may have been started since; 0 would stand for never. */
    uint64_t then_ns = now_ns > age_ns ? now_ns - age_ns : 1;
    error = frames_take(directory, bytes + SAVED_HEAD_BYTES, length - SAVED_HEAD_BYTES, then_ns, ret_why);
    atomic_store_explicit(&directory->members.restored, error == 0, memory_order_relaxed);
    return error;
}

static int file_take(struct directory *directory, int fd, uint16_t region, uint64_t now_ns, uint64_t now_ms,
                     struct conf_error *ret_why)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size < (off_t)SAVED_HEAD_BYTES)
        return corrupt(ret_why, "it is too short");
    size_t length = (size_t)status.st_size;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    int error = bytes_take(directory, bytes, length, region, now_ns, now_ms, ret_why);
    (void)munmap(bytes, length);
    return error;
}

int saved_load(struct directory *directory, const char *state_dir, uint16_t region, uint64_t now_ns, uint64_t now_ms,
               struct conf_error *ret_why)
{
    char *path;
    ret_why->text[0] = '\0';
    int error = saved_path(state_dir, SAVED_NAME, &path);
    if (error < 0)
        return error;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    error = fd < 0 ? -errno : file_take(directory, fd, region, now_ns, now_ms, ret_why);
    if (fd >= 0)
        (void)close(fd);
    free(path);
    if (error < 0 && !ret_why->text[0])
        conf_error_set(ret_why, "%s", error_text(error));
    return error;
}
