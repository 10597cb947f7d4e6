#include "core/node/service_builtin.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "core/base/duration.h"
#include "core/node/run.h"

#define DURATION_NS_DEFAULT (100 * NS_PER_MS)
#define DURATION_NS_MAX 1e18 /* 30 years: beyond every service time, and no sum overflows */
#define PARAMETER_BYTES_MAX 64
#define SPIN_CHECK_NS NS_PER_MS
#define BLOB_BYTES_MAX (UINT64_C(1) << 40)
#define BLOB_PERIOD 251 /* prime, so that parts that were swapped or cut at a power of two show */

/* The parameters as a text without the white space around it. -EINVAL: too long, or a zero byte within. */
static int parameter_text(const struct run *run, char text[static PARAMETER_BYTES_MAX])
{
    size_t length;
    const char *data = (const char *)run_data(run, &length);
    while (length > 0 && strchr(" \t\r\n", data[length - 1]) != NULL && data[length - 1] != '\0')
        length--;
    while (length > 0 && strchr(" \t\r\n", data[0]) != NULL && data[0] != '\0') {
        data++;
        length--;
    }
    if (length >= PARAMETER_BYTES_MAX || memchr(data, '\0', length) != NULL)
        return -EINVAL;
    memcpy(text, data, length);
    text[length] = '\0';
    return 0;
}

static int parameter_duration(struct run *run, const char *service, uint64_t *ret_ns)
{
    char text[PARAMETER_BYTES_MAX];
    uint64_t ns = DURATION_NS_DEFAULT;
    if (parameter_text(run, text) < 0 || (text[0] != '\0' && duration_parse(text, &ns) < 0))
        return run_fail(run, "%s takes a duration such as 250ms or 1s as its data", service);
    double scaled_ns = (double)ns * run->sleep_factor;
    *ret_ns = scaled_ns < DURATION_NS_MAX ? (uint64_t)scaled_ns : (uint64_t)DURATION_NS_MAX;
    return 0;
}

int service_echo(struct run *run)
{
    size_t length;
    const uint8_t *data = run_data(run, &length);
    return run_write(run, data, length);
}

int service_sleep(struct run *run)
{
    uint64_t ns;
    int r = parameter_duration(run, "sleep", &ns);
    return r < 0 ? r : run_sleep(run, clock_monotonic_ns() + ns);
}

int service_spin(struct run *run)
{
    uint64_t ns;
    int r = parameter_duration(run, "spin", &ns);
    if (r < 0)
        return r;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t end_ns = now_ns + ns;
    while (r == 0 && now_ns < end_ns) {
        uint64_t check_ns = now_ns + SPIN_CHECK_NS < end_ns ? now_ns + SPIN_CHECK_NS : end_ns;
        while (now_ns < check_ns)
            now_ns = clock_monotonic_ns();
        r = run_check(run);
    }
    return r;
}

int service_digest(struct run *run)
{
    size_t length;
    const uint8_t *data = run_data(run, &length);
    uint8_t digest[crypto_generichash_BYTES];
    char text[2 * sizeof(digest) + 1];
    crypto_generichash(digest, sizeof(digest), data, length, NULL, 0);
    sodium_bin2hex(text, sizeof(text), digest, sizeof(digest));
    return run_write(run, text, sizeof(text) - 1);
}

/* "10MB", "10M", "64k", "1000": powers of 1024. */
static int parse_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        bytes = bytes * 10 + (uint64_t)(*at - '0');
        if (bytes > BLOB_BYTES_MAX)
            return -ERANGE;
    }
    if (at == text)
        return -EINVAL;
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"K", 10}, {"KB", 10}, {"M", 20}, {"MB", 20}, {"G", 30}, {"GB", 30}};
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcasecmp(at, units[i].suffix) != 0)
            continue;
        if (bytes > BLOB_BYTES_MAX >> units[i].shift)
            return -ERANGE;
        *ret_bytes = bytes << units[i].shift;
        return 0;
    }
    return -EINVAL;
}

int service_blob(struct run *run)
{
    char text[PARAMETER_BYTES_MAX];
    uint64_t bytes;
    if (parameter_text(run, text) < 0 || parse_size(text, &bytes) < 0)
        return run_fail(run, "blob takes a number of bytes such as 10MB, 64K or 1000 as its data, at most 1024G");

    uint8_t pattern[16 * BLOB_PERIOD];
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i % BLOB_PERIOD);
    int r = run_check(run);
    while (r == 0 && bytes > 0) {
        size_t now = bytes < sizeof(pattern) ? (size_t)bytes : sizeof(pattern);
        r = run_write(run, pattern, now);
        bytes -= now;
    }
    return r;
}
