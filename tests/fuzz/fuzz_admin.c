/* Any bytes as a line on the admin socket: there is always one line of JSON in answer. */
#include <jansson.h>
#include <string.h>

#include "core/base/check.h"
#include "core/daemon/admin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

static int run_echo(void *state, struct admin_call *call)
{
    const char *reason;
    (void)state;
    for (size_t i = 0; i < call->word_count; i++)
        CHECK(json_object_set_new(call->answer, "word", json_string(call->words[i])) == 0);
    int error = admin_option(call, 0, "--reason", &reason);
    if (error < 0)
        return error;
    return reason ? admin_fail(call, -1, EXIT_CODE_FAILED, "%.10s", reason) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    static const struct admin_command commands[] = {{"echo", "[WORD...]", 0, ADMIN_WORDS_MAX, "says it again", run_echo}};
    static void *const nothing = NULL;
    static const struct admin_table table = {commands, 1, &nothing};
    struct buffer answer = {0};
    CHECK(admin_execute(&table, 1, (const char *)data, data_size, &answer) == 0);
    CHECK(memchr(answer.bytes, '\n', answer.length) == answer.bytes + answer.length - 1);
    json_t *object = json_loadb((const char *)answer.bytes, answer.length, 0, NULL);
    CHECK(json_is_object(object) && json_is_boolean(json_object_get(object, "ok")));
    json_decref(object);
    buffer_done(&answer);
    return 0;
}
