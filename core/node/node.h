/* node - what every node has, whether worker or dispatcher: it takes jobs over TCP, queues and runs them, samples its load and sends
 * heartbeats (requirements N1 to N6, N11, D10, D11).
 *
 * A worker runs it on its only loop, a dispatcher on a loop and thread of its own. Nothing here listens: the program accepts
 * connections and gives them to node_serve, or hands over those it took off another loop (node_hand_over).
 *
 * Invariants: the oldest job is started first; every job that was accepted ends in a RESULT, or an ERROR that says whether it was
 * started, unless its client has closed the connection, which cancels it; no (client, job) runs twice in one boot within ten minutes.
 * Thread: the loop's, but for what is marked "any thread". Jobs run on threads of the node's own, one for each slot.
 * Memory: node_new allocates, node_free frees; jobs and their results are on the heap while they last, bounded by queue_max and
 * NODE_DATA_BYTES_MAX, which includes what has come of JOBs that are not complete yet. Only node_free blocks, until the jobs that run
 * have been stopped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/counters.h"
#include "core/base/macros.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/node/attach.h"
#include "core/node/change.h"
#include "core/node/heartbeat.h"
#include "core/node/load.h"
#include "core/node/resources.h"
#include "core/node/service.h"
#include "core/wire/limits.h"
#include "core/wire/node.h"

struct node;

#define NODE_SLOTS_MAX 1024u
#define NODE_CONNECTIONS_MAX 16384u /* an idle one costs about 1 KiB */
#define NODE_DATA_BYTES_MAX (UINT64_C(256) << 20) /* parameters of all jobs that wait and run */
#define NODE_UNFINISHED_BYTES_MAX                                                                                                \
    (UINT64_C(64) << 20) /* of JOBs that have not come whole yet; counts into NODE_DATA_BYTES_MAX too */
#define NODE_UNABLE_NS (UINT64_C(60) * 1000000000)

/* An rm's state changed: reached, lost, refused us … `text` is for the log: why, or "". All are called on the loop's thread
 * and may be NULL. */
struct node_events {
    void (*on_rm)(void *ctx, const struct heartbeat_rm *rm, const char *text);
    /* Programs (exec:) can't be started for this reason, a negative errno; 0: over, none has failed to for NODE_UNABLE_NS. */
    void (*on_unable)(void *ctx, int error);
    void (*on_attached)(void *ctx, const struct attach_event *event);
    void (*on_drained)(void *ctx); /* after node_refuse_new or node_abandon, once: all jobs answered, all connections closed */
    void *ctx;
};

struct node_config {
    struct loop *loop;
    struct node_events events;
    enum wire_node_kind kind;
    struct address address; /* by which clients reach this node: what heartbeats say */
    struct address bind_ip; /* heartbeats are sent from this IP where the family fits; the port is ignored */
    uint64_t boot_id; /* random, not 0, new at each start */
    uint16_t region; /* 1 … 65535 */
    bool no_jobs; /* heartbeats only: offers no service, refuses JOB */
    const char *disk_path; /* whose file system counts for LOAD_DISK_SPACE */
    const struct address *rms;
    uint32_t rm_count; /* 1 … HEARTBEAT_RMS_MAX */
    uint64_t rm_http; /* bit i: rms[i] is an rm's --http address, and heartbeats go to it over HTTP */
    struct service_set services;
    struct attach_config attach; /* servers that this node speaks for */
    uint32_t slots; /* 1 … NODE_SLOTS_MAX */
    uint32_t queue_max; /* jobs that may wait, ≥ 1 */
    uint32_t connections_max; /* for node_hand_over; 0: no limit, where a listener has one */
    uint64_t heartbeat_ns; /* interval */
    uint64_t load_window_ns;
    uint32_t load_samples; /* in a window, 1 … LOAD_SAMPLES_MAX */
    enum load_disk load_disk;
    float capacity[RESOURCE_CAPACITIES]; /* configured; 0: as detected */
    float load_weights[LOAD_PARTS];
    struct change_config change;
    uint32_t freshness_per_s; /* idle tokens and heartbeats out of turn, at most; 0: none but those of `change` */
    float queue_factor; /* > 0: how much the queue counts, 1.5 on dispatchers (D10) */
    double sleep_factor;
};

/* Starts the executors; nothing is sent or sampled before node_start. -EINVAL, -ENOMEM, -EAGAIN (no more threads), -EMFILE. */
NODISCARD int node_new(const struct node_config *config, struct node **ret_node);

/* Opens the sockets for heartbeats, announces the node to every rm and starts sampling. As udp_open. */
NODISCARD int node_start(struct node *node);

/* Stops what runs, closes all connections, joins the executors. On the loop's thread, when loop_run has returned; before loop_free.
 * NULL is a no-op. */
void node_free(struct node *node);

/* Takes over a connection of this loop, which must not have been read from by somebody else: JOB in, RESULT, BUSY and ERROR out. On
 * failure (-ENOMEM) the stream is left as it was. */
NODISCARD int node_serve(struct node *node, struct stream *stream);

/* Any thread. Takes over a connection that was taken off another loop, its unread bytes first. When memory runs out it is closed;
 * likewise at connections_max, unless one without jobs can be closed for it, the longest idle first. */
void node_hand_over(struct node *node, struct stream_handoff *handoff);

/* Leaving, in this order; each step may be left out, the first may be repeated. Any thread.
 * announce: heartbeats say DRAINING, at once. refuse_new: new jobs and those not started are answered SHUTTING_DOWN, not started;
 * running ones go on. abandon: running ones are stopped and answered CANCELLED, started. */
void node_announce_leaving(struct node *node);
void node_refuse_new(struct node *node);
void node_abandon(struct node *node);

/* Any thread: counts from the next job on. */
void node_set_sleep_factor(struct node *node, double factor);

struct node_service_stats {
    const char *name; /* valid as long as the node */
    uint32_t jobs; /* waiting and running */
    float mean_s; /* expected seconds for one job */
};

struct node_rm_stats {
    struct address address;
    bool http;
    enum heartbeat_state state;
    uint16_t region; /* as it said; 0: nothing heard yet */
    uint16_t dispatchers; /* in the region, as it said */
    uint64_t acknowledged_ns; /* loop time of its last acknowledgement; 0: none yet */
};

struct node_stats {
    uint16_t region;
    uint32_t slots;
    uint32_t queue_max;
    struct resource_report resources;
    float change_rate[CHANGE_METRICS];
    float freshness_per_s; /* idle tokens and heartbeats out of turn that it may send now */
    uint32_t jobs_queued;
    uint32_t jobs_running;
    uint32_t connections;
    uint32_t dispatchers; /* from whose picks jobs came, as echoed in heartbeats */
    struct load_report load;
    double sleep_factor;
    bool takes_jobs;
    bool leaving;
    int unable; /* negative errno: programs can't be started now; 0: nothing wrong */
    bool admin_drain; /* an operator has drained this node, rm says */
    uint32_t rm_count;
    uint32_t service_count;
    struct node_rm_stats rms[HEARTBEAT_RMS_MAX];
    struct node_service_stats services[NODE_SERVICES_MAX];
};

/* Any thread: what was true of about now. */
void node_read_stats(const struct node *node, struct node_stats *ret_stats);

/* Any thread. The servers that this node speaks for; NULL: none. */
const struct attachments *node_attachments(const struct node *node);

/* Any thread may read: written by the loop's. */
const struct counters *node_counters(const struct node *node);
