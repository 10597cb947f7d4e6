/* source - where the generator's sockets come from: descriptors for many of them, and the addresses of --bind, taken in turn.
 *
 * A source address has as many ports as net.ipv4.ip_local_port_range says, 28,232 by default: more connections need more addresses.
 * Thread: taken by one, then only read. Memory: in place. Nothing blocks. */
#pragma once

#include "core/base/address.h"
#include "core/conf/conf.h"

#define SOURCES_MAX 64u /* of each family */

struct source_list {
    uint32_t count;
    struct address item[SOURCES_MAX]; /* port 0 */
};

struct sources {
    struct source_list ipv4; /* none: the kernel chooses */
    struct source_list ipv6;
};

/* Of the texts of --bind. -EINVAL with ret_error: no IP, too many, none of this machine's, or none of the family of one of the servers. */
NODISCARD int sources_take(const struct conf_texts *texts, const struct address *servers, uint32_t server_count,
                           struct sources *ret_sources, struct conf_error *ret_error);

/* Binds a fresh socket that will connect to an address of that family; `turn` counts the sockets. Negative errno. */
NODISCARD int source_bind(const struct sources *sources, int fd, uint8_t family, bool stream, uint32_t turn);

/* Raises the limit of descriptors as far as it goes. -EMFILE with ret_error: not as far as so many connections. */
NODISCARD int source_allow_descriptors(uint32_t connections, struct conf_error *ret_error);

/* Says which connection failed, counted from 1, and what helps; returns the error. */
int source_failed(uint32_t number, const struct address *server, int error, struct conf_error *ret_error);
