/* node - what rm knows about one node, and the lists that nodes stand in.
 *
 * Lists are intrusive and linked by slot (the node's index in its cluster), since the array of nodes may move when it grows.
 * Invariant: a node in use stands in the list of its state; it stands in the list of changes exactly while it is listed, and in that of
 * words from the first word about it on.
 * Thread: the control loop's. Memory: the cluster's. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/wire/heartbeat.h"
#include "rm/node_metrics.h"
#include "rm/weights.h"

#define NODE_NONE UINT32_MAX
#define NODE_OLDER_BOOTS_MAX 4
#define NODE_REASON_BYTES_MAX 120

enum node_state {
    NODE_REGISTERED, /* registered, or under an operator's word, but it has not heartbeaten: not listed */
    NODE_FRESH, /* its heartbeat is within the valid time: the examined set */
    NODE_LAST, /* expired, and still listed, after all others */
    NODE_FAULTY, /* expired and not listed: the fault list */
    NODE_STATES,
};

/* "fresh" */
const char *node_state_name(enum node_state state);

enum node_list_kind {
    NODE_LIST_STATE, /* fresh ones by silence, expired ones by when they expired, longest first */
    NODE_LIST_CHANGES, /* listed ones by their last change */
    NODE_LIST_DIRTY, /* not yet mirrored as they are now */
    NODE_LIST_WORDS, /* those under an operator's word, also one that was taken back */
    NODE_LIST_KINDS,
};

struct node_link {
    uint32_t previous;
    uint32_t next;
};

struct node_list {
    uint32_t head;
    uint32_t tail;
    uint32_t count;
};

struct node_boot {
    uint64_t boot_id;
    uint64_t sequence; /* the last one taken */
};

/* A service the node offers. */
struct node_service {
    uint64_t service_id;
    uint32_t service; /* index in the cluster's service table */
    uint32_t position; /* among the service's examined nodes; meaningless while the node is not examined */
    float work_s;
    float rate;
    uint32_t weight_position; /* in the service's index of weights; meaningless while the node is neither examined nor standby */
    bool below_average; /* R3 */
};

struct node {
    struct address address; /* ADDRESS_NONE: the slot is free */
    uint8_t state; /* enum node_state */
    uint8_t kind; /* enum wire_node_kind */
    uint8_t flags; /* within WIRE_NODE_FLAGS_OF_NODE */
    bool examined; /* it counts in its services' averages */
    bool standby; /* to be picked when no node is examined: it stands in its services' indices of last ones; never both */
    bool restored; /* known from Redis; not heard of since rm started */
    bool instance; /* whoever speaks for it is an instance over HTTP, not a node of Usher's own */
    bool dirty; /* stands in the list of that name */
    bool metadata_dirty; /* what the mirror's hash says about it is out of date */
    bool put_off; /* it was passed over by the mirror with its metadata dirty: they go with a later heartbeat */
    bool admin_dirty; /* likewise its entry under admin */
    bool has_word; /* stands in the list of words: its admin.version_ms is not 0 */
    bool fault_mirrored; /* stands in the mirror's fault list */
    uint8_t service_count;
    uint8_t echo_count;
    uint8_t metadata_count;
    uint8_t older_count;
    uint16_t slots;
    struct node_boot boot;
    uint64_t registered_boot; /* the boot whose REGISTER rm has taken; 0: none */
    uint64_t collided_boot; /* the boot whose REGISTER had a colliding name; 0: none */
    uint64_t allowance_ns; /* when it was so much; 0: never */
    float allowance; /* messages that may come at once */
    uint64_t arrival_ns; /* of the last heartbeat, on rm's monotonic clock; 0: none yet */
    uint64_t trusted_ns; /* restored ones count as alive as if they had heartbeaten then */
    uint64_t expired_ns; /* while NODE_LAST or NODE_FAULTY; while NODE_REGISTERED: since when */
    uint64_t mirrored_ns; /* when its metadata was last handed to the mirror */
    uint64_t timestamp_ms; /* the node's own, for diagnosis */
    int64_t clock_offset_ms; /* the node's clock minus rm's, delay of the network included */
    float load_index;
    float load_per_job;
    uint32_t jobs_queued;
    uint32_t jobs_running;
    uint64_t changed_sequence;
    uint64_t joined; /* how many had joined before it, since rm started */
    uint32_t dispatcher_position; /* among the cluster's fresh dispatchers; NODE_NONE: not one of them */
    struct node_link links[NODE_LIST_KINDS];
    struct node_boot older[NODE_OLDER_BOOTS_MAX]; /* newest last */
    struct weight_terms weight_terms;
    struct wire_admin admin;
    uint32_t word_reading; /* the last reading of Redis' words that met it there, or during which it was sent there */
    uint32_t load_place; /* in the mirror's order of loads, if it stands there */
    char *reason; /* of the operator; NULL: none given */
    struct node_service *services;
    struct wire_echo *echoes;
    struct node_metrics *metrics; /* NULL: nobody asks for them */
    struct wire_metadata metadata[METADATA_MAX];
};

/* In directories. */
static inline bool node_is_listed(const struct node *node)
{
    return node->state == NODE_FRESH || node->state == NODE_LAST;
}

static inline bool node_is_drained(const struct node *node)
{
    return (node->admin.flags & WIRE_ADMIN_DRAIN) != 0;
}

/* What directories say of it: within WIRE_NODE_FLAGS_OF_RM. */
static inline uint8_t node_listed_flags(const struct node *node)
{
    unsigned last = node->state == NODE_LAST ? WIRE_NODE_LAST : 0;
    unsigned drained = node_is_drained(node) ? WIRE_NODE_ADMIN_DRAIN : 0;
    return (uint8_t)(node->flags | last | drained);
}

/* In one word for operators: as dispatchers say it of what they list, "faulty" or "registered" of the others. */
const char *node_word(const struct node *node);

/* How long ago it last heartbeat. */
static inline uint64_t node_age_ns(const struct node *node, uint64_t now_ns)
{
    return now_ns > node->arrival_ns ? now_ns - node->arrival_ns : 0;
}

/* For how long rm has had no reason to believe that it lives. */
static inline uint64_t node_silence_ns(const struct node *node, uint64_t now_ns)
{
    uint64_t since_ns = node->arrival_ns > node->trusted_ns ? node->arrival_ns : node->trusted_ns;
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

void node_list_init(struct node_list *list);
void node_list_append(struct node_list *list, struct node *nodes, uint32_t slot, enum node_list_kind kind);
void node_list_remove(struct node_list *list, struct node *nodes, uint32_t slot, enum node_list_kind kind);
