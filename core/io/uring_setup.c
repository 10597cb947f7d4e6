/* Making the ring with what the kernel has, saying precisely why when it has not, and the buffer rings. */
#include <errno.h>
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "core/io/uring.h"

#define URING_ENTRIES_MIN 16u

/* The first byte of kernel.io_uring_disabled: '0', '1', '2', or '?' when there is none (before 6.6). */
static char uring_sysctl(void)
{
    char value = '?';
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return value;
    if (read(fd, &value, 1) != 1)
        value = '?';
    (void)close(fd);
    return value;
}

static const char *uring_forbidden_text(int error)
{
    switch (error) {
    case -EPERM:
        switch (uring_sysctl()) {
        case '2': return "io_uring is switched off on this machine: set sysctl kernel.io_uring_disabled=0";
        case '1':
            return "io_uring is kept for privileged processes: set sysctl kernel.io_uring_disabled=0, or kernel.io_uring_group "
                   "to a group of this user";
        default: return "a seccomp filter (a container's, as a rule) forbids io_uring_setup: allow it in the seccomp profile";
        }
    case -ENOSYS:
        return "this kernel is built without io_uring, or a seccomp filter hides it: use a kernel >= 6.0 with CONFIG_IO_URING";
    case -ENOMEM:
        return "too little locked memory for io_uring: raise the memlock limit (ulimit -l, LimitMEMLOCK= in a systemd unit)";
    case -EINVAL: return "this kernel's io_uring is too old: Usher uses what came with 6.0";
    default: return NULL;
    }
}

static int uring_forbidden(struct loop *loop, int error)
{
    const char *text = uring_forbidden_text(error);
    loop->shortage[0] = '\0';
    if (text != NULL)
        (void)snprintf(loop->reason, sizeof(loop->reason), "%s", text);
    else
        (void)snprintf(loop->reason, sizeof(loop->reason), "io_uring_setup failed: %s", strerrordesc_np(-error));
    return error == -EMFILE || error == -ENFILE ? error : USHER_EURINGFORBIDDEN;
}

void uring_tell_shortage(struct loop *loop, uint32_t asked, uint32_t got)
{
    (void)snprintf(
        loop->shortage, sizeof(loop->shortage),
        "too little locked memory: io_uring's rings have %u entries instead of %u; raise the memlock limit (ulimit -l, "
        "LimitMEMLOCK= in a systemd unit)",
        got, asked);
}

/* SINGLE_ISSUER came with 6.0, as did multishot receives, so a kernel that refuses it is too old as a whole. What came later is
 * dropped when refused. (NO_SQARRAY, 6.6, is tried and dropped inside liburing.) R_DISABLED: the ring is enabled on the thread
 * that first uses it, which may be another than the one that makes it. No SQPOLL: it keeps the credentials it was made with. */
static int uring_make(struct uring_state *state, struct loop *loop)
{
    const struct loop_config *config = &loop->config;
    uint32_t entries = config->submission_entries;
    uint32_t completions = config->completion_entries > 2 * entries ? config->completion_entries : 2 * entries;
    unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
    for (;;) {
        struct io_uring_params params = {.flags = flags, .cq_entries = completions};
        int error = io_uring_queue_init_params(entries, &state->ring, &params);
        if (error == 0)
            break;
        if (error == -EINVAL && (flags & IORING_SETUP_DEFER_TASKRUN) != 0) {
            flags = (flags & ~IORING_SETUP_DEFER_TASKRUN) | IORING_SETUP_COOP_TASKRUN;
        } else if (error == -ENOMEM && entries / 2 >= URING_ENTRIES_MIN) {
            entries /= 2;
            completions /= 2;
        } else {
            return error;
        }
    }
    if (entries < config->submission_entries)
        uring_tell_shortage(loop, config->submission_entries, entries);
    return 0;
}

/* seccomp does not see what goes through a ring: so the ring itself refuses everything but what the loop does. In force once the
 * ring is enabled. */
