/* changes - the versions of the list: every change takes the next sequence number, so that "what has changed since S" is found
 * by walking back from the newest change, in time proportional to the answer.
 *
 * Invariant: the list of changes holds all listed nodes by changed_sequence, oldest first; removals stand in a ring, and
 * removal_floor is the sequence from which on the ring is complete.
 * Thread: the control loop's. Memory: the cluster's. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "rm/cluster.h"

/* The listed node is to be told anew. Also marks it for the mirror. */
void changes_touch(struct cluster *cluster, uint32_t slot);

/* The node, which was listed, is no longer. */
void changes_remove(struct cluster *cluster, uint32_t slot);

/* For the mirror alone: something changed that directories do not show. */
void changes_mark_dirty(struct cluster *cluster, uint32_t slot);

/* Everything, also metadata, but operators' words: the mirror has lost its content. */
void changes_mark_all_dirty(struct cluster *cluster);

/* All operators' words, though another rm may have written later ones. Where it can be known which are missing: cluster_words_missing. */
void changes_mark_words_dirty(struct cluster *cluster);

/* A delta from `base` can be told: base is of this epoch and no removal since then has been dropped. */
bool changes_reach_back_to(const struct cluster *cluster, uint64_t base);

/* Walks (base, now] in the order of sequences, nodes and removals merged. */
struct changes_cursor {
    const struct cluster *cluster;
    uint32_t slot; /* next node; NODE_NONE: no more */
    uint64_t removal; /* next removal's number */
};

enum changes_kind {
    CHANGES_END,
    CHANGES_NODE,
    CHANGES_REMOVAL,
};

struct changes_item {
    enum changes_kind kind;
    uint64_t sequence;
    uint32_t slot; /* CHANGES_NODE */
    const struct address *address; /* CHANGES_REMOVAL */
};

void changes_begin(const struct cluster *cluster, uint64_t base, struct changes_cursor *ret_cursor);
struct changes_item changes_peek(const struct changes_cursor *cursor);
void changes_next(struct changes_cursor *cursor);
