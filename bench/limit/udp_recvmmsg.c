/* Two system calls for a batch: recvmmsg takes what has come, sendmmsg sends it back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/limit/limit.h"

#define RECVMMSG_BATCH_MAX 1024
#define RECVMMSG_BATCH_DEFAULT 64u
#define RECVMMSG_BYTES 2048 /* of a datagram */

struct batch {
    struct mmsghdr messages[RECVMMSG_BATCH_MAX];
    struct iovec bytes[RECVMMSG_BATCH_MAX];
    struct sockaddr_storage names[RECVMMSG_BATCH_MAX];
    uint8_t payload[RECVMMSG_BATCH_MAX][RECVMMSG_BYTES];
};

/* recvmmsg leaves lengths in the headers. */
static void batch_reset(struct batch *batch, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        batch->bytes[i] = (struct iovec){.iov_base = batch->payload[i], .iov_len = RECVMMSG_BYTES};
        batch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->names[i],
            .msg_namelen = sizeof(batch->names[i]),
            .msg_iov = &batch->bytes[i],
            .msg_iovlen = 1,
        };
    }
}

/* A datagram that does not leave at once is lost, as on a wire. */
static void batch_send(int fd, struct batch *batch, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        batch->bytes[i].iov_len = batch->messages[i].msg_len;
    for (unsigned sent = 0; sent < count;) {
        int done = sendmmsg(fd, batch->messages + sent, count - sent, MSG_DONTWAIT);
        sent += done > 0 ? (unsigned)done : 1;
    }
}

int limit_udp_recvmmsg(const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    unsigned most = options->batch ? options->batch : RECVMMSG_BATCH_DEFAULT;
    int error = 0, flags = options->spin ? MSG_DONTWAIT : MSG_WAITFORONE;
    if (!batch)
        return limit_fail(-ENOMEM, "allocating buffers", ret_error);
    batch_reset(batch, most);
    while (!limit_stopped && error == 0) {
        int count = recvmmsg(fd, batch->messages, most, flags, NULL);
        if (count > 0) {
            batch_send(fd, batch, (unsigned)count);
            batch_reset(batch, (unsigned)count);
        } else if (count < 0 && errno != EINTR && errno != EAGAIN) {
            error = limit_fail(-errno, "recvmmsg", ret_error);
        }
    }
    free(batch);
    return error;
}
