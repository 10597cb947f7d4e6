/* weights - how much spare capacity each node has, and a node picked in proportion to it (requirements R5 to R7).
 *
 *     W = αcpu · cores · (1 − cpu use) + αmemory · GB · (1 − memory use) + αdisk · ((write capacity − write) + (read capacity − read))
 *       + αnic · ((in capacity − in) + (out capacity − out))
 *
 * in MB/s for disk and NIC, each of the four terms clamped at 0. The published text of design B lost its equation's image: this is the
 * reading that fits its definitions (claim 4). The default α are 1 / a reference machine's capacity, so that units don't drown each
 * other. A dispatcher's weight is divided by 1.5 (D10). What an operator has set replaces it all.
 *
 * A term of which some examined node of a service does not tell both capacity and use is left out for every node of that service, or
 * those that tell less would look smaller than they are. A service of which no term is left weighs all its nodes alike.
 *
 * Invariant: a service's index holds its examined nodes (averages.h), and another one of its own those that expired and are still listed
 * (NODE_LAST), neither drained nor leaving, both by the power of two of their weights; an update moves a node within it without allocating;
 * a pick is O(1) expected however many nodes and however unlike their weights.
 * Thread: the control loop's. Memory: the cluster's. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/base/random.h"
#include "core/wire/heartbeat.h"

struct cluster;
struct node;
struct service;

enum weight_term {
    WEIGHT_CPU,
    WEIGHT_MEMORY,
    WEIGHT_DISK,
    WEIGHT_NIC,
    WEIGHT_TERMS,
};

/* "cpu", "memory", "disk", "nic": as in --weight-factors. */
extern const char *const weight_term_names[WEIGHT_TERMS];

/* What is less counts as 0, and what is more as the most. */
#define WEIGHT_MIN 1e-6f
#define WEIGHT_MAX 1e6f

/* Within these a factor gives weights that lie between, and can be told apart, for what machines have. */
#define WEIGHT_FACTOR_MIN 1e-5f
#define WEIGHT_FACTOR_MAX 1e3f

/* A node's terms, each times its α and ≥ 0. */
struct weight_terms {
    float value[WEIGHT_TERMS];
    uint8_t known; /* bit by term: the node tells all that it needs */
};

/* Units are millionths of a weight: class 0 holds weight 0, class k weights from 2^(k−1) to 2^k − 1 units. */
#define WEIGHT_CLASSES 41u

struct weight_item {
    uint64_t units;
    uint32_t slot;
    uint8_t ordinal; /* the node's services[ordinal] is this one */
};

struct weight_index {
    struct weight_item *items; /* class after class */
    uint32_t count;
    uint32_t capacity;
    uint32_t first[WEIGHT_CLASSES]; /* item of each class; it ends where the next begins */
    uint64_t class_units[WEIGHT_CLASSES]; /* sum of each class */
    uint64_t units; /* sum of all */
    uint32_t lacking[WEIGHT_TERMS]; /* items whose node does not tell this term */
    bool moved; /* a term has come or gone: everybody's weight is to be looked at again (averages.c) */
};

/* factors: α by term, WEIGHT_FACTOR_MIN … WEIGHT_FACTOR_MAX. */
void weight_terms_read(const struct wire_metadata *metadata, uint8_t count, const float factors[static WEIGHT_TERMS],
                       struct weight_terms *ret_terms);

/* The node enters or leaves the index of its services[ordinal]: that of the last ones while node.standby, else that of the examined ones.
 * -ENOMEM. */
NODISCARD int weights_join(struct cluster *cluster, uint32_t slot, uint8_t ordinal);
void weights_leave(struct cluster *cluster, uint32_t slot, uint8_t ordinal);

/* Its metadata or its operator's word have changed. */
void weights_update(struct cluster *cluster, uint32_t slot);

/* Brings one node's weight for one service up to date; true when it was another. */
bool weights_refresh(struct cluster *cluster, uint32_t slot, uint8_t ordinal);

/* Its weight for its services[ordinal], 0 or WEIGHT_MIN … WEIGHT_MAX, examined or not. */
float weights_of(const struct cluster *cluster, const struct node *node, uint8_t ordinal);

/* The term counts for this service. */
bool weights_term_counts(const struct service *service, enum weight_term term);

/* An examined node of the service, as likely as its weight; all alike when all weigh nothing. NODE_NONE: the service has none. */
uint32_t weights_pick(const struct service *service, struct random_state *random);

/* Likewise a node of the service that expired and is still listed: for when there is no examined one. */
uint32_t weights_pick_last(const struct service *service, struct random_state *random);

void weight_index_done(struct weight_index *index);
