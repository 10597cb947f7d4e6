/* node_internal - the state behind node.h, and what its files (node.c, connection.c, job_answer.c, announcer.c, teller.c) offer each other.
 * Thread: the loop's, but for what is atomic. */
#pragma once

#include <stdatomic.h>

#include "core/base/counters.h"
#include "core/base/random.h"
#include "core/io/list.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"
#include "core/node/announcement.h"
#include "core/node/attach.h"
#include "core/node/change.h"
#include "core/node/dedupe.h"
#include "core/node/dispatcher_counts.h"
#include "core/node/estimate.h"
#include "core/node/executors.h"
#include "core/node/freshness.h"
#include "core/node/job.h"
#include "core/node/load.h"
#include "core/node/node.h"
#include "core/node/resources.h"
#include "core/wire/error.h"

/* In this order; never back. */
enum node_phase {
    NODE_SERVING,
    NODE_LEAVING, /* heartbeats say so */
    NODE_REFUSING, /* new jobs are refused */
    NODE_ABANDONING, /* running jobs are stopped */
};

/* A client's connection. Its jobs: accepted and not ended. Its unsent parts: those that the stream had no room for, oldest first; while
 * there are any nothing more is read. */
struct connection {
    struct node *node;
    struct stream *stream;
    struct connection *previous;
    struct connection *next;
    struct list_link idle_link; /* in node->idle while nothing is in progress */
    struct job *jobs;
    struct job_part *unsent_oldest;
    struct job_part *unsent_newest;
    bool ending; /* no more jobs are taken; closed as soon as everything is answered */
    bool closed; /* stream_close was called */
    struct timer timer;
    uint64_t active_ns; /* last bytes from the client, or last answer */
    uint32_t skip_bytes; /* that are still to come of a frame nothing more of which is of interest */
    uint32_t unfinished_bytes; /* left with the stream */
    uint64_t partial_ns; /* when the frame that is not complete yet began; 0: none */
    uint64_t ending_ns;
};

/* What the node tells beside its regular heartbeats. */
struct teller {
    struct freshness freshness;
    struct timer timer;
    struct random_state random;
    uint32_t dispatcher_count;
    struct wire_ack_dispatcher dispatchers[ACK_DISPATCHERS_MAX]; /* of the region, as the latest acknowledgement had them */
    uint64_t ended_boot_id; /* of the dispatcher whose job ended last; 0: not known */
    uint64_t held_counted; /* of freshness.held */
    bool due; /* jobs came or went since the last look */
};

/* What other threads may read: stored by node_publish. */
struct node_board {
    _Atomic float freshness_per_s;
    _Atomic uint32_t phase;
    _Atomic uint32_t connections;
    _Atomic uint32_t dispatchers;
    _Atomic bool admin_drain;
    _Atomic int unable;
    _Atomic float load_index;
    _Atomic float load_per_job;
    _Atomic float load_mean[LOAD_PARTS];
    _Atomic uint32_t resources_known;
    _Atomic float resources[RESOURCES];
    _Atomic float change_rate[CHANGE_METRICS];
    struct {
        _Atomic uint32_t jobs;
        _Atomic float mean_s;
    } services[NODE_SERVICES_MAX];
    struct {
        _Atomic uint32_t state;
        _Atomic uint32_t region;
        _Atomic uint32_t dispatchers;
        _Atomic uint64_t acknowledged_ns;
    } rms[HEARTBEAT_RMS_MAX];
};

struct node {
    struct node_config config; /* its texts and lists are our own: */
    struct address rms[HEARTBEAT_RMS_MAX];
    char *disk_path;
    char *commands[NODE_SERVICES_MAX];
    struct loop *loop;
    struct counters counters;
    struct executors *executors;
    int unable; /* why programs can't be started (negative errno), or 0 */
    uint64_t unable_ns; /* when one last could not */
    struct estimate estimate;
    struct dedupe dedupe;
    struct dispatcher_counts dispatcher_counts;

    struct load load;
    struct load_report report; /* as of the latest sample */
    struct resources *resources;
    struct change change;
    struct timer sample_timer;
    uint64_t sample_due_ns;

