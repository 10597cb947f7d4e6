/* cluster - what rm knows: every node of the region, who is alive, who counts as below average, and what has changed since when.
 * This is the truth; Redis is its mirror.
 *
 * Pure steps: an event comes with its time, and changes memory; nothing here reads a clock, sends or logs. What deserves to be told
 * goes to config.on_event.
 *   cluster.c   heartbeats, registrations, the operator's word       changes.c   versions, what a delta is made of
 *   expiry.c    who is too old, protection, grace, forgetting        averages.c  the marks of requirement R3
 *   restore.c   nodes and operators' words that other rm, or an earlier run of this one, left in Redis
 * Invariant: once a node is listed the list never becomes empty again. A heartbeat costs O(its services), however many nodes.
 * Thread: the control loop's. Memory: cluster_new … cluster_free. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/map.h"
#include "core/wire/heartbeat.h"
#include "rm/node.h"
#include "rm/services.h"

#define CLUSTER_NODES_MAX (1u << 20)
#define CLUSTER_REMOVALS_MAX 4096u /* that a delta can tell; who is further behind gets a full list */
#define CLUSTER_PROTECTION_BUCKETS 16u

struct cluster_time {
    uint64_t ns; /* CLOCK_MONOTONIC: decides */
    uint64_t wall_ms; /* for the clock offset shown to people, and versions of the operator's word */
};

enum cluster_event {
    CLUSTER_NODE_JOINED,
    CLUSTER_NODE_RETURNED, /* a faulty or restored one heartbeats again (R4) */
    CLUSTER_NODE_REBOOTED, /* another boot took over its address */
    CLUSTER_NODE_EXPIRED, /* its heartbeat is past the valid time */
    CLUSTER_NODE_LEFT, /* expired after it had announced so */
    CLUSTER_NODE_DRAINED, /* an operator's word, here or at another rm */
    CLUSTER_NODE_READY, /* likewise */
    CLUSTER_NODE_OVERRULED, /* instead of these two: both drain and weight told here are undone by one word of another rm */
    CLUSTER_NODE_SET_BACK, /* its clock, by more than messages overtake each other */
    CLUSTER_NAME_COLLISION, /* two names with one service ID; told once per node and boot */
    CLUSTER_PROTECTION_BEGAN, /* slot NODE_NONE for these */
    CLUSTER_PROTECTION_ENDED,
    CLUSTER_RESUMED, /* rm itself stood still for so long that heartbeats were missed */
    CLUSTER_EVENTS,
};

typedef void cluster_on_event(void *ctx, enum cluster_event event, uint32_t slot);

struct cluster_config {
    uint64_t valid_ns; /* how long a heartbeat counts */
    bool no_protection; /* expired nodes go, however many they are */
    float weight_factors[WEIGHT_TERMS]; /* α of weights.h */
    uint32_t messages_per_s; /* of each node that are taken, REGISTERs and HEARTBEATs together; 0: all */
    uint32_t node_metrics_max; /* with more nodes than this their metrics are not kept by name */
    uint64_t rm_id; /* who writes the operator's word */
    cluster_on_event *on_event;
    void *ctx;
};

/* A node that left the list, for deltas. */
struct cluster_removal {
    uint64_t sequence;
    struct address address;
};

/* While many nodes expire within one valid time the fault is more likely rm's than theirs. */
struct cluster_protection {
    bool active;
    uint64_t since_ns;
    uint64_t bucket_start_ns;
    uint32_t bucket; /* being filled */
    uint32_t expired[CLUSTER_PROTECTION_BUCKETS]; /* nodes, in each sixteenth of the last valid time */
};

struct cluster {
    struct cluster_config config;
    struct node *nodes;
    uint32_t slot_count; /* slots ever used */
    uint32_t slot_capacity;
    uint32_t free_head; /* free slots, linked through links[NODE_LIST_STATE].next */
    uint32_t node_count;
    uint64_t joined_count; /* nodes ever, one that was forgotten and came again twice */
    struct map by_address;
    struct node_list states[NODE_STATES];
    struct node_list changes;
    struct node_list dirty;
    struct node_list words;
    uint32_t word_reading; /* number of the reading of Redis' words in progress, or the last one */
    uint32_t put_off_count; /* nodes whose metadata the mirror has yet to write, though they are not dirty (node.put_off) */
    struct services services;
    uint32_t *dispatchers; /* slots of the fresh dispatchers */
    uint32_t dispatcher_count;
    uint32_t dispatcher_capacity;

