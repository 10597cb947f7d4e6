/* attach - servers that run already and know nothing of Usher: the node that hosts them checks them, and heartbeats on their behalf, so
 * that an existing fleet is balanced without being changed (--attach; docs/NODE.md).
 *
 * Towards a resource manager each server is a node of its own: its address, a boot ID and sequences of its own, the flag NO_ECHO (it
 * counts no jobs; its picks decay by time). Services of one address are one node; one that is down is not among those it offers, and
 * when none is up the node says DRAINING, at once and to every rm, rather than fall silent: whoever falls silent is believed for
 * longer. Nothing is said before the first checks have ended.
 * What is in use on a server (connections, or the metric) enters its load as jobs do a node's.
 * Thread: the loop's, but for attachments_read. Memory: attachments_new allocates all. Nothing blocks but the reading of
 * /proc/net/tcp, which is done in small steps and takes at most 1 % of the time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/node/attach_config.h"
#include "core/node/attach_probe.h"
#include "core/node/heartbeat.h"

struct attachments;
struct node;

enum attach_state {
    ATTACH_CHECKING, /* its first check has not ended */
    ATTACH_UP,
    ATTACH_DOWN,
};

/* "checking", "up", "down". */
const char *attach_state_name(enum attach_state state);

/* What became of a server, for the log. */
enum attach_event_kind {
    ATTACH_EVENT_BEGUN, /* checks begin: milliseconds is how long it is offered at worst after its end */
    ATTACH_EVENT_UP, /* a service: milliseconds is what its check took */
    ATTACH_EVENT_DOWN, /* a service: text says why */
    ATTACH_EVENT_LOAD_KNOWN,
    ATTACH_EVENT_LOAD_UNKNOWN, /* text says why */
    ATTACH_EVENT_UNHEARD, /* another node speaks for it, and this one is not answered */
    ATTACH_EVENT_HEARD, /* it is again, by all rm */
    ATTACH_EVENT_REFUSED, /* rm does not take it: text says why */
};

struct attach_event {
    enum attach_event_kind kind;
    const struct address *server;
    const char *service; /* NULL: all of it */
    const struct address *rm; /* NULL: no rm has to do with it */
    const char *text;
    uint64_t milliseconds;
};

/* Nothing is sent or checked before attachments_start. NULL when there is nothing attached. -ENOMEM. */
NODISCARD int attachments_new(struct node *node, struct attachments **ret_attachments);
NODISCARD int attachments_start(struct attachments *attachments); /* as udp_open; -ENOMEM */
void attachments_free(struct attachments *attachments);

/* The hosting node goes: nobody will speak for the servers, so they go too. */
void attachments_leave(struct attachments *attachments);

struct attach_service_stats {
    const char *name; /* valid as long as the node */
    const char *path; /* "": checked by a TCP connect */
    enum attach_state state;
    struct attach_problem problem; /* of the last check */
    uint64_t check_ns; /* how long that took */
};

struct attach_stats {
    struct address address;
    bool load_known; /* as far as it is asked for */
    struct attach_problem load_problem;
    float in_use; /* connections, or the metric; 0 with --attach-load host and none */
    uint32_t slots;
    float load_index;
    bool admin_drain;
    uint32_t rm_count; /* that acknowledge it */
    uint32_t service_count;
    struct attach_service_stats services[NODE_SERVICES_MAX];
};

/* Servers. Any thread; NULL: 0. */
uint32_t attachments_count(const struct attachments *attachments);

/* Any thread: what was true of about now. */
void attachments_read(const struct attachments *attachments, uint32_t index, struct attach_stats *ret_stats);
