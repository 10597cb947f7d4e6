/* usherctl - what operators tell daemons and ask them, over their admin sockets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exit_code.h"
#include "tools/usherctl/check.h"
#include "tools/usherctl/connection.h"
#include "tools/usherctl/find.h"
#include "tools/usherctl/print.h"

struct ctl_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tools/usherctl/options.def"
#undef OPTION
};

static const struct conf_option ctl_rows[] = {
#define OPTION(...) CONF_ROW(struct ctl_options, __VA_ARGS__)
#include "tools/usherctl/options.def"
#undef OPTION
};

static const struct conf_table ctl_tables[] = {{.title = "Options", .rows = ctl_rows, .row_count = ARRAY_COUNT(ctl_rows)}};

static const struct conf_program ctl_program = {
    .name = "usherctl",
    .summary = "asks and steers the daemons of Usher on this machine",
    .description =
        "Commands that every daemon has:\n"
        "\n"
        "  status - what it is and how it is\n"
        "  stats - all counters and gauges\n"
        "  set NAME VALUE - change an option while it runs\n"
        "  help - all its commands\n"
        "  check [METRIC=WARNING[:CRITICAL] ...] - health as a line for Nagios and its like, with their exit codes: 0 OK, "
        "1 WARNING, 2 CRITICAL, 3 UNKNOWN. METRIC is one of stats, with its labels, some of them or none\n"
        "\n"
        "usher-rm: nodes [SERVICE], services, subscribers, drain NODE [--reason TEXT], ready NODE [--reason TEXT], weight NODE "
        "auto|N. usher-dispatcher: nodes [SERVICE], which shows its own directory, and pick SERVICE [--explain] [--region ID]: "
        "which node the next request would be given, and why. That is a dry run: nothing is counted, changed or handed out.",
    .words = "COMMAND [ARGUMENT...]",
    .man_section = 8,
    .options_bytes = sizeof(struct ctl_options),
    .tables = ctl_tables,
    .table_count = ARRAY_COUNT(ctl_tables),
};

static int print_text(json_t *answer, bool json)
{
    struct buffer text = {0};
    char *dump = json ? json_dumps(answer, JSON_COMPACT) : NULL;
    int error = json ? buffer_print(&text, "%s\n", dump ? dump : "") : print_answer(answer, &text);
    if (error == 0)
        conf_write_output(text.bytes, text.length);
    int code = conf_finish_output(ctl_program.name);
    free(dump);
    buffer_done(&text);
    return error < 0 ? EXIT_CODE_FAILED : code;
}

/* The daemon's own word on what went wrong. */
static int report_failure(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "text"));
    json_int_t code = json_integer_value(json_object_get(answer, "exit"));
    fprintf(stderr, "usherctl: %s\n", text && text[0] ? text : "the daemon refused and did not say why");
    return code > EXIT_CODE_OK && code <= EXIT_CODE_NO_NODE ? (int)code : EXIT_CODE_FAILED;
}

/* Commands that not every daemon has. */
static const struct {
    const char *command;
    const char *program; /* that has it */
    const char *other; /* likewise; NULL: none */
} owned[] = {
    {"pick", "usher-dispatcher", NULL},
    {"drain", "usher-rm", NULL},
    {"ready", "usher-rm", NULL},
    {"weight", "usher-rm", NULL},
    {"services", "usher-rm", NULL},
    {"subscribers", "usher-rm", NULL},
    {"nodes", "usher-rm", "usher-dispatcher"},
};

/* Whose command it is, when somebody else was asked. False: it was the right one, or can't be told. */
static bool report_wrong_daemon(const char *command, const char *path, uint64_t timeout_ns)
{
    const char *question = "status";
    struct conf_error why;
    json_t *status;
    size_t i = 0;
    while (i < ARRAY_COUNT(owned) && strcmp(owned[i].command, command) != 0)
        i++;
    if (i == ARRAY_COUNT(owned) || connection_call(path, &question, 1, timeout_ns, &status, &why) != EXIT_CODE_OK)
        return false;
    const char *asked = json_string_value(json_object_get(status, "program"));
    const char *other = owned[i].other;
    bool wrong = asked && strcmp(asked, owned[i].program) != 0 && (!other || strcmp(asked, other) != 0);
    if (wrong)
        fprintf(stderr, "usherctl: %s has no command %s: give the socket of %s%s%s with -s\n", asked, command, owned[i].program,
                other ? " or " : "", other ? other : "");
    json_decref(status);
    return wrong;
}

/* Monitoring has exit codes of its own. found_code: of looking for the socket; not a daemon that is missing, but one of several, or a folder
 * that can't be told, says nothing about anybody's health. */
static int run_check(const struct ctl_options *options, int found_code, const char *path, const struct conf_words *words,
                     struct conf_error *why)
{
    struct conf_error found = *why;
    why->text[0] = '\0'; /* the line says it */
    if (options->json || options->reason)
        return (int)check_fail(CHECK_UNKNOWN, "check prints a line for monitoring: without --json and --reason");
    if (found_code != EXIT_CODE_OK)
        return (int)check_fail(found_code == EXIT_CODE_UNREACHABLE ? CHECK_CRITICAL : CHECK_UNKNOWN, found.text);
    return (int)check_run(options->socket ? options->socket : path, words->item + 1, words->count - 1, options->timeout_ns);
}

static int run(const struct ctl_options *options, const struct conf_words *words, struct conf_error *why)
{
    char path[PATH_MAX];
    json_t *answer;
    const char *request[CONF_WORDS_MAX + 5];
    size_t count = words->count;
    memcpy(request, words->item, count * sizeof(*request));
    if (options->reason) {
        request[count++] = "--reason";
        request[count++] = options->reason;
    }
    if (options->explain)
        request[count++] = "--explain";
    if (options->region) {
        request[count++] = "--region";
        request[count++] = options->region;
    }
    if (words->count == 0) {
        conf_error_set(why, "say what to do: usherctl status; usherctl --help lists the commands");
        return EXIT_CODE_USAGE;
    }
    bool checks = strcmp(words->item[0], "check") == 0;
    int code = options->socket ? EXIT_CODE_OK : find_socket(options->state_dir, path, why);
    if (checks)
        return run_check(options, code, path, words, why);
    if (code != EXIT_CODE_OK)
        return code;
    code = connection_call(options->socket ? options->socket : path, request, count, options->timeout_ns, &answer, why);
    if (code != EXIT_CODE_OK)
        return code;
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (ok || options->json)
        code = print_text(answer, options->json);
    if (!ok && report_wrong_daemon(words->item[0], options->socket ? options->socket : path, options->timeout_ns))
        code = EXIT_CODE_USAGE;
    else if (!ok)
        code = report_failure(answer);
    json_decref(answer);
    return code;
}

int main(int argc, char **argv)
{
    struct ctl_options options;
    struct conf_words words;
    struct conf_error why = {.text = ""};
    conf_open_streams();
    int result = conf_parse(&ctl_program, argc, argv, &options, &words, &why);
    if (result != 0)
        return result < 0 ? conf_fail(ctl_program.name, &why) : conf_finish_output(ctl_program.name);
    int code = run(&options, &words, &why);
    if (why.text[0])
        conf_fail(ctl_program.name, &why);
    conf_done(&ctl_program, &options);
    return code;
}