static int uring_restrict(struct uring_state *state)
{
    static const uint8_t operations[] = {
        IORING_OP_RECV,     IORING_OP_SEND,         IORING_OP_ACCEPT, IORING_OP_CONNECT,
        IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,
    };
    static const uint8_t registrations[] = {
        IORING_REGISTER_PBUF_RING,
        IORING_UNREGISTER_PBUF_RING,
        IORING_REGISTER_RING_FDS,
        IORING_UNREGISTER_RING_FDS,
    };
    struct io_uring_restriction restrictions[ARRAY_COUNT(operations) + ARRAY_COUNT(registrations) + 1];
    unsigned count = 0;
    memset(restrictions, 0, sizeof(restrictions));
    for (size_t i = 0; i < ARRAY_COUNT(operations); i++, count++) {
        restrictions[count].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[count].sqe_op = operations[i];
    }
    for (size_t i = 0; i < ARRAY_COUNT(registrations); i++, count++) {
        restrictions[count].opcode = IORING_RESTRICTION_REGISTER_OP;
        restrictions[count].register_op = registrations[i];
    }
    restrictions[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    restrictions[count++].sqe_flags = IOSQE_BUFFER_SELECT;
    return io_uring_register_restrictions(&state->ring, restrictions, count);
}

int uring_open(struct loop *loop)
{
    struct uring_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return -ENOMEM;
    list_init(&state->deferred);
    state->reserve_fd = -1;
    int error = uring_make(state, loop);
    if (error < 0) {
        free(state);
        return uring_forbidden(loop, error);
    }
    error = uring_restrict(state);
    if (error == 0)
        error = uring_buffers_open(state, loop->config.stream_buffers, STREAM_HEADROOM_BYTES, loop->config.stream_buffer_bytes,
                                   URING_STREAM_GROUP, &state->stream_buffers);
    if (error == 0) {
        state->wake_fd = eventfd(0, EFD_CLOEXEC);
        error = state->wake_fd >= 0 ? 0 : -errno;
    }
    if (error < 0) {
        uring_buffers_close(state, &state->stream_buffers);
        io_uring_queue_exit(&state->ring);
        free(state);
        return uring_forbidden(loop, error);
    }
    loop->backend_state = state;
    return 0;
}

void uring_close(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    /* The ring first: with it goes what a thread that ended left in flight. */
    io_uring_queue_exit(&state->ring);
    state->closed = true;
    uring_buffers_close(state, &state->stream_buffers);
    (void)close(state->wake_fd);
    if (state->reserve_fd >= 0)
        (void)close(state->reserve_fd);
}

static int uring_buffers_register(struct uring_state *state, struct uring_buffers *buffers)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers->ring,
        .ring_entries = buffers->count,
        .bgid = buffers->group,
    };
    return io_uring_register_buf_ring(&state->ring, &registration, 0);
}

int uring_buffers_open(struct uring_state *state, uint32_t count, uint32_t headroom_bytes, uint32_t buffer_bytes, uint16_t group,
                       struct uring_buffers *ret_buffers)
{
    struct uring_buffers buffers = {
        .count = count,
        .headroom_bytes = headroom_bytes,
        .buffer_bytes = buffer_bytes,
        .group = group,
    };
    buffers.stride_bytes = (headroom_bytes + buffer_bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    buffers.ring_bytes = count * sizeof(struct io_uring_buf);
    size_t bytes = (size_t)count * buffers.stride_bytes;
    buffers.bytes = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (buffers.bytes == NULL)
        return -ENOMEM;
    void *ring = mmap(NULL, buffers.ring_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (ring == MAP_FAILED) {
        free(buffers.bytes);
        return -ENOMEM;
    }
    buffers.ring = ring;
    int error = uring_buffers_register(state, &buffers);
    if (error < 0) {
        (void)munmap(ring, buffers.ring_bytes);
        free(buffers.bytes);
        return error;
    }
    io_uring_buf_ring_init(buffers.ring);
    for (uint32_t i = 0; i < count; i++)
        uring_buffers_give(&buffers, i);
    uring_buffers_show(&buffers);
    *ret_buffers = buffers;
    return 0;
}

void uring_buffers_close(struct uring_state *state, struct uring_buffers *buffers)
{
    if (buffers->ring == NULL)
        return;
    if (!state->closed)
        (void)io_uring_unregister_buf_ring(&state->ring, buffers->group);
    (void)munmap(buffers->ring, buffers->ring_bytes);
    ASAN_UNPOISON_MEMORY_REGION(buffers->bytes, (size_t)buffers->count * buffers->stride_bytes);
    free(buffers->bytes);
    buffers->ring = NULL;
}

static uint8_t *uring_buffers_find(const struct uring_buffers *buffers, uint32_t index)
{
    return buffers->bytes + (size_t)index * buffers->stride_bytes + buffers->headroom_bytes;
}

uint8_t *uring_buffers_take(struct uring_buffers *buffers, uint32_t index, uint32_t length)
{
    uint8_t *bytes = uring_buffers_find(buffers, index);
    ASAN_UNPOISON_MEMORY_REGION(bytes, length);
    (void)length;
    return bytes;
}

void uring_buffers_give(struct uring_buffers *buffers, uint32_t index)
{
    uint8_t *bytes = uring_buffers_find(buffers, index);
    ASAN_POISON_MEMORY_REGION(bytes, buffers->buffer_bytes);
    io_uring_buf_ring_add(buffers->ring, bytes, buffers->buffer_bytes, (uint16_t)index, (int)(buffers->count - 1),
                          (int)buffers->given++);
}

void uring_buffers_show(struct uring_buffers *buffers)
{
    if (buffers->given == 0)
        return;
    io_uring_buf_ring_advance(buffers->ring, (int)buffers->given);
    buffers->given = 0;
}
