/* node_fixture - a real node on a real loop, with real TCP clients and a resource manager that answers, all on the test's thread.
 *
 * Nothing sleeps: fixture_until runs the loop until something is true. on_each_loop runs a body over every backend that this machine
 * allows. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/errors.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/udp.h"
#include "core/node/node.h"
#include "core/wire/error.h"
#include "core/wire/heartbeat.h"
#include "core/wire/job.h"

#define CLIENTS_MAX 8
#define REPLIES_MAX 32
#define FIXTURE_DISPATCHERS_MAX 2

/* The last frame of an answer, with the data of all its parts. */
struct reply {
    uint16_t type; /* enum frame_type */
    uint64_t request_id;
    uint64_t job_id; /* RESULT, BUSY */
    struct wire_error error; /* ERROR */
    struct wire_busy busy; /* BUSY */
    uint32_t waited_us;
    uint32_t ran_us;
};

struct fixture;

struct client {
    struct fixture *fixture;
    struct stream *stream; /* NULL: closed */
    bool open;
    bool closed; /* by the node */
    uint32_t reply_count;
    struct reply replies[REPLIES_MAX];
    struct buffer data; /* of all RESULT parts, one behind the other */
    uint64_t data_length; /* counted, where it is not kept */
    bool counts_only;
};

struct fixture {
    struct node_config config; /* change before fixture_start */
    uint32_t connections_max; /* likewise; of the listener, 0: no limit */
    struct loop *loop;
    struct listener *listener;
    struct node *node;
    struct client clients[CLIENTS_MAX];
    uint32_t client_count;
    bool drained;

    /* The resource manager. */
    struct udp *rm;
    struct address rm_address;
    bool rm_silent;
    uint16_t rm_region;
    uint16_t rm_flags; /* of its next acknowledgement */
    uint32_t registers;
    uint32_t heartbeats;
    uint32_t rm_events;
    enum heartbeat_state rm_state; /* of the last event */
    char rm_text[400];
    struct wire_admin rm_admin;
    uint32_t rm_nodes; /* in the region, as it says */

    /* Dispatchers that it tells of: fixture_add_dispatcher. */
    uint32_t dispatcher_count;
    struct udp *dispatchers[FIXTURE_DISPATCHERS_MAX];
    uint32_t tokens[FIXTURE_DISPATCHERS_MAX]; /* that each has got */
    uint64_t token_sequence[FIXTURE_DISPATCHERS_MAX]; /* of the last one; they must increase */
    struct wire_idle_token last_token;
    struct wire_register last_register;
    struct wire_heartbeat last_heartbeat;
    uint64_t rm_sequence; /* of its own messages */

    /* Of nodes at other addresses than the fixture's. */
    uint32_t attached_heartbeats;
    struct wire_register attached_register;
    struct wire_heartbeat attached_heartbeat;
};

/* Calls body for every kind of loop, with a fixture whose node has one slot, room for 16 jobs and all built-in services. */
void on_each_loop(void (*body)(struct fixture *fixture));

/* The services of the node; before fixture_start. "exec:NAME=COMMAND" too. */
void fixture_services(struct fixture *fixture, const char *const *items, uint32_t count);

/* Makes the node and its listener. on_each_loop ends both. */
void fixture_start(struct fixture *fixture);

/* The same with these rms: those of the mask rm_http are over HTTP, the others' places are filled in with the fixture's own. */
void fixture_start_with(struct fixture *fixture, struct address *rms, uint32_t rm_count, uint64_t rm_http);

/* Another dispatcher, whose boot ID is FIXTURE_BOOT_ID and its index. */
#define FIXTURE_BOOT_ID 1000u
void fixture_add_dispatcher(struct fixture *fixture);

/* From now on connections are taken off another listener, as a dispatcher's core does it, when their first bytes have come. */
void fixture_hand_over(struct fixture *fixture);

/* A new connection. */
struct client *fixture_connect(struct fixture *fixture);

struct job_request {
    const char *service;
    const char *data;
    uint64_t job_id; /* also the request ID */
    uint64_t client_id;
    uint32_t service_time_ms; /* 0: 10 s */
    uint32_t wait_ms;
    uint64_t dispatcher_boot_id;
};

void client_submit(struct client *client, const struct job_request *request);
void client_send(struct client *client, const void *bytes, size_t length);

/* Closes from the client's side. */
void client_leave(struct client *client);

/* The reply with that request ID, waiting for it. Fails the test after ten seconds. */
const struct reply *client_await(struct client *client, uint64_t request_id);
const struct reply *client_find(const struct client *client, uint64_t request_id);

/* Waits until the node has closed the connection. */
void client_await_closed(struct client *client);

/* Runs the loop until condition(fixture) holds; fails the test after ten seconds. */
void fixture_until(struct fixture *fixture, bool (*condition)(const struct fixture *fixture), const char *what);

/* Runs the loop until so many jobs wait. */
void fixture_until_queued(struct fixture *fixture, uint32_t jobs);

/* Runs the loop for so long. */
void fixture_run_for(struct fixture *fixture, uint64_t ns);

/* Runs some batches without waiting for long. */
void fixture_turn(struct fixture *fixture);

uint64_t fixture_count(const struct fixture *fixture, enum counter counter);
struct node_stats fixture_stats(const struct fixture *fixture);

/* Conditions. */
bool one_job_runs(const struct fixture *fixture);
bool no_job_is_left(const struct fixture *fixture);
bool is_drained(const struct fixture *fixture);
