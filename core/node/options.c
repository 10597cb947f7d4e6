#include "core/node/options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const struct conf_option node_option_rows[NODE_OPTIONS] = {
#define OPTION(...) CONF_ROW(struct node_options, __VA_ARGS__)
#include "core/node/options.def"
#undef OPTION
};

/* D10: a dispatcher's queue counts more, so that it gets less of the work. */
#define QUEUE_FACTOR_DISPATCHER 1.5f

#define SAMPLE_GAP_NS_MIN UINT64_C(1000000)

static uint32_t cpus_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1)
        return 1;
    return count > (long)NODE_SLOTS_MAX ? NODE_SLOTS_MAX : (uint32_t)count;
}

static int check(const struct node_options *options, struct conf_error *ret_error)
{
    if (options->rm.count == 0 || options->rm.count > HEARTBEAT_RMS_MAX) {
        conf_error_set(ret_error, "--rm: give one to %u addresses, separated by commas", HEARTBEAT_RMS_MAX);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < options->rm.count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        const char *flaw = address_flaw(&options->rm.item[i]);
        if (flaw) {
            conf_error_set(ret_error, "--rm: %s is no address to send to (%s): give IP and port of usher-rm's --listen",
                           address_format(&options->rm.item[i], text), flaw);
            return -EINVAL;
        }
        for (uint32_t j = 0; j < i; j++)
            if (address_equal(&options->rm.item[i], &options->rm.item[j])) {
                conf_error_set(ret_error, "--rm: %s is given twice", address_format(&options->rm.item[i], text));
                return -EINVAL;
            }
    }
    if (options->load_window_ns / options->load_samples < SAMPLE_GAP_NS_MIN) {
        conf_error_set(ret_error, "--load-samples: %u in --load-window are less than 1 ms apart: take fewer or a longer window",
                       options->load_samples);
        return -EINVAL;
    }
    if (options->services.count == 0) {
        conf_error_set(ret_error, "--services: name at least one service");
        return -EINVAL;
    }
    return 0;
}

static int attach_from_options(const struct node_options *options, struct attach_config *ret_config, struct conf_error *ret_error)
{
    struct attach_config config;
    int r = attach_config_parse(&options->attach, options->attach_load, &config, ret_error);
    if (r < 0)
        return r;
    config.interval_ns = options->attach_check_interval_ns;
    config.timeout_ns = options->attach_check_timeout_ns;
    config.rise = options->attach_rise;
    config.fall = options->attach_fall;
    config.slots = options->attach_slots;
    *ret_config = config;
    return 0;
}

int node_config_from_options(const struct node_options *options, enum wire_node_kind kind, struct node_config *ret_config,
                             struct conf_error *ret_error)
{
    int r = check(options, ret_error);
    if (r < 0)
        return r;
    struct node_config config = {
        .kind = kind,
        .region = (uint16_t)options->region,
        .rms = options->rm.item,
        .rm_count = options->rm.count,
        .rm_http = options->rm.http,
        .slots = options->slots == 0 ? cpus_online() : options->slots,
        .queue_max = options->queue,
        .heartbeat_ns = options->heartbeat_ns,
        .load_window_ns = options->load_window_ns,
        .load_samples = options->load_samples,
        .load_disk = (enum load_disk)options->load_disk,
        .queue_factor = (float)options->queue_factor,
        .sleep_factor = options->sleep_factor,
        .freshness_per_s = options->freshness_budget,
    };
    if (!(config.queue_factor > 0))
        config.queue_factor = kind == WIRE_NODE_DISPATCHER ? QUEUE_FACTOR_DISPATCHER : 1;
    for (uint32_t i = 0; i < RESOURCE_CAPACITIES; i++)
        config.capacity[i] = options->capacity.value[i];
    for (uint32_t i = 0; i < CHANGE_METRICS; i++)
        config.change.threshold[i] = options->change_thresholds.value[i];
    config.change.budget = options->extra_heartbeats;
    for (uint32_t part = 0; part < LOAD_PARTS; part++)
        config.load_weights[part] = options->load_weights.value[part];
    r = service_set_parse(&options->services, &config.services, ret_error);
    if (r == 0)
        r = attach_from_options(options, &config.attach, ret_error);
    if (r < 0)
        return r;
    *ret_config = config;
    return 0;
}
