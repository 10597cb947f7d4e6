/* epoll, one recv and one send for each connection that has something. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/limit/limit.h"

#define EPOLL_EVENTS 256
#define EPOLL_BYTES 65536 /* taken from a connection at a time */

static void tcp_accept(int epoll_fd, int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        (void)close(fd);
}

/* A client that has gone, or that does not read what it asked for, is let go. */
static void tcp_echo(int fd)
{
    static uint8_t bytes[EPOLL_BYTES];
    ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) < got)
        (void)close(fd);
}

int limit_tcp_epoll(const struct limit_options *options, int fd, struct conf_error *ret_error)
{
    struct epoll_event events[EPOLL_EVENTS] = {{.events = EPOLLIN, .data.fd = fd}};
    int error = 0;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &events[0]) < 0)
        return limit_fail(-errno, "epoll", ret_error);
    while (!limit_stopped && error == 0) {
        int count = epoll_wait(epoll_fd, events, EPOLL_EVENTS, options->spin ? 0 : -1);
        if (count < 0 && errno != EINTR)
            error = limit_fail(-errno, "epoll_wait", ret_error);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == fd)
                tcp_accept(epoll_fd, fd);
            else
                tcp_echo(events[i].data.fd);
        }
    }
    (void)close(epoll_fd);
    return error;
}
