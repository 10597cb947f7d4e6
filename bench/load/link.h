/* link - a TCP connection that is opened without waiting: what is sent before it is there leaves when it is.
 *
 * Invariant: fd is −1, or a socket in the epoll set with the owner's tag. Errors leave it closed and empty.
 * Thread: one owner. Memory: the buffers grow with what the peer leaves unread; link_close frees. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/source.h"
#include "core/base/address.h"
#include "core/base/buffer.h"
#include "core/base/macros.h"

struct link {
    int fd;
    int epoll_fd;
    uint64_t tag;
    bool opening;
    bool writing; /* epoll tells when there is room */
    struct buffer out;
    struct buffer in; /* the beginning of a frame */
};

void link_init(struct link *link, int epoll_fd, uint64_t tag);
void link_close(struct link *link);

/* From one of these sources, by turn. Negative errno. */
NODISCARD int link_open(struct link *link, const struct address *address, const struct sources *sources, uint32_t turn);

/* Head and data, one behind the other. Negative error: the link is closed. */
NODISCARD int link_send(struct link *link, const void *head, size_t head_length, const void *data, size_t data_length);

/* epoll says that there is room, or that it is open now. Negative error: the link is closed. */
NODISCARD int link_on_writable(struct link *link);

/* Fills `bytes` with what was left of the last time and what has come. Returns the length, 0 when nothing has, or a negative error: the
 * link is closed. */
NODISCARD ssize_t link_receive(struct link *link, uint8_t *bytes, size_t capacity);

/* What of that was not used: the beginning of a frame. Negative error: the link is closed. */
NODISCARD int link_keep(struct link *link, const uint8_t *bytes, size_t length);
