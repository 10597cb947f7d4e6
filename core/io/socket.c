#include "core/io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#define BIND_RETRY_INTERVAL_MS UINT64_C(10)
#define BIND_RETRY_MS UINT64_C(1000)

uint32_t socket_name_set(union socket_name *name, uint8_t socket_family, const struct address *address)
{
    if (socket_family == ADDRESS_IPV4) {
        name->ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&name->ipv4.sin_addr, address->ip, 4);
        return sizeof(name->ipv4);
    }
    name->ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    uint8_t *ip = name->ipv6.sin6_addr.s6_addr;
    if (address->family == ADDRESS_IPV4) {
        memset(ip + 10, 0xff, 2);
        memcpy(ip + 12, address->ip, 4);
    } else {
        memcpy(ip, address->ip, 16);
    }
    return sizeof(name->ipv6);
}

/* An answer can't leave from a group. */
static void socket_read_local(const struct cmsghdr *message, struct address *ret_local)
{
    if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo to;
        memcpy(&to, CMSG_DATA(message), sizeof(to));
        ret_local->family = ADDRESS_IPV4;
        memcpy(ret_local->ip, &to.ipi_spec_dst, 4);
    } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo to;
        memcpy(&to, CMSG_DATA(message), sizeof(to));
        if (IN6_IS_ADDR_MULTICAST(&to.ipi6_addr))
            return;
        ret_local->family = ADDRESS_IPV6;
        memcpy(ret_local->ip, &to.ipi6_addr, 16);
        *ret_local = address_plain(ret_local);
    }
}

struct udp_received socket_read_control(void *control, size_t length)
{
    struct udp_received received = {0};
    struct msghdr header = {.msg_control = control, .msg_controllen = length};
    for (struct cmsghdr *message = CMSG_FIRSTHDR(&header); message != NULL; message = CMSG_NXTHDR(&header, message)) {
        if (message->cmsg_level == SOL_UDP && message->cmsg_type == UDP_GRO) {
            int segment_bytes;
            memcpy(&segment_bytes, CMSG_DATA(message), sizeof(segment_bytes));
            received.segment_bytes = segment_bytes > 0 ? (uint32_t)segment_bytes : 0;
        } else if (message->cmsg_level == SOL_SOCKET && message->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(message), sizeof(stamp));
            received.wall_ns = (uint64_t)stamp.tv_sec * NS_PER_S + (uint64_t)stamp.tv_nsec;
        } else {
            socket_read_local(message, &received.local);
        }
    }
    return received;
}

/* Behind the messages that are there. */
static void socket_append_control(struct msghdr *header, union socket_control *control, int level, int type, const void *value,
                                  size_t bytes)
{
    struct cmsghdr *message = (struct cmsghdr *)(void *)(control->bytes + header->msg_controllen);
    *message = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(bytes)};
    memcpy(CMSG_DATA(message), value, bytes);
    header->msg_control = control;
    header->msg_controllen += CMSG_SPACE(bytes);
}

void socket_write_control(const struct udp *udp, const struct udp_packet *packet, struct msghdr *header,
                          union socket_control *control)
{
    if (packet->length > packet->segment_bytes) {
        uint16_t segment_bytes = (uint16_t)packet->segment_bytes;
        socket_append_control(header, control, SOL_UDP, UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes));
    }
    if (packet->via == 0)
        return;
    union socket_name name;
    (void)socket_name_set(&name, udp->local.family, &udp->vias[packet->via - 1]);
    if (udp->local.family == ADDRESS_IPV4) {
        struct in_pktinfo from = {.ipi_spec_dst = name.ipv4.sin_addr};
        socket_append_control(header, control, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from));
    } else {
        struct in6_pktinfo from = {.ipi6_addr = name.ipv6.sin6_addr};
        socket_append_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof(from));
    }
}

static int socket_close_failed(int fd, int error)
{
    (void)close(fd);
    return error;
}

static int socket_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static void socket_bind_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(BIND_RETRY_INTERVAL_MS * NS_PER_MS)}, NULL);
}

/* The port of a ring stays busy for a moment after its process has gone: the kernel takes the ring down later. */
static int socket_bind(int fd, const struct sockaddr *name, socklen_t name_bytes, bool retry)
{
    uint64_t deadline_ns = clock_monotonic_ns() + BIND_RETRY_MS * NS_PER_MS;
    while (bind(fd, name, name_bytes) < 0) {
        if (errno != EADDRINUSE || !retry || clock_monotonic_ns() >= deadline_ns)
            return -errno;
        socket_bind_pause();
    }
    return 0;
}

