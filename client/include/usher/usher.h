/* usher - ask dispatchers for addresses of nodes, and run jobs on these nodes.
 *
 *     struct usher_config config = {.dispatchers = "10.0.0.1:7400,10.0.0.2:7400"};
 *     struct usher_client *client;
 *     if (usher_client_new(&config, &client, NULL) == 0) {
 *         struct usher_job job = {.service = "digest", .data = "hello", .data_bytes = 5};
 *         struct usher_result result;
 *         if (usher_run(client, &job, &result) == 0)
 *             fwrite(result.data, 1, result.data_bytes, stdout);
 *         usher_result_free(&result);
 *         usher_client_free(client);
 *     }
 *
 * Fields that are left at zero mean their default, so that designated initialisers name only what matters.
 *
 * Errors: 0, or a negative number: a negative errno or one of USHER_ERROR_…; usher_error_name and usher_error_text know them all.
 * Thread: a client belongs to one thread at a time; make one client per thread. Different clients share nothing.
 * Blocks: usher_ask, usher_run and usher_client_poll, each with a bound that its comment names; nothing else does.
 * Memory: what usher_client_new returns is freed by usher_client_free. Texts given to a call are copied before it returns; the
 * data of a job too.
 * The library never logs, prints, exits, starts a thread or touches signals. docs/CLIENT.md says what it retries, and when. */
#ifndef USHER_H
#define USHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define USHER_ERROR_UNREACHABLE (-1001) /* no dispatcher answered */
#define USHER_ERROR_NO_NODE (-1002) /* no eligible node offers the service */
#define USHER_ERROR_NO_SERVICE (-1003) /* no node has ever offered the service */
#define USHER_ERROR_BUSY (-1005) /* every node that was tried had a full job queue, until the job's wait was over */
#define USHER_ERROR_SERVICE_TIME (-1008) /* the job ran longer than its service time and was stopped */
#define USHER_ERROR_WAIT (-1009) /* the job was not started within its wait */
#define USHER_ERROR_JOB_FAILED (-1010) /* the service ran and reported a failure */
#define USHER_ERROR_CONNECTION (-1012) /* the connection to the node broke */
#define USHER_ERROR_CANCELLED (-1013) /* usher_cancel or usher_client_free */
#define USHER_ERROR_NO_ANSWER (-1021) /* the node did not answer within wait, service time and 2 s */
#define USHER_ERROR_RESULT_TOO_LARGE (-1022) /* the result is longer than USHER_RESULT_BYTES_MAX */

#define USHER_ADDRESS_BYTES 48 /* "[ip6]:port" and its terminating zero */
#define USHER_MESSAGE_BYTES 256 /* one line of text for people, likewise */
#define USHER_ADDRESSES_MAX 16 /* addresses in an answer, and nodes to leave out */
#define USHER_SERVICE_BYTES_MAX 63 /* a service's name, from [A-Za-z0-9._-] */
#define USHER_DATA_BYTES_MAX (1024 * 1024) /* a job's data */
#define USHER_RESULT_BYTES_MAX (64 * 1024 * 1024) /* a result; a longer one ends its job with USHER_ERROR_RESULT_TOO_LARGE */

struct usher_client;

enum usher_proto {
    USHER_UDP = 0,
    USHER_TCP = 1,
};

struct usher_config {
    const char *dispatchers; /* "[REGION@]ip:port,…", at least one, at most 256; others are learned. Required */
    const char *bind_ip; /* the address to come from; NULL: the kernel's choice */
    enum usher_proto proto; /* how dispatchers are asked; jobs always go over TCP */
    uint32_t reply_timeout_us; /* how long one dispatcher may take before another is asked; default 50,000; at least 100 */
    uint32_t fault_time_ms; /* how long a faulty dispatcher or node is left alone; default 5,000 */
    uint32_t region_failures; /* failures in a row, on different dispatchers, after which the own region is down; default 2 */
};

/* 0, or -EINVAL with one line about what is wrong in ret_message (USHER_MESSAGE_BYTES, may be NULL). */
int usher_config_check(const struct usher_config *config, char *ret_message);

