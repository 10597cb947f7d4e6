/* attach_config - what --attach and its companions say: the servers that run already and that this node speaks for, how they are checked,
 * and where their load comes from.
 *
 * Thread: any, after parsing. Memory: none; the struct holds all. Parsing asks the kernel which addresses are this machine's, and
 * does nothing else that could block. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/conf/conf.h"
#include "core/wire/limits.h"

#define ATTACHED_MAX 64u /* services of all attached servers together */
#define ATTACH_PATH_BYTES_MAX 255u
#define ATTACH_METRIC_BYTES_MAX 127u
#define ATTACH_PAGE_BYTES_MAX (1u << 20) /* of a page with metrics */

enum attach_load {
    ATTACH_LOAD_HOST, /* this machine's CPU, memory and disk alone */
    ATTACH_LOAD_CONNECTIONS, /* and the established connections to the server's port */
    ATTACH_LOAD_METRIC, /* and a number on a page of the server */
    ATTACH_LOAD_NONE,
};

/* One service of a server. */
struct attach_target {
    char name[SERVICE_NAME_BYTES_MAX + 1];
    struct address address;
    char path[ATTACH_PATH_BYTES_MAX + 1]; /* of the HTTP GET that checks it; "": a TCP connect does */
};

/* Where the number is. */
struct attach_metric {
    uint16_t port; /* 0: the server's own */
    char path[ATTACH_PATH_BYTES_MAX + 1];
    char name[ATTACH_METRIC_BYTES_MAX + 1];
};

struct attach_config {
    uint32_t count;
    struct attach_target targets[ATTACHED_MAX]; /* no service twice on one address */
    uint64_t interval_ns; /* between two checks of a server */
    uint64_t timeout_ns; /* of a check */
    uint32_t rise; /* good checks in a row that bring a server back */
    uint32_t fall; /* bad ones that take it out */
    uint32_t slots; /* connections, or what the metric counts, that a server serves well at a time */
    enum attach_load load;
    struct attach_metric metric; /* with ATTACH_LOAD_METRIC */
};

/* Items are NAME=IP:PORT and NAME=http://IP:PORT/PATH; load is "host", "connections", "none" or "metric:[:PORT]/PATH#NAME". The
 * numbers are the caller's. -EINVAL with ret_error. */
NODISCARD int attach_config_parse(const struct conf_texts *items, const char *load, struct attach_config *ret_config,
                                  struct conf_error *ret_error);

/* A server cannot be attached under the address of the node itself. -EINVAL with ret_error. */
NODISCARD int attach_config_check_own(const struct attach_config *config, const struct address *own,
                                      struct conf_error *ret_error);

/* How long after a server's end it is still offered at worst, up to the heartbeat that says so. */
uint64_t attach_config_worst_ns(const struct attach_config *config);

/* Whether the IP is one of this machine's, by binding to it. */
bool attach_address_is_local(const struct address *address);
