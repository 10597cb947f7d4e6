#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/limit/limit.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define LISTEN_BACKLOG 4096
#define LISTEN_RETRY_INTERVAL_MS 10
#define LISTEN_RETRIES_MAX 200 /* 2 s */
#define LISTEN_BUFFER_BYTES (4 << 20)

int limit_fail(int error, const char *what, struct conf_error *ret_error)
{
    conf_error_set(ret_error, "%s failed (%s)", what, error_text(error));
    return error;
}

/* The port of a ring stays busy for a moment after its process has gone: the kernel takes the ring down later. */
static int listen_bind(int fd, const struct sockaddr_storage *name, socklen_t name_bytes)
{
    static const struct timespec pause = {.tv_nsec = LISTEN_RETRY_INTERVAL_MS * (long)NS_PER_MS};
    for (int i = 0; bind(fd, (const struct sockaddr *)name, name_bytes) < 0; i++) {
        if (errno != EADDRINUSE || i == LISTEN_RETRIES_MAX)
            return -errno;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* One descriptor for each connection, as many as this process may have. */
static void listen_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int listen_open(const struct limit_options *options, bool tcp, int *ret_fd)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(&options->listen, &name);
    int one = 1, bytes = LISTEN_BUFFER_BYTES;
    int fd = socket(name.ss_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Connected sockets share the port with the one that meets new peers. */
    (void)setsockopt(fd, SOL_SOCKET, options->connected ? SO_REUSEPORT : SO_REUSEADDR, &one, sizeof(one));
    /* The privileged one goes beyond net.core.rmem_max. A TCP socket's buffers grow by themselves. */
    if (!tcp && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    int error = listen_bind(fd, &name, name_bytes);
    if (error == 0 && tcp && listen(fd, LISTEN_BACKLOG) < 0)
        error = -errno;
    if (error < 0) {
        (void)close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

int limit_listen(const struct limit_options *options, bool tcp, int *ret_fd, struct conf_error *ret_error)
{
    char text[ADDRESS_TEXT_BYTES];
    struct sockaddr_storage name = {0};
    socklen_t name_bytes = sizeof(name);
    struct address local;
    listen_raise_limit();
    int error = listen_open(options, tcp, ret_fd);
    if (error < 0) {
        conf_error_set(ret_error, "cannot listen on %s (%s): give --listen another address, or port 0 for a free one",
                       address_format(&options->listen, text), error_text(error));
        return error;
    }
    if (getsockname(*ret_fd, (struct sockaddr *)&name, &name_bytes) < 0)
        return limit_fail(-errno, "getsockname", ret_error);
    error = address_from_socket((const struct sockaddr *)&name, &local);
    if (error < 0)
        return limit_fail(error, "reading the socket's address", ret_error);
    printf("listening on %s\n", address_format(&local, text));
    return fflush(stdout) == 0 ? 0 : limit_fail(-errno, "writing to stdout", ret_error);
}