    uint64_t sequence; /* of the last change */
    uint64_t removal_floor; /* a delta from before it can't be told */
    struct cluster_removal *removals; /* ring of CLUSTER_REMOVALS_MAX */
    uint64_t removal_count; /* ever */

    uint64_t started_ns; /* heartbeats have been taken since without a break */
    uint64_t swept_ns; /* last; 0: never */
    uint64_t grace_until_ns; /* nobody is taken off the list before */
    uint32_t restored_count; /* nodes that came from Redis */
    uint64_t restored_age_ns; /* of the youngest heartbeat among them */
    bool restored_current; /* what came from Redis was up to date: it makes the list complete */
    bool was_complete; /* at some time since rm started */
    struct cluster_protection protection;
};

/* -ENOMEM. */
NODISCARD int cluster_new(const struct cluster_config *config, uint64_t now_ns, struct cluster **ret_cluster);
void cluster_free(struct cluster *cluster); /* NULL is a no-op */

/* What became of a REGISTER or HEARTBEAT. */
enum cluster_verdict {
    CLUSTER_ACCEPTED,
    CLUSTER_REPLAYED, /* its sequence is not above the last one */
    CLUSTER_OLDER_BOOT, /* from a process that another one has replaced at this address */
    CLUSTER_COLLISION, /* REGISTER: a name collides; the other names were taken */
    CLUSTER_TOO_MANY, /* more than config.messages_per_s of this node */
    CLUSTER_FULL, /* CLUSTER_NODES_MAX, SERVICES_MAX or the end of memory */
};

/* (R1, R4.) ret_slot: the node's; only with CLUSTER_ACCEPTED. A REGISTER counts as a sign of life of a boot that has heartbeaten: a
 * node that hears no answers sends nothing else. */
NODISCARD enum cluster_verdict cluster_heartbeat(struct cluster *cluster, struct cluster_time now,
                                                 const struct wire_heartbeat *heartbeat, uint32_t *ret_slot);
NODISCARD enum cluster_verdict cluster_register(struct cluster *cluster, struct cluster_time now,
                                                const struct wire_register *registration, uint32_t *ret_slot);

/* Few enough nodes to watch each of them. */
static inline bool cluster_keeps_metrics(const struct cluster *cluster)
{
    return cluster->node_count <= cluster->config.node_metrics_max;
}

/* The REGISTER of this boot has not come yet, or the node offers something it did not name. */
bool cluster_wants_register(const struct cluster *cluster, uint32_t slot);

/* Slot of the node, or NODE_NONE. */
uint32_t cluster_find(const struct cluster *cluster, const struct address *address);

static inline uint32_t cluster_listed_count(const struct cluster *cluster)
{
    return cluster->states[NODE_FRESH].count + cluster->states[NODE_LAST].count;
}

/* The node says that it goes: off the list at once, unless nobody else is listed; then it stays as one that is leaving. */
void cluster_deregister(struct cluster *cluster, struct cluster_time now, uint32_t slot);

/* What an operator decided: flags of enum wire_admin_flag to set and to clear. `reason` may be NULL. -ENOENT: no such node. */
NODISCARD int cluster_admin_set(struct cluster *cluster, struct cluster_time now, const struct address *address, uint8_t set,
                                uint8_t clear, const char *reason);

/* The weight that an operator gives instead of the computed one, 0 … WEIGHT_MAX; NULL: the computed one again. Whether the node is drained,
 * and why, stays as it is. -ENOENT: no such node. */
NODISCARD int cluster_admin_weight(struct cluster *cluster, struct cluster_time now, const struct address *address,
                                   const float *weight);

enum cluster_admin_source {
    CLUSTER_ADMIN_TOLD, /* in a node's message */
    CLUSTER_ADMIN_STORED, /* in Redis */
};

/* Its version is a moment that a clock may have come to, and can be followed on. */
bool cluster_admin_is_plausible(const struct wire_admin *admin, struct cluster_time now, enum cluster_admin_source source);