/* family AF_UNIX gives ADDRESS_NONE. */
static void socket_local_address(int fd, struct address *ret_local)
{
    struct sockaddr_storage name = {0};
    socklen_t name_bytes = sizeof(name);
    struct address local;
    *ret_local = (struct address){.family = ADDRESS_NONE};
    if (getsockname(fd, (struct sockaddr *)&name, &name_bytes) == 0 &&
        address_from_socket((const struct sockaddr *)&name, &local) == 0)
        *ret_local = local;
}

static int socket_bind_address(int fd, const struct address *address, bool retry)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(address, &name);
    return socket_bind(fd, (const struct sockaddr *)&name, name_bytes, retry);
}

static int socket_open_type(uint8_t family, int type, bool nonblocking)
{
    int domain = family == ADDRESS_IPV4 ? AF_INET : family == ADDRESS_IPV6 ? AF_INET6 : AF_UNIX;
    int fd = socket(domain, type | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    /* Whatever net.ipv6.bindv6only says: "[::]" means both. */
    if (domain == AF_INET6)
        (void)socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return fd;
}

static int socket_setup_udp(int fd, const struct udp_config *config)
{
    int error = 0;
    if (config->reuseport)
        error = socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0 && config->segmentation)
        error = socket_set(fd, SOL_UDP, UDP_GRO, 1);
    if (error == 0 && socket_tells_local(config))
        error = config->address.family == ADDRESS_IPV4 ? socket_set(fd, IPPROTO_IP, IP_PKTINFO, 1)
                                                       : socket_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    /* Beyond net.core.rmem_max where we may (CAP_NET_ADMIN); else up to it. */
    if (error == 0 && config->socket_receive_bytes > 0 &&
        socket_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)config->socket_receive_bytes) < 0)
        error = socket_set(fd, SOL_SOCKET, SO_RCVBUF, (int)config->socket_receive_bytes);
    if (error == 0 && config->socket_send_bytes > 0)
        error = socket_set(fd, SOL_SOCKET, SO_SNDBUF, (int)config->socket_send_bytes);
    return error < 0 ? error : socket_bind_address(fd, &config->address, config->retry_bind);
}

/* Only names the peer: nothing is sent, nothing blocks. */
static int socket_connect_udp(int fd, const struct udp_config *config)
{
    union socket_name name;
    socklen_t name_bytes = socket_name_set(&name, config->address.family, &config->connect);
    return connect(fd, (const struct sockaddr *)&name, name_bytes) < 0 ? -errno : 0;
}

int socket_open_udp(const struct udp_config *config, bool nonblocking, int *ret_fd, struct address *ret_local)
{
    int fd = socket_open_type(config->address.family, SOCK_DGRAM, nonblocking);
    if (fd < 0)
        return fd;
    int error = socket_setup_udp(fd, config);
    if (error == 0 && config->connect.family != ADDRESS_NONE)
        error = socket_connect_udp(fd, config);
    if (error < 0)
        return socket_close_failed(fd, error);
    socket_local_address(fd, ret_local);
    /* A wildcard IPv6 socket stays an IPv6 one, whatever its address looks like. */
    ret_local->family = config->address.family;
    *ret_fd = fd;
    return 0;
}

/* What fails here leaves the socket as it was, which still works. */
void socket_tune_udp(struct udp *udp)
{
    (void)socket_set(udp->handle.fd, SOL_SOCKET, SO_TIMESTAMPNS, udp->backlog.stamping);
    (void)socket_set(udp->handle.fd, SOL_SOCKET, SO_RCVBUF, (int)udp->backlog.bytes);
}

static int socket_unix_name(const char *path, struct sockaddr_un *ret_name, socklen_t *ret_name_bytes)
{
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(ret_name->sun_path))
        return -ENAMETOOLONG;
    *ret_name = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_name->sun_path, path, length);
    *ret_name_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

/* A socket file that nobody listens on is what a killed process leaves behind. */
static bool socket_unix_is_dead(const struct sockaddr_un *name, socklen_t name_bytes)
{
    struct stat status;
    if (lstat(name->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket_open_type(ADDRESS_NONE, SOCK_STREAM, true);
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)name, name_bytes) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return dead;
}

static int socket_bind_unix(int fd, const struct listener_config *config)
{
    struct sockaddr_un name;
    socklen_t name_bytes;
    int error = socket_unix_name(config->unix_path, &name, &name_bytes);
    if (error < 0)
        return error;
    /* Before bind: so there is no moment at which others could connect. */
    if (fchmod(fd, config->unix_mode) < 0)
        return -errno;
    /* A killed process's ring goes on listening for a moment too, so what answers may be dead soon. */
    uint64_t deadline_ns = clock_monotonic_ns() + (config->retry_bind ? BIND_RETRY_MS * NS_PER_MS : 0);
    error = socket_bind(fd, (const struct sockaddr *)&name, name_bytes, false);
    while (error == -EADDRINUSE) {
        bool dead = socket_unix_is_dead(&name, name_bytes);
        if (!dead && clock_monotonic_ns() >= deadline_ns)
            break;
        if (dead && unlink(name.sun_path) < 0 && errno != ENOENT)
            break;
        if (!dead)
            socket_bind_pause();
        error = socket_bind(fd, (const struct sockaddr *)&name, name_bytes, false);
    }
    if (error < 0)
        return error;
    return chmod(name.sun_path, config->unix_mode) == 0 ? 0 : -errno; /* the umask took some away */
}

