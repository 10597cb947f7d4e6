/* options - everything rm can be told.
 * Thread: the control loop's. */
#pragma once

#include "core/daemon/daemon.h"
#include "core/redis/redis_target.h"

struct rm_own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "rm/options.def"
#undef OPTION
};

struct rm_options {
    struct rm_own_options own;
    struct daemon_options daemon;
};

extern const struct conf_program rm_conf;

/* --redis, understood. -EINVAL with ret_error. */
NODISCARD int rm_redis_target(const struct rm_options *options, struct redis_target *ret_target, struct conf_error *ret_error);

/* What single options cannot say, the regions file included. */
NODISCARD int rm_check(const void *options, struct conf_error *ret_error);
