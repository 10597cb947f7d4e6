/* epoll - what the files of the epoll backend share. Thread: the loop's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "core/base/macros.h"
#include "core/io/backend.h"

#define EPOLL_EVENTS_MAX 256
#define EPOLL_SCRATCH_BYTES 65536

struct epoll_state {
    int epoll_fd;
    int wake_fd;
    int reserve_fd; /* given up to shed a connection when descriptors ran out; −1 before the first listener */
    bool milliseconds_only;
    uint32_t event_count;
    struct epoll_event events[EPOLL_EVENTS_MAX];
    uint8_t scratch[STREAM_HEADROOM_BYTES + EPOLL_SCRATCH_BYTES]; /* what streams receive into, behind the headroom */
};

/* Changes what is waited for; 0 takes it out of the set. -ENOMEM, -EPERM, -EEXIST. */
NODISCARD int epoll_want(struct handle *handle, uint32_t events);

NODISCARD int epoll_udp_open(struct loop *loop, struct udp *udp);
void epoll_udp_receive(struct udp *udp);
void epoll_udp_flush(struct loop *loop, struct udp *udp);
void epoll_udp_release(struct udp *udp);

NODISCARD int epoll_stream_connect(struct loop *loop, struct stream *stream, const struct stream_config *config);
NODISCARD int epoll_stream_attach(struct loop *loop, struct stream *stream);
void epoll_stream_receive(struct loop *loop, struct stream *stream, bool wanted);
void epoll_stream_send(struct loop *loop, struct stream *stream);
void epoll_stream_shut(struct loop *loop, struct stream *stream);
void epoll_stream_leave(struct loop *loop, struct stream *stream);
void epoll_stream_dispatch(struct loop *loop, struct stream *stream, uint32_t events);
