#include "tools/docs/documents.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "core/base/log.h"
#include "core/redis/redis_keys.h"

#define READ_BYTES 4096

static int read_to_end(int fd, struct buffer *text)
{
    for (;;) {
        int error = buffer_reserve(text, READ_BYTES);
        if (error < 0)
            return error;
        ssize_t got = read(fd, text->bytes + text->length, READ_BYTES);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        text->length += got > 0 ? (size_t)got : 0;
    }
}

/* What a program writes to stdout. */
static int run_program(char *path, struct buffer *text)
{
    char argument[] = "--dump-docs=markdown";
    char *argv[] = {path, argument, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status;
    pid_t pid;
    if (pipe(ends) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int error = -posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error == 0) {
        error = read_to_end(ends[0], text);
        if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            error = error ? error : -ENOEXEC;
    }
    close(ends[0]);
    if (error < 0)
        fprintf(stderr, "usher-docs: %s --dump-docs=markdown failed\n", path);
    return error;
}

int document_options(const char *program_path, struct buffer *text)
{
    char pattern[PATH_MAX];
    const char *slash = strrchr(program_path, '/');
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%.*susher*", slash ? (int)(slash + 1 - program_path) : 0, program_path);
    if (glob(pattern, 0, NULL, &found) != 0)
        return -ENOENT;
    int error =
        buffer_print(text, "# Options\n\nThe same as `--help` says; a configuration file (`--config`) has the same names. "
                           "Made from the tables by usher-docs.\n");
    for (size_t i = 0; i < found.gl_pathc && error == 0; i++) {
        if (strcmp(found.gl_pathv[i], program_path) == 0)
            continue;
        error = buffer_append(text, "\n", 1);
        if (error == 0)
            error = run_program(found.gl_pathv[i], text);
    }
    globfree(&found);
    return error;
}

int document_messages(const char *program_path, struct buffer *text)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    (void)program_path;
    int error = buffer_print(
        text, "# Messages\n\nWhat the daemons log on stderr, one event a line; the ID is stable. Made from the table "
              "by usher-docs.\n\n| ID | level | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < MESSAGES && error == 0; i++)
        error = buffer_print(text, "| `%s` | %s | %s |\n", log_message_rows[i].id, levels[log_message_rows[i].level],
                             log_message_rows[i].text);
    return error;
}

int document_redis(const char *program_path, struct buffer *text)
{
    (void)program_path;
    int error = buffer_print(text, "| key | type | content |\n|---|---|---|\n");
    for (size_t i = 0; i < REDIS_KEYS && error == 0; i++)
        error = buffer_print(text, "| `usher:REGION:%s` | %s | %s |\n", redis_key_rows[i].name, redis_key_rows[i].type,
                             redis_key_rows[i].text);
    return error;
}

struct wire_row {
    int error;
    unsigned code;
};

/* The code under which ERROR frames carry it, or 0. */
static unsigned wire_code_of(int error)
{
    static const struct wire_row rows[] = {
#define WIRE_ERROR(symbol, code, error) {error, code},
#include "core/wire/error_codes.def"
#undef WIRE_ERROR
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].error == error)
            return rows[i].code;
    return 0;
}

int document_errors(const char *program_path, struct buffer *text)
{
    static const int errors[] = {
#define ERROR(symbol, number, name, text) symbol,
#include "core/base/errors.def"
#undef ERROR
    };
    (void)program_path;
    int error =
        buffer_print(text, "# Errors\n\nThe names that results, logs and JSON have for what went wrong, beside those of errno "
                           "(`ECONNREFUSED`). The wire code is that of ERROR frames. Made from the tables by usher-docs.\n\n"
                           "| name | number | wire code | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_COUNT(errors) && error == 0; i++) {
        char code[16] = "-";
        unsigned wire_code = wire_code_of(errors[i]);
        if (wire_code)
            snprintf(code, sizeof(code), "%u", wire_code);
        error = buffer_print(text, "| `%s` | %d | %s | %s |\n", error_name(errors[i]), errors[i], code, error_text(errors[i]));
    }
    return error;
}

int document_services(const char *program_path, struct buffer *text)
{
    static const struct service_row {
        const char *name, *parameters, *help;
    } rows[] = {
#define SERVICE(name, function, parameters, help) {name, parameters, help},
#include "core/node/services.def"
#undef SERVICE
    };
    (void)program_path;
    int error = buffer_print(text, "| service | its data | what it does |\n|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_COUNT(rows) && error == 0; i++)
        error = buffer_print(text, "| `%s` | %s | %s |\n", rows[i].name, rows[i].parameters, rows[i].help);
    return error;
}
