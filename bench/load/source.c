#include "bench/load/source.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/errors.h"

#define SOURCE_DESCRIPTORS_BESIDE 64 /* standard streams, epoll, /proc, and what libraries have */
#define SOURCE_PORTS_FILE "/proc/sys/net/ipv4/ip_local_port_range" /* of both families */

static const struct source_list *source_list_of(const struct sources *sources, uint8_t family)
{
    return family == ADDRESS_IPV4 ? &sources->ipv4 : &sources->ipv6;
}

static int source_bind_to(int fd, const struct address *source)
{
    struct sockaddr_storage name;
    socklen_t length = address_to_socket(source, &name);
    return bind(fd, (const struct sockaddr *)&name, length) < 0 ? -errno : 0;
}

/* Whether it is an address of this machine. */
static int source_try(const struct address *source)
{
    struct sockaddr_storage name;
    (void)address_to_socket(source, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = source_bind_to(fd, source);
    close(fd);
    return error;
}

static int source_add(struct sources *sources, const char *text, struct conf_error *ret_error)
{
    struct address source;
    if (address_parse_ip(text, &source) < 0 || address_is_wildcard(&source)) {
        conf_error_set(ret_error, "--bind \"%.80s\": give addresses of this machine, such as 127.0.0.2, without a port", text);
        return -EINVAL;
    }
    struct source_list *list = source.family == ADDRESS_IPV4 ? &sources->ipv4 : &sources->ipv6;
    if (list->count == SOURCES_MAX) {
        conf_error_set(ret_error, "--bind: give %u addresses of a family at most", SOURCES_MAX);
        return -EINVAL;
    }
    int error = source_try(&source);
    if (error < 0) {
        conf_error_set(ret_error, "--bind %.80s: sockets cannot be bound to it (%s): give an address of this machine", text,
                       error_text(error));
        return -EINVAL;
    }
    list->item[list->count++] = source;
    return 0;
}

int sources_take(const struct conf_texts *texts, const struct address *servers, uint32_t server_count,
                 struct sources *ret_sources, struct conf_error *ret_error)
{
    struct sources sources = {0};
    char text[ADDRESS_TEXT_BYTES];
    for (uint32_t i = 0; i < texts->count; i++)
        if (source_add(&sources, texts->item[i], ret_error) < 0)
            return -EINVAL;
    for (uint32_t i = 0; texts->count > 0 && i < server_count; i++)
        if (source_list_of(&sources, servers[i].family)->count == 0) {
            conf_error_set(ret_error, "--bind has no %s address, from which alone %s can be reached",
                           servers[i].family == ADDRESS_IPV4 ? "IPv4" : "IPv6", address_format(&servers[i], text));
            return -EINVAL;
        }
    *ret_sources = sources;
    return 0;
}

int source_bind(const struct sources *sources, int fd, uint8_t family, bool stream, uint32_t turn)
{
    const struct source_list *list = source_list_of(sources, family);
    int one = 1;
    if (list->count == 0)
        return 0;
    /* A port may serve towards several servers when it is chosen with the connection; kernels without that use up more of them. */
    if (stream)
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return source_bind_to(fd, &list->item[turn % list->count]);
}

int source_allow_descriptors(uint32_t connections, struct conf_error *ret_error)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + SOURCE_DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_max < wanted) { /* for those who may */
        struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return 0;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= wanted)
        return 0;
    conf_error_set(ret_error, "--connections %u needs %llu descriptors and this shell may have %llu: raise it with ulimit -Hn",
                   connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return -EMFILE;
}

/* How many ports a source address has; 0: unknown. */
static unsigned source_ports(void)
{
    unsigned first, last, ports = 0;
    FILE *file = fopen(SOURCE_PORTS_FILE, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%u %u", &first, &last) == 2 && first <= last)
        ports = last - first + 1;
    fclose(file);
    return ports;
}

int source_failed(uint32_t number, const struct address *server, int error, struct conf_error *ret_error)
{
    char text[ADDRESS_TEXT_BYTES];
    address_format(server, text);
    switch (error) {
    case -EADDRNOTAVAIL:
    case -EADDRINUSE:
    case -EAGAIN:
        conf_error_set(
            ret_error,
            "connection %u to %s has no port left to come from, a source address has %u here: give more addresses with "
            "--bind, or fewer --connections",
            number, text, source_ports());
        return error;
    case -ECONNREFUSED:
    case -ETIMEDOUT:
        conf_error_set(ret_error, "connection %u to %s failed (%s): is a server running there?", number, text, error_text(error));
        return error;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        conf_error_set(ret_error, "connection %u to %s failed (%s): give fewer --connections", number, text, error_text(error));
        return error;
    case -ENOPROTOOPT:
        conf_error_set(ret_error, "connection %u to %s failed (%s): this kernel has no super-datagrams, leave --gso out", number,
                       text, error_text(error));
        return error;
    default: conf_error_set(ret_error, "connection %u to %s failed (%s)", number, text, error_text(error)); return error;
    }
}
