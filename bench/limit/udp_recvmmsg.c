/* Two system calls for a batch: recvmmsg takes what has come, sendmmsg sends it back. With --gso what goes back to one peer in a row
 * leaves as one, which the kernel cuts apart: what joining of answers is worth where requests come one by one. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/limit/limit.h"

#define RECVMMSG_BATCH_MAX 1024
#define RECVMMSG_BATCH_DEFAULT 64u
#define RECVMMSG_BYTES 2048 /* of a datagram */
#define JOINED_MAX 64u /* UDP_MAX_SEGMENTS of Linux before 6.9 */
#define JOINED_BYTES_MAX 65000u

struct batch {
    struct mmsghdr messages[RECVMMSG_BATCH_MAX];
    struct iovec bytes[RECVMMSG_BATCH_MAX];
    struct sockaddr_storage names[RECVMMSG_BATCH_MAX];
    _Alignas(struct cmsghdr) uint8_t controls[RECVMMSG_BATCH_MAX][CMSG_SPACE(sizeof(uint16_t))];
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

/* How many datagrams from that one on came from one peer in a row, equally long. */
static unsigned batch_run(const struct batch *batch, unsigned first, unsigned count)
{
    size_t length = batch->bytes[first].iov_len, most = length > 0 ? JOINED_BYTES_MAX / length : 1;
    unsigned run = 1;
    while (first + run < count && run < JOINED_MAX && run < most && batch->bytes[first + run].iov_len == length &&
           memcmp(&batch->names[first], &batch->names[first + run], batch->messages[first].msg_hdr.msg_namelen) == 0)
        run++;
    return run;
}

/* Returns how many there are then. Their bytes stay where they are, one buffer behind the other. */
static unsigned batch_join(struct batch *batch, unsigned count)
{
    unsigned joined = 0;
    for (unsigned i = 0, run; i < count; i += run, joined++) {
        run = batch_run(batch, i, count);
        struct msghdr *header = &batch->messages[joined].msg_hdr; /* not behind the one that is looked at */
        *header = batch->messages[i].msg_hdr;
        header->msg_iovlen = run;
        if (run == 1)
            continue;
        uint16_t length = (uint16_t)batch->bytes[i].iov_len;
        header->msg_control = batch->controls[joined];
        header->msg_controllen = sizeof(batch->controls[joined]);
        struct cmsghdr *control = CMSG_FIRSTHDR(header);
        *control = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(length))};
        memcpy(CMSG_DATA(control), &length, sizeof(length));
    }
    return joined;
}

/* A datagram that does not leave at once is lost, as on a wire. */
static void batch_send(int fd, struct batch *batch, unsigned count, bool join)
{
    for (unsigned i = 0; i < count; i++)
        batch->bytes[i].iov_len = batch->messages[i].msg_len;
    if (join)
        count = batch_join(batch, count);
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
            batch_send(fd, batch, (unsigned)count, options->gso);
            batch_reset(batch, (unsigned)count);
        } else if (count < 0 && errno != EINTR && errno != EAGAIN) {
            error = limit_fail(-errno, "recvmmsg", ret_error);
        }
    }
    free(batch);
    return error;
}
