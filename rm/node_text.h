/* node_text - what rm knows about a node as JSON text: a row of a list that may have very many, hence made without building it in memory
 * first (a fifth of the time).
 * Thread: the control loop's. Memory: what the buffer grows by. */
#pragma once

#include "core/base/buffer.h"
#include "rm/cluster.h"

/* An object with all there is to know. -ENOMEM: the text is of no use. */
NODISCARD int node_text_print(const struct cluster *cluster, const struct node *node, uint64_t now_ns, struct buffer *text);

/* Objects with a comma between them, one for each service with a name that the node offers (service_id: only that one; NULL: all), as
 * Prometheus' http_sd reads them. What changes while a node runs is told in __meta_ labels, which do not get into the names of its series
 * unless somebody wants it. Appends nothing where there is none. -ENOMEM. */
NODISCARD int node_text_print_targets(const struct cluster *cluster, const struct node *node, const uint64_t *service_id,
                                      struct buffer *text);