    struct announcement announcement;
    struct announcement_sockets sockets; /* also to dispatchers */
    struct teller teller;

    struct attachments *attachments; /* NULL: none */

    struct connection *connections;
    uint32_t connection_count;
    struct list_link idle; /* connections, longest idle first */
    uint32_t job_count; /* accepted and not answered yet */
    uint64_t data_bytes; /* parameters of all jobs in memory */
    uint64_t unfinished_bytes; /* of all connections */

    enum node_phase phase;
    uint64_t refusing_ns; /* since when */
    bool drained; /* and said so */
    bool freeing;

    struct loop_message parts_message;
    struct loop_message phase_message;
    _Atomic uint32_t phase_wanted;
    _Atomic bool phase_posted;
    _Atomic uint32_t messages; /* of ours that the loop still holds */

    struct node_board board;
};

/* connection.c: never fails to be freed by its stream's end. */
NODISCARD int connection_new(struct node *node, struct connection **ret_connection);
extern const struct stream_handlers connection_handlers;
void connection_open(struct connection *connection, struct stream *stream);

/* Closes the one that has been idle for longest. False: none is idle. */
bool connection_evict(struct node *node);

/* Drops everything at once and frees. */
void connection_discard(struct connection *connection);

/* Takes no more jobs; stops those that are there and answers CANCELLED; closes when all is sent. */
void connection_end(struct connection *connection, enum job_stop why);

/* Whether it may be taken for idle: whenever jobs, unsent parts or an unfinished frame came or went. */
void connection_look_busy(struct connection *connection);

/* Looks again at when this connection must have done something. */
void connection_watch(struct connection *connection);

/* Takes the part. */
void connection_send(struct connection *connection, struct job_part *part);
void connection_send_error(struct connection *connection, uint64_t request_id, enum wire_error_code code, bool started,
                           const char *text);
void connection_send_busy(struct connection *connection, uint64_t request_id, uint64_t job_id);

/* The part has left, or nobody wants it. */
void part_release(struct node *node, struct job_part *part);

/* job_answer.c */
void job_accept(struct connection *connection, const struct frame *frame);

/* A JOB that the node has no room to receive: answered, though it is not complete. */
void job_refuse_unfinished(struct connection *connection, const struct frame *frame);

/* Not started: it is answered (USHER_ECANCELLED, USHER_ESHUTDOWN; 0: no answer) and forgotten. True then. */
bool job_drop(struct node *node, struct job *job, int error);

/* Ends it in whatever state it is; `why` decides the answer. */
void job_cancel(struct node *node, struct job *job, enum job_stop why);

/* What came from the executors. */
void job_on_part(struct node *node, struct job_part *part);

/* announcer.c */
NODISCARD int announcer_start(struct node *node);
void announcer_stop(struct node *node);
void announcer_hasten(struct node *node);

/* Out of turn, since something has changed fast (N8), unless the budgets forbid it. */
void announcer_change(struct node *node);

/* Out of turn, now; taken off the budgets already. */
void announcer_report(struct node *node);

/* Whether there is a socket of this family, or one could be opened. */
bool announcer_can_send(struct node *node, enum address_family family);

/* teller.c */
void teller_init(struct node *node);
void teller_stop(struct node *node);

/* After node->job_count has changed: a job of this service, sent here by this dispatcher (0: not known). */
void teller_job_came(struct node *node, uint32_t service, uint64_t dispatcher_boot_id);
void teller_job_left(struct node *node, uint32_t service, uint64_t dispatcher_boot_id);

/* Tells what is to be told now: when jobs have come or gone, once for all of them, and when heartbeats have. */
void teller_look(struct node *node);

/* A heartbeat goes out. */
void teller_beat(struct node *node);

/* Whether one may go out of turn for N8; it is taken off the budgets. */
NODISCARD bool teller_extra(struct node *node);

/* An acknowledgement that was counted. */
void teller_on_ack(struct node *node, const struct wire_heartbeat_ack *ack);

/* node.c */
void node_publish(struct node *node);

/* A program could not be started, for `error`. */
void node_note_unable(struct node *node, int error);

/* Says on_drained when the time has come. */
void node_look_drained(struct node *node);
