/* options - everything that can be said to usher-worker on its command line.
 * Thread: the control loop's. Memory: texts belong to the struct (core/conf/conf.h). */
#pragma once

#include "core/conf/conf.h"
#include "core/daemon/daemon.h"
#include "core/node/options.h"

struct worker_own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "worker/options.def"
#undef OPTION
};

struct worker_options {
    struct worker_own_options own;
    struct node_options node;
    struct daemon_options daemon;
};

extern const struct conf_program worker_conf;
