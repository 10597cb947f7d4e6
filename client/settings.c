#include "client/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/wire/limits.h"
#include "core/wire/service.h"

#define SETTINGS_REPLY_TIMEOUT_US 50000u
#define SETTINGS_REPLY_TIMEOUT_US_MIN 100u
#define SETTINGS_FAULT_TIME_MS 5000u
#define SETTINGS_REGION_FAILURES 2u
#define SETTINGS_SERVICE_TIME_MS 1000u
#define SETTINGS_WAIT_MS 5000u
#define SETTINGS_DAY_MS 86400000u

_Static_assert(USHER_ADDRESSES_MAX == ADDRESSES_MAX && USHER_ADDRESSES_MAX == EXCLUDES_MAX,
               "the public header says the protocol's");
_Static_assert(USHER_DATA_BYTES_MAX == JOB_DATA_BYTES_MAX, "likewise");
_Static_assert(USHER_SERVICE_BYTES_MAX == SERVICE_NAME_BYTES_MAX, "likewise");
_Static_assert(USHER_ADDRESS_BYTES == ADDRESS_TEXT_BYTES, "likewise");

PRINTF_LIKE(2, 3) static int settings_fail(char *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, USHER_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* "1@10.0.0.1:7400" or "10.0.0.1:7400", not terminated. */
static int settings_parse_dispatcher(const char *text, size_t length, struct dispatchers_listed *ret_listed)
{
    char copy[ADDRESS_TEXT_BYTES + 8];
    struct dispatchers_listed listed = {.region = 0};
    if (length >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';

    char *address = copy, *at = strchr(copy, '@');
    if (at) {
        char *end;
        unsigned long region = strtoul(copy, &end, 10);
        if (copy[0] < '0' || copy[0] > '9' || end != at || region == 0 || region > UINT16_MAX)
            return -EINVAL;
        listed.region = (uint16_t)region;
        address = at + 1;
    }
    if (address_parse(address, &listed.address) < 0)
        return -EINVAL;
    *ret_listed = listed;
    return 0;
}

static int settings_parse_dispatchers(const char *text, struct settings *settings, char *message)
{
    if (!text || !*text)
        return settings_fail(message, "no dispatchers given: at least one [REGION@]IP:PORT is needed");
    while (*text) {
        size_t length = strcspn(text, ",");
        if (settings->dispatcher_count == DISPATCHERS_CONFIGURED_MAX)
            return settings_fail(message, "too many dispatchers: at most %d may be given, the others are learned",
                                 DISPATCHERS_CONFIGURED_MAX);
        if (settings_parse_dispatcher(text, length, &settings->dispatchers[settings->dispatcher_count]) < 0)
            return settings_fail(message, "'%.*s' is not a dispatcher: write [REGION@]IP:PORT, with a region from 1 to 65535",
                                 length < 80 ? (int)length : 80, text);
        const char *flaw = address_flaw(&settings->dispatchers[settings->dispatcher_count].address);
        if (flaw)
            return settings_fail(message,
                                 "'%.*s' is no address to send to (%s): write the IP and port of a dispatcher's --listen",
                                 length < 80 ? (int)length : 80, text, flaw);
        settings->dispatcher_count++;
        text += length;
        text += *text == ',';
    }
    return 0;
}

/* Who comes from an IPv6 address reaches no IPv4 dispatcher. One of the same family is enough: it knows the others. */
static int settings_check_bind(const struct settings *settings, const char *bind_ip, char *message)
{
    if (settings->bind.family == ADDRESS_NONE)
        return 0;
    for (uint32_t i = 0; i < settings->dispatcher_count; i++)
        if (settings->dispatchers[i].address.family == settings->bind.family)
            return 0;
    bool is_ipv6 = settings->bind.family == ADDRESS_IPV6;
    return settings_fail(message,
                         "no dispatcher can be reached from %.60s (--bind), which is IPv%c: give an IPv%c address to come from, "
                         "or an IPv%c dispatcher",
                         bind_ip, is_ipv6 ? '6' : '4', is_ipv6 ? '4' : '6', is_ipv6 ? '6' : '4');
}

int settings_parse(const struct usher_config *config, struct settings *ret_settings, char *message)
{
    *ret_settings = (struct settings){
        .transport = config->proto == USHER_TCP ? FRAME_TCP : FRAME_UDP,
        .reply_timeout_ns = (config->reply_timeout_us ? config->reply_timeout_us : SETTINGS_REPLY_TIMEOUT_US) * NS_PER_US,
        .fault_time_ns = (config->fault_time_ms ? config->fault_time_ms : SETTINGS_FAULT_TIME_MS) * NS_PER_MS,
        .region_failures = config->region_failures ? config->region_failures : SETTINGS_REGION_FAILURES,
    };
    if (config->proto != USHER_UDP && config->proto != USHER_TCP)
        return settings_fail(message, "unknown protocol %d: it is USHER_UDP or USHER_TCP", (int)config->proto);
    if (config->reply_timeout_us && config->reply_timeout_us < SETTINGS_REPLY_TIMEOUT_US_MIN)
        return settings_fail(message, "a reply timeout of %u us is too short: at least %u us", config->reply_timeout_us,
                             SETTINGS_REPLY_TIMEOUT_US_MIN);
    if (config->bind_ip && address_parse_ip(config->bind_ip, &ret_settings->bind) < 0)
        return settings_fail(message, "'%.80s' is not an IP address to bind to", config->bind_ip);
    int error = settings_parse_dispatchers(config->dispatchers, ret_settings, message);
    return error == 0 ? settings_check_bind(ret_settings, config->bind_ip, message) : error;
}

static int settings_parse_service(const char *service, uint64_t *ret_service_id, char *message)
{
    size_t length = service ? strlen(service) : 0;
    if (length == 0)
        return settings_fail(message, "no service given");
    if (!service_name_valid(service, length))
        return settings_fail(message, "'%.80s' is not a service name: 1 to %d characters from A-Z a-z 0-9 . _ -", service,
                             USHER_SERVICE_BYTES_MAX);
    *ret_service_id = service_id(service, length);
    return 0;
}

int ask_settings_parse(const struct usher_ask *ask, struct ask_settings *ret_settings, char *message)
{
    struct ask_settings settings = {.count = ask->count ? (uint8_t)ask->count : 1};
    if (ask->count > USHER_ADDRESSES_MAX)
        return settings_fail(message, "%u addresses are too many: at most %d", ask->count, USHER_ADDRESSES_MAX);
    if (ask->exclude_count > USHER_ADDRESSES_MAX)
        return settings_fail(message, "%u nodes to leave out are too many: at most %d", ask->exclude_count, USHER_ADDRESSES_MAX);
    for (uint32_t i = 0; i < ask->exclude_count; i++)
        if (address_parse(ask->excludes[i], &settings.excludes[i]) < 0 || address_flaw(&settings.excludes[i]))
            return settings_fail(message, "'%.80s' is not a node to leave out: write IP:PORT", ask->excludes[i]);
    settings.exclude_count = (uint8_t)ask->exclude_count;
    int error = settings_parse_service(ask->service, &settings.service_id, message);
    if (error == 0)
        *ret_settings = settings;
    return error;
}

int job_settings_parse(const struct usher_job *job, struct job_settings *ret_settings, char *message)
{
    struct job_settings settings = {
        .wait_ns = (job->wait_ms ? job->wait_ms : SETTINGS_WAIT_MS) * NS_PER_MS,
        .service_time_min_ms = job->service_time_min_ms ? job->service_time_min_ms : SETTINGS_SERVICE_TIME_MS,
    };
    settings.service_time_max_ms = job->service_time_max_ms ? job->service_time_max_ms : settings.service_time_min_ms;
    if (job->data_bytes > USHER_DATA_BYTES_MAX)
        return settings_fail(message, "%zu bytes of data are too many: at most %d", job->data_bytes, USHER_DATA_BYTES_MAX);
    if (job->wait_ms > SETTINGS_DAY_MS || settings.service_time_min_ms > SETTINGS_DAY_MS ||
        settings.service_time_max_ms > SETTINGS_DAY_MS)
        return settings_fail(message, "wait and service time may be a day (%u ms) at most", SETTINGS_DAY_MS);
    if (settings.service_time_min_ms > settings.service_time_max_ms)
        return settings_fail(message, "the service time's minimum, %u ms, is above its maximum, %u ms",
                             settings.service_time_min_ms, settings.service_time_max_ms);
    int error = settings_parse_service(job->service, &settings.service_id, message);
    if (error == 0)
        *ret_settings = settings;
    return error;
}
