#include "core/daemon/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/conf/conf.h"
#include "core/daemon/text_json.h"

#define SPACES " \t\r"

/* One line taken apart. */
struct request {
    char line[ADMIN_LINE_BYTES_MAX + 1];
    json_t *array; /* holds the words of a JSON request; else NULL */
    const char *words[ADMIN_WORDS_MAX];
    size_t count;
};

/* Between a handler, which finishes it, and whoever waits. */
struct admin_later {
    json_t *answer;
    admin_on_answer *on_answer; /* NULL: nobody waits any more */
    void *ctx;
};

int admin_fail(struct admin_call *call, int error, enum exit_code exit_code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->text, sizeof(call->text), format, arguments);
    va_end(arguments);
    call->exit_code = exit_code;
    return error;
}

int admin_option(struct admin_call *call, size_t first, const char *name, const char **ret_value)
{
    if (call->word_count > first && strcmp(call->words[first], name) != 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is not understood here; only %s TEXT may follow",
                          call->words[first], name);
    if (call->word_count == first + 1)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "%s: the text is missing", name);
    if (call->word_count > first + 2)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is a word too many; quote the text behind %s",
                          call->words[first + 2], name);
    *ret_value = call->word_count > first ? call->words[first + 1] : NULL;
    return 0;
}

static int request_split(struct request *request, struct admin_call *call)
{
    char *at = request->line + strspn(request->line, SPACES);
    while (*at) {
        if (request->count == ADMIN_WORDS_MAX)
            return admin_fail(call, -E2BIG, EXIT_CODE_USAGE, "more than %d words; send fewer", ADMIN_WORDS_MAX);
        request->words[request->count++] = at;
        at += strcspn(at, SPACES);
        if (*at)
            *at++ = '\0';
        at += strspn(at, SPACES);
    }
    return 0;
}

static int request_decode(struct request *request, struct admin_call *call)
{
    json_error_t why;
    request->array = json_loads(request->line, 0, &why);
    if (!json_is_array(request->array))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "not a JSON array: %.200s; send [\"COMMAND\",\"WORD\",...]",
                          request->array ? "another type" : why.text);
    if (json_array_size(request->array) > ADMIN_WORDS_MAX)
        return admin_fail(call, -E2BIG, EXIT_CODE_USAGE, "more than %d words; send fewer", ADMIN_WORDS_MAX);
    for (size_t i = 0; i < json_array_size(request->array); i++) {
        request->words[i] = json_string_value(json_array_get(request->array, i));
        if (!request->words[i])
            return admin_fail(call, -EINVAL, EXIT_CODE_USAGE,
                              "a member of the array is no string; send [\"COMMAND\",\"WORD\",...]");
        request->count++;
    }
    return 0;
}

static int request_read(struct request *request, const char *line, size_t length, struct admin_call *call)
{
    if (length > ADMIN_LINE_BYTES_MAX)
        return admin_fail(call, -E2BIG, EXIT_CODE_USAGE, "the line is longer than %d bytes; send a shorter one",
                          ADMIN_LINE_BYTES_MAX);
    if (memchr(line, '\0', length))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "a zero byte in the line; send text");
    json_t *text = json_stringn(line, length);
    json_decref(text);
    if (!text)
        return admin_fail(call, -EILSEQ, EXIT_CODE_USAGE, "the line is not UTF-8; send text");
    memcpy(request->line, line, length);
    request->line[length] = '\0';
    int error =
        request->line[strspn(request->line, SPACES)] == '[' ? request_decode(request, call) : request_split(request, call);
    if (error == 0 && request->count == 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "an empty line; send a command, such as help");
    return error;
}

static const struct admin_command *find_command(const struct admin_table *tables, size_t table_count, const char *name,
                                                void **ret_state)
{
    for (size_t t = 0; t < table_count; t++)
        for (size_t c = 0; c < tables[t].count; c++)
            if (strcmp(tables[t].commands[c].name, name) == 0) {
                *ret_state = *tables[t].state;
                return &tables[t].commands[c];
            }
    return NULL;
}

static int fail_unknown(const struct admin_table *tables, size_t table_count, const char *name, struct admin_call *call)
{
    const char *names[ADMIN_WORDS_MAX];
    size_t count = 0;
    for (size_t t = 0; t < table_count; t++)
        for (size_t c = 0; c < tables[t].count && count < ADMIN_WORDS_MAX; c++)
            names[count++] = tables[t].commands[c].name;
    const char *closest = conf_closest(name, names, count);
    return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "this daemon knows no command \"%.60s\"%s%s%s; help lists its commands",
                      name, closest ? " (did you mean " : "", closest ? closest : "", closest ? "?)" : "");
}

