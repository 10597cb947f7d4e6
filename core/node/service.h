/* service - the named services a node offers: which there are, and which were chosen on the command line.
 *
 * Thread: any, after parsing. Memory: a parsed set points into the texts it was parsed from. Nothing here blocks; running a service
 * does (run.h). */
#pragma once

#include <stdint.h>

#include "core/conf/conf.h"
#include "core/wire/limits.h"

struct run;

/* Runs a job on an executor's thread. 0: done; USHER_EJOBFAILED with the reason by run_fail or run_unable; what run_write, run_check and run_sleep
 * returned; -ENOMEM and other errno values of its own: failed as well. */
typedef int service_function(struct run *run);

struct service {
    char name[SERVICE_NAME_BYTES_MAX + 1];
    uint64_t id;
    service_function *function;
    const char *command; /* of exec:, else NULL */
};

struct service_set {
    uint32_t count;
    struct service items[NODE_SERVICES_MAX];
};

/* Items are names of built-in services and exec:NAME=COMMAND. -EINVAL with ret_error: an unknown, empty or repeated name, two names
 * with one ID, more than NODE_SERVICES_MAX. */
NODISCARD int service_set_parse(const struct conf_texts *items, struct service_set *ret_set, struct conf_error *ret_error);

/* Index of the service with that ID, or NODE_SERVICES_MAX. */
uint32_t service_set_find(const struct service_set *set, uint64_t id);
