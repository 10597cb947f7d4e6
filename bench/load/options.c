#include "bench/load/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exit_code.h"
#include "core/base/random.h"

#define LOAD_RATE_MAX 1e8

static volatile sig_atomic_t load_interrupts;

static void load_on_signal(int signal_number)
{
    (void)signal_number;
    if (load_interrupts < 2)
        load_interrupts = load_interrupts + 1;
}

const volatile sig_atomic_t *load_catch_signals(void)
{
    struct sigaction action = {.sa_handler = load_on_signal};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return &load_interrupts;
}

int load_refuse(struct conf_error *ret_error, const char *text)
{
    conf_error_set(ret_error, "%s", text);
    return -EINVAL;
}

int load_parse_rate(const char *text, double *ret_rate, struct conf_error *ret_error)
{
    char *end;
    if (text && strcmp(text, "max") == 0) {
        *ret_rate = 0;
        return 0;
    }
    double rate = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || !isfinite(rate) || rate <= 0 || rate > LOAD_RATE_MAX) {
        conf_error_set(ret_error, "--rate \"%.80s\": give requests per second, such as 20000 (at most %.0f), or max",
                       text ? text : "", LOAD_RATE_MAX);
        return -EINVAL;
    }
    *ret_rate = rate;
    return 0;
}

int load_take_dispatchers(const struct conf_addresses *dispatchers, struct address *ret_addresses, uint32_t *ret_count,
                          struct conf_error *ret_error)
{
    if (dispatchers->count == 0)
        return load_refuse(ret_error, "--dispatcher must be given");
    if (dispatchers->count > CPU_SERVERS_MAX)
        return load_refuse(ret_error, "--dispatcher: give 64 at most");
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        if (dispatchers->item[i].port != 0)
            continue;
        conf_error_set(ret_error, "--dispatcher %s: nobody listens at port 0: give the port of the server",
                       address_format(&dispatchers->item[i], text));
        return -EINVAL;
    }
    memcpy(ret_addresses, dispatchers->item, dispatchers->count * sizeof(*dispatchers->item));
    *ret_count = dispatchers->count;
    return 0;
}

int load_find_servers(uint32_t server_pid, const struct address *addresses, uint32_t count, bool tcp,
                      struct cpu_servers *ret_servers, struct conf_error *ret_error)
{
    if (server_pid == 0) {
        cpu_find_servers(addresses, count, tcp, ret_servers);
        return 0;
    }
    if (kill((pid_t)server_pid, 0) < 0 && errno == ESRCH) {
        conf_error_set(ret_error, "--server-pid %u: there is no such process", server_pid);
        return -EINVAL;
    }
    *ret_servers = (struct cpu_servers){.count = 1, .pid[0] = (pid_t)server_pid};
    return 0;
}

uint64_t load_seed(uint64_t seed)
{
    struct random_state random;
    random_init_from_kernel(&random);
    while (seed == 0)
        seed = random_next(&random);
    return seed;
}

int load_failure_exit_code(int error)
{
    bool unreachable = error == -ECONNREFUSED || error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH;
    return unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
}