static int request_run(const struct admin_table *tables, size_t table_count, const struct request *request,
                       struct admin_call *call)
{
    void *state;
    CHECK(request->count > 0 && request->words[0]);
    const struct admin_command *command = find_command(tables, table_count, request->words[0], &state);
    if (!command)
        return fail_unknown(tables, table_count, request->words[0], call);
    call->words = request->words + 1;
    call->word_count = request->count - 1;
    if (call->word_count < command->words_min || call->word_count > command->words_max)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "too %s words; the command is: %s%s%s",
                          call->word_count < command->words_min ? "few" : "many", command->name, command->arguments[0] ? " " : "",
                          command->arguments);
    return command->handler(state, call);
}

/* The whole answer object: what the handler added, or the failure instead of it. */
static json_t *answer_finish(json_t *members, const struct admin_call *call, int error)
{
    if (error == 0) {
        json_t *answer = json_pack("{s:b}", "ok", 1);
        if (answer && json_object_update(answer, members) == 0)
            return answer;
        json_decref(answer);
        return NULL;
    }
    return json_pack("{s:b, s:s, s:o, s:i}", "ok", 0, "error", error_name(error), "text", text_to_json(call->text), "exit",
                     (int)call->exit_code);
}

static int answer_print(json_t *members, const struct admin_call *call, int error, struct buffer *answer)
{
    json_t *object = answer_finish(members, call, error);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    error = text ? buffer_print(answer, "%s\n", text) : -ENOMEM;
    free(text);
    json_decref(object);
    return error;
}

static int execute(const struct admin_table *tables, size_t table_count, const char *line, size_t length, struct buffer *answer,
                   bool can_wait, struct admin_rest *ret_rest)
{
    struct request request = {.array = NULL};
    struct admin_call call = {.answer = json_object(), .exit_code = EXIT_CODE_FAILED, .can_wait = can_wait};
    if (!call.answer)
        return -ENOMEM;
    int error = request_read(&request, line, length, &call);
    if (error == 0)
        error = request_run(tables, table_count, &request, &call);
    CHECK((error == ADMIN_LATER) == (call.later != NULL) && (error == ADMIN_PIECES) == (call.pieces.next != NULL));
    *ret_rest = (struct admin_rest){.later = call.later, .pieces = call.pieces};
    if (error <= 0)
        error = answer_print(call.answer, &call, error, answer);
    json_decref(call.answer);
    json_decref(request.array);
    return error;
}

int admin_execute(const struct admin_table *tables, size_t table_count, const char *line, size_t length, struct buffer *answer)
{
    struct admin_rest rest = {.later = NULL};
    int error = execute(tables, table_count, line, length, answer, false, &rest);
    return error == ADMIN_PIECES ? pieces_collect(&rest.pieces, answer) : error;
}

int admin_execute_or_wait(const struct admin_table *tables, size_t table_count, const char *line, size_t length,
                          struct buffer *answer, admin_on_answer *on_answer, void *ctx, struct admin_rest *ret_rest)
{
    int error = execute(tables, table_count, line, length, answer, true, ret_rest);
    if (error == ADMIN_LATER) {
        ret_rest->later->on_answer = on_answer;
        ret_rest->later->ctx = ctx;
    }
    return error;
}

/* ---- answers that come later ---- */

struct admin_later *admin_defer(struct admin_call *call)
{
    CHECK(!call->later);
    if (!call->can_wait)
        return NULL;
    struct admin_later *later = calloc(1, sizeof(*later));
    if (!later)
        return NULL;
    later->answer = json_incref(call->answer);
    call->later = later;
    return later;
}

static void later_free(struct admin_later *later)
{
    json_decref(later->answer);
    free(later);
}

void admin_defer_cancel(struct admin_call *call)
{
    later_free(call->later);
    call->later = NULL;
}

json_t *admin_later_answer(struct admin_later *later)
{
    return later->answer;
}

void admin_later_abandon(struct admin_later *later)
{
    later->on_answer = NULL;
}

static void later_end(struct admin_later *later, const struct admin_call *call, int error)
{
    struct buffer answer = {0};
    if (later->on_answer) {
        error = answer_print(later->answer, call, error, &answer);
        later->on_answer(later->ctx, error == 0 ? &answer : NULL);
    }
    buffer_done(&answer);
    later_free(later);
}

void admin_later_finish(struct admin_later *later)
{
    later_end(later, NULL, 0);
}

void admin_later_fail(struct admin_later *later, int error, enum exit_code exit_code, const char *format, ...)
{
    struct admin_call call = {.exit_code = exit_code};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call.text, sizeof(call.text), format, arguments);
    va_end(arguments);
    later_end(later, &call, error);
}
