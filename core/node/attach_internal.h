/* attach_internal - the state behind attach.h. Thread: the loop's, but for what is atomic. */
#pragma once

#include <stdatomic.h>

#include "core/io/timer.h"
#include "core/node/announcement.h"
#include "core/node/attach.h"
#include "core/node/attach_connections.h"
#include "core/node/attach_health.h"

struct attached;

/* One service of a server, and its check. */
struct attach_check {
    struct attached *server;
    const struct attach_target *target;
    struct attach_probe probe;
    struct attach_health health;

    /* For other threads. */
    _Atomic uint32_t state; /* enum attach_state */
    _Atomic uint64_t problem; /* of the last one: kind and value */
    _Atomic uint64_t took_ns;
};

/* One server: an address, a node towards rm. */
struct attached {
    struct attachments *all;
    uint32_t index;
    struct address address;
    bool is_local; /* this machine's CPU, memory and disk are its own */
    uint32_t check_count;
    struct attach_check *checks[NODE_SERVICES_MAX];

    struct attach_probe metric_probe; /* with ATTACH_LOAD_METRIC */
    struct attach_health metric_health;
    double in_use; /* connections, or the metric; what it counts as while that is not known */
    bool metric_asked; /* its page has been asked for once at least since it was up, with or without success */

    bool announced; /* heartbeats have begun */
    uint8_t unheard; /* bit k: the k-th rm answers the node and not the server */
    struct announcement announcement;

    /* For other threads. */
    _Atomic uint64_t load_problem;
    _Atomic bool load_known;
    _Atomic float in_use_now;
    _Atomic float load_index;
    _Atomic bool admin_drain;
    _Atomic uint32_t rm_count;
};

struct attachments {
    struct node *node;
    const struct attach_config *config; /* the node's */
    struct attach_check checks[ATTACHED_MAX];
    uint32_t server_count;
    struct attached servers[ATTACHED_MAX];
    struct attach_connections connections; /* of the servers, in their order */
    struct timer connections_timer;
    bool connections_known; /* a round of theirs has ended */
    uint64_t connections_round_ns; /* when the round under way began; 0: none is */
    bool leaving;
    struct announcement_sockets sockets; /* not the node's own: who an answer is for shows in its request ID alone */
};

/* attach.c. text: NULL where there is nothing more to say. */
void attach_report(const struct attached *server, enum attach_event_kind kind, const struct attach_check *check,
                   const struct address *rm, const char *text);

/* attach_announce.c */
bool attach_is_up(const struct attached *server); /* one of its services at least */
NODISCARD int attach_announcer_start(struct attachments *attachments);
void attach_announcer_stop(struct attachments *attachments);

/* Something that every rm should know at once; begins the heartbeats where there are none yet. */
void attach_announce(struct attached *server);
