/* rm - puts the parts together: reception (heartbeats in), cluster (the truth), subscribers (directories out), mirror (Redis).
 *
 *     node ──HEARTBEAT──▶ reception ──▶ cluster ──▶ subscribers ──DELTA──▶ dispatcher
 *                                        │  ▲
 *                                        ▼  └─ at start
 *                                       mirror ──▶ Redis
 *
 * Thread: everything runs on the control loop; all functions are hooks of core/daemon. */
#pragma once

#include "core/base/random.h"
#include "core/daemon/daemon.h"
#include "core/io/timer.h"
#include "core/redis/redis_server.h"
#include "rm/cluster.h"
#include "rm/event_log.h"
#include "rm/identity.h"
#include "rm/mirror.h"
#include "rm/options.h"
#include "rm/reception.h"
#include "rm/subscribers.h"

struct rm {
    struct daemon *daemon;
    const struct rm_options *options;
    struct identity identity;
    struct address address; /* the service address, with its port */
    struct redis_target redis;
    struct cluster *cluster;
    struct reception *reception;
    struct subscribers *subscribers;
    struct redis_server *redis_server; /* NULL unless embedded */
    struct mirror *mirror;
    struct region_table *regions; /* NULL without a file */
    struct random_state picks;
    struct timer sweep_timer;
    struct timer averages_timer;
    struct timer release_timer; /* lists go out, whether Redis has been read or not */
    uint64_t gather_received; /* datagrams, when the rate was looked at last, and when that was */
    uint64_t gather_ns;
    struct event_log events;
    struct counters counters;
};

/* rm.c */
int rm_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error);
void rm_stop(void *state);
void rm_changed(void *state, const struct conf_option *option);
void rm_reloaded(void *state);
struct cluster_time rm_now(const struct rm *rm);
/* How long until lists may be shown over HTTP: before, they would say that those nodes are gone of which rm has yet to hear. 0: now. */
uint64_t rm_lists_wait_ns(const struct rm *rm);
const struct redis_target *rm_redis_in_use(const struct rm *rm); /* the embedded server's socket, or what --redis says */

/* status.c */
void rm_status(void *state, json_t *answer);
void rm_measure(void *state, struct measures *measures);
bool rm_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES]);

/* commands.c */
int rm_admin_nodes(void *state, struct admin_call *call);
int rm_admin_services(void *state, struct admin_call *call);
int rm_admin_subscribers(void *state, struct admin_call *call);
int rm_admin_drain(void *state, struct admin_call *call);
int rm_admin_ready(void *state, struct admin_call *call);
int rm_admin_weight(void *state, struct admin_call *call);

/* api.c */
int rm_http(void *state, const struct http_request *request, struct http_answer *answer);