static int socket_setup_listener(int fd, const struct listener_config *config)
{
    int error;
    if (config->unix_path != NULL) {
        error = socket_bind_unix(fd, config);
    } else {
        error = socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (error == 0 && config->reuseport)
            error = socket_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (error == 0)
            error = socket_bind_address(fd, &config->address, config->retry_bind);
    }
    if (error < 0)
        return error;
    return listen(fd, (int)config->backlog) == 0 ? 0 : -errno;
}

int socket_open_listener(const struct listener_config *config, bool nonblocking, int *ret_fd, struct address *ret_local)
{
    uint8_t family = config->unix_path != NULL ? ADDRESS_NONE : config->address.family;
    int fd = socket_open_type(family, SOCK_STREAM, nonblocking);
    if (fd < 0)
        return fd;
    int error = socket_setup_listener(fd, config);
    if (error < 0)
        return socket_close_failed(fd, error);
    socket_local_address(fd, ret_local);
    *ret_fd = fd;
    return 0;
}

static int socket_prepare_connect(int fd, const struct stream_config *config)
{
    int error = 0;
    if (config->reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    if (config->bind.family != ADDRESS_NONE) {
        /* Let connect pick the port: it needs one that is free towards this peer, bind one that is free towards everybody, which
         * after 28,000 connections a minute there is none, and the search for it takes milliseconds long before. */
        if (config->bind.port == 0)
            (void)socket_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        error = socket_bind_address(fd, &config->bind, false);
    }
    return error;
}

int socket_open_stream(const struct stream_config *config, bool nonblocking, int *ret_fd, struct sockaddr_storage *ret_name,
                       socklen_t *ret_name_bytes)
{
    uint8_t family = config->unix_path != NULL ? ADDRESS_NONE : config->address.family;
    if (config->unix_path != NULL) {
        struct sockaddr_un name;
        int error = socket_unix_name(config->unix_path, &name, ret_name_bytes);
        if (error < 0)
            return error;
        memcpy(ret_name, &name, sizeof(name));
    } else {
        if (family == ADDRESS_NONE)
            return -EAFNOSUPPORT;
        *ret_name_bytes = address_to_socket(&config->address, ret_name);
    }
    int fd = socket_open_type(family, SOCK_STREAM, nonblocking);
    if (fd < 0)
        return fd;
    int error = family != ADDRESS_NONE ? socket_prepare_connect(fd, config) : 0;
    if (error < 0)
        return socket_close_failed(fd, error);
    *ret_fd = fd;
    return 0;
}

void socket_prepare_stream(struct stream *stream, bool nonblocking)
{
    int fd = stream->handle.fd;
    int flags = fcntl(fd, F_GETFL);
    int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (flags >= 0 && flags != wanted)
        (void)fcntl(fd, F_SETFL, wanted);
    socket_local_address(fd, &stream->local);
    if (stream->local.family == ADDRESS_NONE)
        return;
    (void)socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    struct sockaddr_storage name = {0};
    socklen_t name_bytes = sizeof(name);
    struct address peer;
    if (getpeername(fd, (struct sockaddr *)&name, &name_bytes) == 0 &&
        address_from_socket((const struct sockaddr *)&name, &peer) == 0)
        stream->peer = peer;
}

bool socket_shed(int listener_fd, int *reserve_fd)
{
    struct pollfd ready = {.fd = listener_fd, .events = POLLIN};
    bool shed = false;
    if (*reserve_fd >= 0)
        (void)close(*reserve_fd);
    *reserve_fd = -1;
    if (poll(&ready, 1, 0) == 1) {
        int fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)close(fd);
            shed = true;
        }
    }
    *reserve_fd = socket_reserve();
    return shed;
}

int socket_accept_on_reserve(int listener_fd, int *reserve_fd)
{
    struct pollfd ready = {.fd = listener_fd, .events = POLLIN};
    if (*reserve_fd < 0 || poll(&ready, 1, 0) != 1)
        return -1;
    (void)close(*reserve_fd);
    *reserve_fd = -1;
    int fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        *reserve_fd = socket_reserve();
    return fd;
}

int socket_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void socket_drop(void *backend_ctx, int fd)
{
    (void)backend_ctx;
    (void)close(fd);
}
