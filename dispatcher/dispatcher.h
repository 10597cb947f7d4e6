/* dispatcher - puts the parts together: control (directory, subscription), the answering cores, the node on a thread of its own.
 * Thread: all functions are hooks of core/daemon and run on the control thread. */
#pragma once

#include <pthread.h>

#include "core/daemon/daemon.h"
#include "core/node/node.h"
#include "dispatcher/core.h"
#include "dispatcher/directory.h"
#include "dispatcher/options.h"
#include "dispatcher/saved.h"
#include "dispatcher/subscription.h"

struct dispatcher {
    struct daemon *daemon;
    const struct dispatcher_options *options;
    struct address address; /* the service address, with its port */
    struct directory *directory;
    struct address followed[HEARTBEAT_RMS_MAX]; /* those of --rm that have lists: not the ones over HTTP */
    struct subscription subscription;
    struct saver *saver;
    struct feedback_desk *feedback;
    struct placement *placement;
    struct core_shared shared;
    struct core *cores[PUBLICATION_READERS_MAX];
    uint32_t core_count;
    struct loop *node_loop;
    struct node *node;
    pthread_t node_thread;
    bool node_started;
    bool subscribed;
    struct timer refuse; /* runs between the closing of the ports and the node's refusing */
    struct loop_message drained; /* from the node's thread */
    struct counters counters; /* the control thread's */
};

int dispatcher_check(const void *options, struct conf_error *ret_error);
int dispatcher_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error);
void dispatcher_drain(void *state, enum drain_phase phase);
void dispatcher_stop(void *state);
void dispatcher_changed(void *state, const struct conf_option *option);

/* status.c */
void dispatcher_status(void *state, json_t *answer);
void dispatcher_measure(void *state, struct measures *measures);
bool dispatcher_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES]);
int dispatcher_admin_nodes(void *state, struct admin_call *call);

/* explain.c */
int dispatcher_admin_pick(void *state, struct admin_call *call);