/* -EINVAL as usher_config_check, -ENOMEM, -EMFILE; ret_message (USHER_MESSAGE_BYTES, may be NULL) says more. Sends nothing yet. */
int usher_client_new(const struct usher_config *config, struct usher_client **ret_client, char *ret_message);

/* Cancels what is under way (the callbacks are called with USHER_ERROR_CANCELLED) and frees. Not from within a callback. NULL is
 * a no-op. */
void usher_client_free(struct usher_client *client);

/* Asking for addresses. */

struct usher_ask {
    const char *service; /* required */
    uint32_t count; /* how many different nodes, 1 … USHER_ADDRESSES_MAX; default 1. Fewer come when there are fewer */
    const char *const *excludes; /* "ip:port" of nodes to leave out, at most USHER_ADDRESSES_MAX */
    uint32_t exclude_count;
};

struct usher_node {
    char address[USHER_ADDRESS_BYTES];
    bool dispatcher; /* the node is a dispatcher that takes jobs too */
    bool no_echo; /* an attached server: it speaks its own protocol and takes no Usher jobs */
    bool last; /* its heartbeat has expired, and there was nothing better */
};

struct usher_answer {
    int error; /* 0, or why there are no nodes */
    char message[USHER_MESSAGE_BYTES]; /* for an error: one line that says what happened and what to do */
    struct usher_node nodes[USHER_ADDRESSES_MAX];
    uint32_t node_count;
    char dispatcher[USHER_ADDRESS_BYTES]; /* who answered; "" when nobody did */
    uint16_t region; /* its region; 0 when nobody answered */
    uint32_t attempts; /* requests sent for this answer */
    uint64_t elapsed_us;
};

/* Returns answer->error; ret_answer is filled in any case. Blocks for at most 6 reply timeouts, 12 before the first answer. */
int usher_ask(struct usher_client *client, const struct usher_ask *ask, struct usher_answer *ret_answer);

/* How it went at a node that usher_ask named: the client's next request tells it a dispatcher, which so learns of a bad node before the
 * node's heartbeat, and how long requests take at an attached server, which says nothing itself. usher_run does this of its own. */

enum usher_outcome {
    USHER_OUTCOME_OK = 0,
    USHER_OUTCOME_FAILED = 1, /* refused or failed */
    USHER_OUTCOME_TIMEOUT = 2,
};

/* Does not block. What is told twice before a request goes out replaces the first. -EINVAL: node is no "ip:port", or there is no such
 * outcome; usher_client_message says so. */
int usher_tell(struct usher_client *client, const char *node, enum usher_outcome outcome, uint64_t latency_us);

/* Running jobs. */

struct usher_job {
    const char *service; /* required */
    const void *data; /* what the service works on */
    size_t data_bytes; /* ≤ USHER_DATA_BYTES_MAX */
    /* How long the job may run, drawn at random from this range (C7): default 1,000; 1 … 86,400,000. Maximum 0: the minimum. */
    uint32_t service_time_min_ms;
    uint32_t service_time_max_ms;
    uint32_t wait_ms; /* how long it may take until a node starts the job, retries included; default 5,000; ≤ 86,400,000 */
    bool idempotent; /* may be run again elsewhere although it may have started somewhere */
};

enum usher_started {
    USHER_NOT_STARTED = 0,
    USHER_STARTED = 1,
    USHER_MAYBE_STARTED = 2, /* the connection broke, or no answer came, after the job had been sent */
};

struct usher_result {
    int error; /* 0: the job is done and data is its result */
    enum usher_started started;
    char message[USHER_MESSAGE_BYTES]; /* for an error: one line that says what happened */
    uint8_t *data; /* the result; its first part when the job failed on the way */
    size_t data_bytes;
    char node[USHER_ADDRESS_BYTES]; /* where it ran or was tried last; "" when there was no node */
    char dispatcher[USHER_ADDRESS_BYTES]; /* who named that node; "" likewise */
    uint16_t region; /* of that dispatcher */
    uint32_t attempts; /* nodes tried; 1 when nothing went wrong */
    uint32_t service_time_ms; /* what was drawn */
    uint64_t waited_us; /* in the node's queue, as the node says; 0, as the next, for an error: nodes say it with results alone */
    uint64_t ran_us; /* likewise */
    uint64_t elapsed_us; /* from the call to the end, all tries included */
};