/* Adopts another rm's word if it is the later one and plausible; who follows on it here goes one beyond. False: it is not. reason may be
 * NULL. */
bool cluster_admin_adopt(struct cluster *cluster, struct cluster_time now, uint32_t slot, const struct wire_admin *admin,
                         enum cluster_admin_source source, const char *reason);

/* (R2.) Moves expired nodes on: listed last, then to the fault list, then forgotten. Call every cluster_sweep_interval_ns; at once
 * when it returns true: there is more to do. When it was not called for half the valid time rm stood still, and has missed heartbeats:
 * then it is as after a start from Redis, all are believed to live for one valid time from now. */
bool cluster_sweep(struct cluster *cluster, struct cluster_time now);
uint64_t cluster_sweep_interval_ns(const struct cluster_config *config);

/* For twice the valid time nobody is taken off the list: after a restart, and when nodes come back after all were lost. */
void cluster_grace_begin(struct cluster *cluster, uint64_t now_ns);

/* Whether what is listed is all there is: every living node has had the time for a heartbeat, or what Redis held was up to date. Until
 * then the list must not replace one that another rm has given. */
bool cluster_is_complete(const struct cluster *cluster, uint64_t now_ns);

/* When that is so if nothing happens meanwhile; 0: it is. */
uint64_t cluster_complete_ns(const struct cluster *cluster, uint64_t now_ns);

/* When the list may be shown to those who would take it for all there is; 0: now. Once it was complete it stays so: after standing still
 * rm knows whom it knew before. */
uint64_t cluster_shown_ns(const struct cluster *cluster, uint64_t now_ns);

/* How long after its last heartbeat a dead node is still listed at worst, but for protection and grace. */
uint64_t cluster_detection_ns(const struct cluster_config *config);

/* (R3.) Looks again at the marks of services whose average has moved; at most `budget` nodes. True: there is more to do. */
bool cluster_averages_step(struct cluster *cluster, uint64_t now_ns, uint32_t budget);

/* A node that an earlier rm left in Redis. */
struct cluster_restored {
    struct address address;
    uint8_t kind;
    uint8_t flags;
    uint16_t slots;
    struct node_boot boot;
    bool registered; /* this boot has told the names of its services */
    uint64_t timestamp_ms;
    float load_index;
    float load_per_job;
    uint32_t jobs_queued;
    uint32_t jobs_running;
    uint8_t service_count;
    uint8_t metadata_count;
    struct wire_service_load services[NODE_SERVICES_MAX]; /* each once */
    struct wire_metadata metadata[METADATA_MAX]; /* likewise */
};

/* Takes in what is newer than memory, which is nothing for a node that was heard by this process. -ENOMEM, -ENOSPC. */
NODISCARD int cluster_restore(struct cluster *cluster, struct cluster_time now, const struct cluster_restored *restored);

/* When a node taken in by cluster_restore heartbeat last, and with what load; others are passed over. */
void cluster_restore_load(struct cluster *cluster, const struct address *address, float load_index);
void cluster_restore_age(struct cluster *cluster, struct cluster_time now, const struct address *address, uint64_t age_ns);

/* An operator's word as it stands in Redis, also for a node that is not known yet: the later one wins here, and is written there where it
 * is ours. True in *ret_adopted when it was news. -ERANGE: not plausible; ours, if there is one, is written over it. -ENOMEM, -ENOSPC. */
NODISCARD int cluster_restore_admin(struct cluster *cluster, struct cluster_time now, const struct address *address,
                                    const struct wire_admin *admin, const char *reason, bool *ret_adopted);

/* A reading of all words in Redis begins: those that cluster_restore_admin takes, until: */
void cluster_words_reading(struct cluster *cluster);

/* It has read all. Words of ours that did not stand there, though they had been sent before it began, are to be written again; how many. One that
 * another rm has taken back stands there as a later word, so what is missing was lost. */
uint32_t cluster_words_missing(struct cluster *cluster);

/* After the last of these: lists the nodes that have an age, and begins a grace; unless rm has been running for longer than the valid
 * time, and has heard whoever lives. Those without an age are faulty. */
void cluster_restore_commit(struct cluster *cluster, struct cluster_time now);
