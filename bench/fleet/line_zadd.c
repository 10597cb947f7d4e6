/* A Redis that gets two ZADDs for each heartbeat, one node each, pipelined: [address, timestamp] and [address, load] (requirement R1),
 * as a resource manager that keeps both in Redis would have to send them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/fleet/player.h"
#include "core/base/clock.h"

#define ZADD_BYTES_MAX 128u /* one command */
#define ROOM_BYTES (PLAYER_BATCH * 2 * ZADD_BYTES_MAX)

static int zadd_print(char *room, const char *key, const char *score, const char *member)
{
    return snprintf(room, ZADD_BYTES_MAX, "*4\r\n$4\r\nZADD\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key), key,
                    strlen(score), score, strlen(member), member);
}

static int write_all(int fd, const char *bytes, size_t length)
{
    for (size_t written = 0; written < length;) {
        ssize_t done = send(fd, bytes + written, length - written, MSG_NOSIGNAL);
        if (done < 0 && errno != EINTR)
            return -errno;
        written += done > 0 ? (size_t)done : 0;
    }
    return 0;
}

static int zadd_speak(struct player_line *line, struct swarm *swarm, const uint32_t *indices, uint32_t count, uint64_t now_ns)
{
    char *room = (char *)line->room;
    size_t length = 0;
    char now[24];
    (void)now_ns;
    snprintf(now, sizeof(now), "%llu", (unsigned long long)clock_wall_ms());
    for (uint32_t i = 0; i < count; i++) {
        struct address address;
        char load[24], member[ADDRESS_TEXT_BYTES];
        snprintf(load, sizeof(load), "%.9g", (double)swarm_wander(swarm, indices[i], &address));
        address_format(&address, member);
        length += (size_t)zadd_print(room + length, "usher:1:beats", now, member);
        length += (size_t)zadd_print(room + length, "usher:1:loads", load, member);
    }
    swarm->stats.heartbeats += count;
    line->unanswered += 2 * count;
    return write_all(line->fd, room, length);
}

/* Replies are :0 and :1, a line each; an error's line begins with -. */
static int zadd_hear(struct player_line *line, struct swarm *swarm, uint64_t now_ns)
{
    char bytes[16384];
    (void)swarm;
    (void)now_ns;
    for (;;) {
        ssize_t length = recv(line->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (length == 0)
            return -ECONNRESET;
        if (length < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        for (ssize_t i = 0; i < length; i++) {
            line->unanswered -= bytes[i] == '\n';
            line->errors += bytes[i] == '-';
        }
    }
}

int line_zadd_open(struct player_line *line, const char *path)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    *line = (struct player_line){.fd = -1, .speak = zadd_speak, .hear = zadd_hear};
    if (strlen(path) >= sizeof(peer.sun_path))
        return -ENAMETOOLONG;
    memcpy(peer.sun_path, path, strlen(path));
    line->room = calloc(1, ROOM_BYTES);
    if (!line->room)
        return -ENOMEM;
    line->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (line->fd >= 0 && connect(line->fd, (const struct sockaddr *)&peer, sizeof(peer)) == 0)
        return 0;
    int error = -errno;
    line_close(line);
    return error;
}
