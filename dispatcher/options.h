/* options - everything a dispatcher can be told.
 * Thread: the control thread's. */
#pragma once

#include "core/daemon/daemon.h"
#include "core/node/options.h"

struct dispatcher_own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "dispatcher/options.def"
#undef OPTION
};

struct dispatcher_options {
    struct dispatcher_own_options own;
    struct node_options node;
    struct daemon_options daemon;
};

extern const struct conf_program dispatcher_conf;