/* Returns result->error; ret_result is filled in any case and is to be given to usher_result_free. Blocks for at most wait +
 * service time + 5 s; an idempotent job for at most 3 times that. */
int usher_run(struct usher_client *client, const struct usher_job *job, struct usher_result *ret_result);
void usher_result_free(struct usher_result *result);

/* The same without blocking: start, and call usher_client_poll until the callback has been called. Callbacks are called from
 * within usher_client_poll (and usher_ask, usher_run, usher_cancel, usher_client_free), exactly once for each successful start.
 * They may start and cancel, but not poll, block or free the client. What they are shown is valid until they return. */

typedef void usher_on_answer(void *context, const struct usher_answer *answer);
typedef void usher_on_result(void *context, const struct usher_result *result);

/* ret_id: what usher_cancel takes; never 0. -EINVAL: the description is wrong, usher_client_message says how. -EAGAIN:
 * USHER_CALLS_MAX are under way. -ENOMEM. */
int usher_ask_start(struct usher_client *client, const struct usher_ask *ask, usher_on_answer *callback, void *context,
                    uint64_t *ret_id);
int usher_job_start(struct usher_client *client, const struct usher_job *job, usher_on_result *callback, void *context,
                    uint64_t *ret_id);

#define USHER_CALLS_MAX 65536

/* Why the last call on this client said -EINVAL, in one line. */
const char *usher_client_message(const struct usher_client *client);

/* Ends an ask or a job with USHER_ERROR_CANCELLED; its callback is called before this returns. The node drops a waiting job and
 * stops a running one. False: it had ended already. */
bool usher_cancel(struct usher_client *client, uint64_t id);

/* Does what there is to do, waiting at most timeout_ms for something to happen (negative: until something does). 0, or a negative
 * number when the loop itself broke. Also probes faulty dispatchers: a program that keeps a client should call it now and then. */
int usher_client_poll(struct usher_client *client, int timeout_ms);

/* Where the client stands. */

struct usher_dispatcher {
    char address[USHER_ADDRESS_BYTES];
    uint16_t region; /* 0: not known yet */
    bool faulty;
    bool learned; /* from another dispatcher, not from the configuration */
};

/* Asks for the region of this client's own IP and for all dispatchers. Blocks as usher_ask does; an error as there. */
int usher_locate(struct usher_client *client, struct usher_answer *ret_answer);

/* The region as of the last location, 0 when none was had yet. */
uint16_t usher_client_region(const struct usher_client *client);

/* Writes up to `capacity` of the known dispatchers and returns how many there are. */
size_t usher_client_dispatchers(const struct usher_client *client, struct usher_dispatcher *ret_dispatchers, size_t capacity);

#define USHER_STATS_REGIONS_MAX 64

struct usher_region_stats {
    uint16_t region;
    uint64_t answers; /* address answers from its dispatchers */
};

struct usher_stats {
    uint64_t asks; /* Request_Address calls, those for jobs included */
    uint64_t ask_retries; /* attempts beyond the first of a call */
    uint64_t ask_failures; /* calls that ended without an address */
    uint64_t jobs; /* jobs started by the caller */
    uint64_t job_retries; /* tries on another node beyond the first of a job */
    uint64_t job_failures; /* jobs that ended without a result */
    uint64_t retries_refused; /* retries that the retry budget did not allow */
    uint64_t dispatcher_faults; /* times that a dispatcher was marked faulty */
    uint64_t dispatcher_returns; /* times that one came back */
    uint64_t region_downs; /* times that the own region was given up */
    uint64_t region_returns; /* times that it came back */
    uint64_t node_faults; /* times that a node was marked */
    struct usher_region_stats regions[USHER_STATS_REGIONS_MAX];
    uint32_t region_count;
};

void usher_client_stats(const struct usher_client *client, struct usher_stats *ret_stats);

/* The stable name ("no-eligible-node"; for an errno value its symbol, "ECONNREFUSED"), and a sentence for people. Never NULL; the
 * text is valid until the thread's next call. */
const char *usher_error_name(int error);
const char *usher_error_text(int error);

#ifdef __cplusplus
}
#endif

#endif
