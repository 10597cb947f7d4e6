/* client - what one usher_client is made of, and the calls under way on it.
 *
 * Invariant: a call is in `calls` from its start until just before its callback.
 * Thread: one at a time. Memory: client_new allocates, usher_client_free frees. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/ask.h"
#include "client/exchange.h"
#include "client/gate.h"
#include "client/include/usher/usher.h"
#include "client/inquiry.h"
#include "client/locate.h"
#include "client/nodes.h"
#include "client/settings.h"
#include "core/base/map.h"
#include "core/io/loop.h"

struct call;

struct call_kind {
    void (*begin)(struct call *call); /* in the first batch after its start */
    void (*cancel)(struct call *call); /* ends it with USHER_ECANCELLED and frees it */
};

/* First member of what is under way. */
struct call {
    struct usher_client *client;
    const struct call_kind *kind;
    struct timer timer; /* begins it; then the call's own */
    uint64_t id;
    uint64_t started_at_ns;
};

struct calls {
    struct call **slots; /* NULL: free */
    uint32_t *generations;
    uint32_t slot_count;
    uint32_t count;
    uint32_t search_from;
};

struct usher_client {
    struct loop *loop;
    bool owns_loop;
    bool closing; /* within usher_client_free: nothing new begins */
    struct settings settings;
    uint64_t client_id;
    uint64_t job_id_last;
    struct random_state random;
    struct dispatchers dispatchers;
    struct budget budget;
    struct nodes nodes;
    struct ask_world world; /* the above, for asks */
    struct exchanger *exchanger;
    struct locate locate;
    struct gate gate;
    struct calls calls;
    struct map served; /* services an address was had for → 1 */
    bool has_feedback; /* on the last job, for the next request to carry */
    struct wire_feedback feedback;
    struct usher_stats stats; /* those that no member counts itself */
    char message[USHER_MESSAGE_BYTES];
};

/* As usher_client_new, on a loop of the caller's, which must outlive it; NULL: on one of its own. */
NODISCARD int client_new(struct loop *loop, const struct usher_config *config, struct usher_client **ret_client, char *message);

/* What the next request tells of a job. */
void client_tell(struct usher_client *client, const struct address *node, enum wire_outcome outcome, uint64_t latency_us);

/* Gives the call an ID and begins it in the next batch. -EAGAIN, -ENOMEM; USHER_ECANCELLED while closing. */
NODISCARD int call_start(struct usher_client *client, const struct call_kind *kind, struct call *call);

/* Its callback comes next. */
void call_end(struct call *call);
struct call *call_find(struct usher_client *client, uint64_t id);

/* Microseconds since its start. */
uint64_t call_elapsed_us(const struct call *call);
