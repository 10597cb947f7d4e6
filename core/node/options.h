/* options - the options that a worker and a dispatcher have in common because both are nodes, and what follows from them.
 *
 * Thread: the one that parses. Memory: texts belong to the options struct (core/conf/conf.h). Nothing blocks. */
#pragma once

#include "core/conf/conf.h"
#include "core/node/node.h"

struct node_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "core/node/options.def"
#undef OPTION
};

/* Rows in options.def. */
enum {
    NODE_OPTIONS = 0
#define OPTION(...) +1
#include "core/node/options.def"
#undef OPTION
};
extern const struct conf_option node_option_rows[NODE_OPTIONS];

/* The entry for conf_program.tables: {NODE_TABLE(struct worker_options, node)}. */
#define NODE_TABLE(options_type, member)                                                                                         \
    .title = "Node options", .rows = node_option_rows, .row_count = NODE_OPTIONS, .offset = offsetof(options_type, member)

/* Checks what one row alone cannot say, and fills everything in `ret_config` that comes from options; the rest becomes zero and is the
 * caller's. Its texts point into `options`. -EINVAL with ret_error. For check hooks too: opens nothing. */
NODISCARD int node_config_from_options(const struct node_options *options, enum wire_node_kind kind,
                                       struct node_config *ret_config, struct conf_error *ret_error);
