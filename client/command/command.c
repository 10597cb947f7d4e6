#include "client/command/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/errors.h"

const struct conf_option common_rows[COMMON_ROWS] = {
#define OPTION(...) CONF_ROW(struct common_options, __VA_ARGS__)
#include "client/command/common.def"
#undef OPTION
};

bool command_parse(const struct conf_program *program, int argc, char *const *argv, void *options, int *ret_exit_code)
{
    struct conf_error why;
    int error = conf_parse(program, argc, argv, options, NULL, &why);
    if (error == 0)
        return true;
    *ret_exit_code = error == CONF_PRINTED ? EXIT_CODE_OK : conf_fail(program->name, &why);
    return false;
}

/* An option as text, "" when it was not given: the library takes texts. -ENOMEM. */
static int command_option_text(const struct conf_program *program, const char *name, const void *field, struct buffer *text)
{
    int error = conf_value_print(conf_find(program, name, NULL), field, text);
    return error < 0 ? error : buffer_append(text, "", 1);
}

static int command_config(const struct conf_program *program, const struct common_options *options, struct buffer *dispatchers,
                          struct buffer *bind, struct usher_config *ret_config)
{
    const char *fallback = getenv("USHER_DISPATCHERS");
    int error = command_option_text(program, "dispatchers", &options->dispatchers, dispatchers);
    if (error == 0)
        error = command_option_text(program, "bind", &options->bind, bind);
    if (error < 0)
        return error;
    ret_config->dispatchers = options->dispatchers.count > 0 ? (const char *)dispatchers->bytes : fallback;
    ret_config->bind_ip = options->bind.family != ADDRESS_NONE ? (const char *)bind->bytes : NULL;
    ret_config->proto = options->proto == 0 ? USHER_UDP : USHER_TCP;
    ret_config->reply_timeout_us = (uint32_t)(options->reply_timeout_ns / NS_PER_US);
    return 0;
}

bool command_client(const struct conf_program *program, const struct common_options *options, uint64_t fault_time_ns,
                    struct usher_client **ret_client, int *ret_exit_code)
{
    struct usher_config config = {.fault_time_ms = (uint32_t)(fault_time_ns / NS_PER_MS)};
    struct buffer dispatchers = {0}, bind = {0};
    char message[USHER_MESSAGE_BYTES] = "out of memory";
    int error = command_config(program, options, &dispatchers, &bind, &config);
    if (error == 0 && (!config.dispatchers || !*config.dispatchers)) {
        snprintf(message, sizeof(message), "whom to ask? Give --dispatchers IP:PORT[,...] or set USHER_DISPATCHERS");
        error = -EINVAL;
    }
    if (error == 0)
        error = usher_client_new(&config, ret_client, message);
    buffer_done(&dispatchers);
    buffer_done(&bind);
    if (error == 0)
        return true;
    *ret_exit_code = command_fail(program, options->json, error, message);
    return false;
}

int command_exit_code(int error)
{
    switch (error) {
    case 0: return EXIT_CODE_OK;
    case -EINVAL: return EXIT_CODE_USAGE;
    case USHER_ERROR_UNREACHABLE: return EXIT_CODE_UNREACHABLE;
    case USHER_ERROR_NO_NODE:
    case USHER_ERROR_NO_SERVICE: return EXIT_CODE_NO_NODE;
    default: return EXIT_CODE_FAILED;
    }
}

int command_fail(const struct conf_program *program, bool json, int error, const char *message)
{
    if (json)
        (void)command_print_json(json_pack("{s:s, s:s}", "error", usher_error_name(error), "message", message));
    else
        fprintf(stderr, "%s: %s\n", program->name, message);
    return command_exit_code(error);
}

int command_print_json(json_t *object)
{
    if (object)
        (void)json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
    return object ? command_flush() : EXIT_CODE_FAILED;
}

int command_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
