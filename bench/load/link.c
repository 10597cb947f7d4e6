#include "bench/load/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/errors.h"

void link_init(struct link *link, int epoll_fd, uint64_t tag)
{
    *link = (struct link){.fd = -1, .epoll_fd = epoll_fd, .tag = tag};
}

void link_close(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    buffer_done(&link->out);
    buffer_done(&link->in);
    link_init(link, link->epoll_fd, link->tag);
}

static int link_fail(struct link *link, int error)
{
    link_close(link);
    return error;
}

int link_open(struct link *link, const struct address *address, const struct sources *sources, uint32_t turn)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_socket(address, &name);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u64 = link->tag};
    int one = 1;
    link->fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return -errno;
    link->opening = link->writing = true;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* saves time; without it it works as well */
    int error = source_bind(sources, link->fd, address->family, true, turn);
    if (error < 0)
        return link_fail(link, error);
    if (connect(link->fd, (const struct sockaddr *)&name, length) < 0 && errno != EINPROGRESS)
        return link_fail(link, -errno);
    return epoll_ctl(link->epoll_fd, EPOLL_CTL_ADD, link->fd, &event) < 0 ? link_fail(link, -errno) : 0;
}

static int link_flush(struct link *link)
{
    while (link->out.length > 0) {
        ssize_t sent = send(link->fd, link->out.bytes, link->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            buffer_consume(&link->out, (size_t)sent);
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return link_fail(link, -errno);
    }
    bool wanted = link->out.length > 0;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.u64 = link->tag};
    if (link->writing == wanted)
        return 0;
    link->writing = wanted;
    return epoll_ctl(link->epoll_fd, EPOLL_CTL_MOD, link->fd, &event) < 0 ? link_fail(link, -errno) : 0;
}

int link_send(struct link *link, const void *head, size_t head_length, const void *data, size_t data_length)
{
    int error = buffer_reserve(&link->out, head_length + data_length);
    if (error == 0)
        error = buffer_append(&link->out, head, head_length);
    if (error == 0 && data_length > 0)
        error = buffer_append(&link->out, data, data_length);
    if (error < 0)
        return link_fail(link, error);
    return link->writing ? 0 : link_flush(link);
}

int link_on_writable(struct link *link)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (link->opening && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    link->opening = false;
    return error ? link_fail(link, -error) : link_flush(link);
}

ssize_t link_receive(struct link *link, uint8_t *bytes, size_t capacity)
{
    size_t length = link->in.length;
    if (length >= capacity)
        return link_fail(link, USHER_EPROTOCOL);
    ssize_t got = recv(link->fd, bytes + length, capacity - length, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : link_fail(link, -errno);
    if (got == 0)
        return link_fail(link, USHER_ECONNECTION);
    if (length > 0)
        memcpy(bytes, link->in.bytes, length);
    link->in.length = 0;
    return (ssize_t)length + got;
}

int link_keep(struct link *link, const uint8_t *bytes, size_t length)
{
    int error = length > 0 ? buffer_append(&link->in, bytes, length) : 0;
    return error < 0 ? link_fail(link, error) : 0;
}
