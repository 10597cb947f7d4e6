/* The commands that every daemon has: status, stats, set, help. */
#include <errno.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/id_text.h"
#include "core/base/version.h"
#include "core/daemon/internal.h"
#include "core/daemon/metrics.h"

static int fail_memory(struct admin_call *call)
{
    return admin_fail(call, -ENOMEM, EXIT_CODE_FAILED, "out of memory");
}

static json_t *address_to_json(const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES];
    return json_string(address_format(address, text));
}

static int run_status(void *state, struct admin_call *call)
{
    const struct daemon *daemon = state;
    char reason[DAEMON_REASON_BYTES];
    bool healthy = daemon_healthy(daemon, reason);
    struct address advertised = daemon_advertised_address(daemon);
    struct id_text boot_id = id_text_of(daemon->boot_id);
    json_t *members = json_pack("{s:s, s:s, s:i, s:s, s:I, s:s, s:b, s:s, s:o, s:o, s:s, s:s, s:s, s:s}", "program",
                                daemon->program->conf->name, "version", USHER_VERSION, "pid", (int)getpid(), "boot_id",
                                boot_id.text, "uptime_s", (json_int_t)((loop_now_ns(daemon->loop) - daemon->start_ns) / NS_PER_S),
                                "state", daemon->draining ? "draining" : "running", "healthy", healthy, "reason", reason,
                                "listen", address_to_json(&daemon->listen), "advertise", address_to_json(&advertised), "admin",
                                daemon->admin_path, "state_dir", daemon->state_dir, "io", loop_kind_name(daemon->loop),
                                "io_reason", daemon->io_shortage[0] ? daemon->io_shortage : loop_fallback_reason(daemon->loop));
    if (!members || json_object_update(call->answer, members) < 0) {
        json_decref(members);
        return fail_memory(call);
    }
    json_decref(members);
    if (daemon->http) {
        struct address http = http_server_address(daemon->http);
        if (json_object_set_new(call->answer, "http", address_to_json(&http)) < 0)
            return fail_memory(call);
    }
    if (daemon->program->status)
        daemon->program->status(daemon->state, call->answer);
    return 0;
}

static int run_stats(void *state, struct admin_call *call)
{
    struct daemon *daemon = state;
    struct measures measures;
    json_t *stats = json_object();
    daemon_measure(daemon, &measures);
    int error = stats ? metrics_to_json(&measures, daemon->program->counter_program, stats) : -ENOMEM;
    measures_done(&measures);
    if (error == 0 && json_object_set(call->answer, "stats", stats) < 0)
        error = -ENOMEM;
    json_decref(stats);
    return error < 0 ? fail_memory(call) : 0;
}

static int run_set(void *state, struct admin_call *call)
{
    struct daemon *daemon = state;
    struct conf_error why;
    int error = daemon_set_option(daemon, call->words[0], call->words[1], &why);
    if (error < 0)
        return admin_fail(call, error, EXIT_CODE_USAGE, "%.500s", why.text);
    if (json_object_set_new(call->answer, "name", json_string(call->words[0])) < 0 ||
        json_object_set_new(call->answer, "value", json_string(call->words[1])) < 0)
        return fail_memory(call);
    return 0;
}

static int run_help(void *state, struct admin_call *call)
{
    const struct daemon *daemon = state;
    json_t *commands = json_array();
    for (size_t t = 0; t < ARRAY_COUNT(daemon->tables); t++)
        for (size_t c = 0; c < daemon->tables[t].count; c++) {
            const struct admin_command *command = &daemon->tables[t].commands[c];
            json_t *row =
                json_pack("{s:s, s:s, s:s}", "name", command->name, "arguments", command->arguments, "help", command->help);
            if (json_array_append_new(commands, row) < 0) {
                json_decref(commands);
                return fail_memory(call);
            }
        }
    return json_object_set_new(call->answer, "commands", commands) < 0 ? fail_memory(call) : 0;
}

const struct admin_command daemon_commands[] = {
    {"status", "", 0, 0, "what this daemon is and how it is", run_status},
    {"stats", "", 0, 0, "all counters and gauges", run_stats},
    {"set", "NAME VALUE", 2, 2, "change an option while the daemon runs", run_set},
    {"help", "", 0, 0, "this daemon's commands", run_help},
};
const size_t daemon_command_count = ARRAY_COUNT(daemon_commands);
