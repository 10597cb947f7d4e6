/* listing - all nodes, or those that offer a service, as one answer made piece by piece (core/io/pieces.h), so that a list of 100,000 keeps
 * no heartbeat waiting.
 *
 * Each row tells its node as it is when that row is made. A node that joins after the list was begun is not in it, also not when it had
 * been there before, was forgotten and came again: so no address stands twice. One that is forgotten before its row is made is not in it.
 * Thread: the control loop's. Memory: one allocation, until its pieces are done; the cluster must stay as long. Nothing blocks. */
#pragma once

#include "core/io/pieces.h"
#include "rm/cluster.h"

enum listing_kind {
    LISTING_NODES, /* {"nodes":[…]} */
    LISTING_NODES_ADMIN, /* the same as the answer of an admin command */
    LISTING_NODES_ADMIN_EARLY, /* likewise, while nodes may be missing from it */
    LISTING_TARGETS, /* for Prometheus' http_sd: who is listed, by service */
};

/* What is said beside a list that may lack nodes. */
#define LISTING_EARLY_NOTE "rm has just started: until every node has had the time for a heartbeat some may be missing here"

/* service_id: only nodes that offer it; NULL: all. -ENOMEM. */
NODISCARD int listing_open(const struct cluster *cluster, struct loop *loop, enum listing_kind kind, const uint64_t *service_id,
                           struct pieces *ret_pieces);
