/* Datagrams to a resource manager. All nodes share one socket: rm goes by the address in the datagram. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/fleet/player.h"
#include "core/base/clock.h"

#define LINE_RECEIVE_BYTES (16 << 20)

static int send_all(int fd, struct mmsghdr *messages, uint32_t count)
{
    for (uint32_t sent = 0; sent < count;) {
        int done = sendmmsg(fd, messages + sent, count - sent, 0);
        /* Nobody listens there yet, or any more: as lost as on a wire. */
        if (done < 0 && (errno == ECONNREFUSED || errno == EINTR))
            continue;
        if (done < 0)
            return -errno;
        sent += (uint32_t)done;
    }
    return 0;
}

static int rm_speak(struct player_line *line, struct swarm *swarm, const uint32_t *indices, uint32_t count, uint64_t now_ns)
{
    struct mmsghdr messages[PLAYER_BATCH];
    struct iovec bytes[PLAYER_BATCH];
    uint64_t wall_ms = clock_wall_ms();
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *room = line->room + i * DATAGRAM_BYTES_MAX;
        bytes[i] = (struct iovec){.iov_base = room, .iov_len = swarm_speak(swarm, indices[i], now_ns, wall_ms, room)};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &bytes[i], .msg_iovlen = 1}};
    }
    return send_all(line->fd, messages, count);
}

static int rm_receive(struct player_line *line, struct mmsghdr messages[static PLAYER_BATCH],
                      struct iovec bytes[static PLAYER_BATCH])
{
    for (uint32_t i = 0; i < PLAYER_BATCH; i++) {
        bytes[i] = (struct iovec){.iov_base = line->room + i * DATAGRAM_BYTES_MAX, .iov_len = DATAGRAM_BYTES_MAX};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &bytes[i], .msg_iovlen = 1}};
    }
    int count = recvmmsg(line->fd, messages, PLAYER_BATCH, MSG_DONTWAIT, NULL);
    if (count < 0)
        return errno == EAGAIN || errno == ECONNREFUSED || errno == EINTR ? 0 : -errno;
    return count;
}

/* Until there is nothing more. A node whose REGISTER was acknowledged heartbeats at once. */
static int rm_hear(struct player_line *line, struct swarm *swarm, uint64_t now_ns)
{
    struct mmsghdr messages[PLAYER_BATCH];
    struct iovec bytes[PLAYER_BATCH];
    for (;;) {
        uint32_t speakers[PLAYER_BATCH];
        uint32_t speaker_count = 0;
        int count = rm_receive(line, messages, bytes);
        if (count <= 0)
            return count;
        for (int i = 0; i < count; i++) {
            uint32_t index = swarm_hear(swarm, bytes[i].iov_base, messages[i].msg_len, now_ns);
            if (index != UINT32_MAX)
                speakers[speaker_count++] = index;
        }
        int error = speaker_count > 0 ? rm_speak(line, swarm, speakers, speaker_count, now_ns) : 0;
        if (error < 0 || count < (int)PLAYER_BATCH)
            return error;
    }
}

int line_rm_open(struct player_line *line, const struct address *rm)
{
    struct sockaddr_storage peer;
    int bytes = LINE_RECEIVE_BYTES;
    *line = (struct player_line){.fd = -1, .speak = rm_speak, .hear = rm_hear};
    line->room = calloc(PLAYER_BATCH, DATAGRAM_BYTES_MAX);
    if (!line->room)
        return -ENOMEM;
    socklen_t length = address_to_socket(rm, &peer);
    line->fd = socket(peer.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (line->fd >= 0 && setsockopt(line->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(line->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (line->fd >= 0 && connect(line->fd, (const struct sockaddr *)&peer, length) == 0)
        return 0;
    int error = -errno;
    line_close(line);
    return error;
}

void line_close(struct player_line *line)
{
    if (line->fd >= 0)
        close(line->fd);
    free(line->room);
    *line = (struct player_line){.fd = -1};
}

uint64_t line_dropped(const struct player_line *line)
{
    uint32_t counts[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(counts);
    (void)getsockopt(line->fd, SOL_SOCKET, SO_MEMINFO, counts, &length);
    return counts[SK_MEMINFO_DROPS];
}
