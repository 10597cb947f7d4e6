/* settings - a client's configuration: checked, parsed and with its defaults filled in.
 * Thread: any. Memory: none beside the struct. Nothing blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/dispatchers.h"
#include "client/include/usher/usher.h"
#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/wire/frame.h"

struct settings {
    struct dispatchers_listed dispatchers[DISPATCHERS_CONFIGURED_MAX];
    uint32_t dispatcher_count;
    struct address bind; /* port 0; or ADDRESS_NONE */
    enum frame_transport transport;
    uint64_t reply_timeout_ns;
    uint64_t fault_time_ns;
    uint32_t region_failures;
};

/* -EINVAL with one line about what is wrong in `message` (USHER_MESSAGE_BYTES). */
NODISCARD int settings_parse(const struct usher_config *config, struct settings *ret_settings, char *message);

/* What is asked for, checked likewise. */
struct ask_settings {
    uint64_t service_id;
    uint8_t count;
    uint8_t exclude_count;
    struct address excludes[USHER_ADDRESSES_MAX];
};
NODISCARD int ask_settings_parse(const struct usher_ask *ask, struct ask_settings *ret_settings, char *message);

struct job_settings {
    uint64_t service_id;
    uint64_t wait_ns;
    uint32_t service_time_min_ms;
    uint32_t service_time_max_ms;
};
NODISCARD int job_settings_parse(const struct usher_job *job, struct job_settings *ret_settings, char *message);
