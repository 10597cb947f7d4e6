#include "client/command/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (error == CONF_PRINTED)
        *ret_exit_code = conf_finish_output(program->name);
    else
        *ret_exit_code = command_fail(program, conf_wants_json(argc, argv), -EINVAL, why.text);
    return false;
}

/* The library takes texts: "1@10.0.0.1:7400,10.0.0.2:7400". -ENOMEM. */
static int command_dispatchers_text(const struct conf_dispatchers *dispatchers, struct buffer *text)
{
    int error = 0;
    for (uint32_t i = 0; i < dispatchers->count && error == 0; i++) {
        char address[ADDRESS_TEXT_BYTES], region[16] = "";
        if (dispatchers->item[i].region)
            snprintf(region, sizeof(region), "%u@", dispatchers->item[i].region);
        error = buffer_print(text, "%s%s%s", i ? "," : "", region, address_format(&dispatchers->item[i].address, address));
    }
    return error < 0 ? error : buffer_append(text, "", 1);
}

/* "10.0.0.1" or "[::1]", without the port that address_format adds. */
static const char *command_ip_text(const struct address *ip, char text[static ADDRESS_TEXT_BYTES])
{
    address_format(ip, text);
    *strrchr(text, ':') = '\0';
    return text;
}

bool command_client(const struct conf_program *program, const struct common_options *options, uint64_t fault_time_ns,
                    struct usher_client **ret_client, int *ret_exit_code)
{
    char bind[ADDRESS_TEXT_BYTES], message[USHER_MESSAGE_BYTES] = "out of memory";
    const char *fallback = getenv("USHER_DISPATCHERS");
    struct buffer dispatchers = {0};
    int error = command_dispatchers_text(&options->dispatchers, &dispatchers);
    struct usher_config config = {
        .dispatchers = options->dispatchers.count > 0 ? (const char *)dispatchers.bytes : fallback,
        .bind_ip = options->bind.family != ADDRESS_NONE ? command_ip_text(&options->bind, bind) : NULL,
        .proto = options->proto == 0 ? USHER_UDP : USHER_TCP,
        .reply_timeout_us = (uint32_t)(options->reply_timeout_ns / NS_PER_US),
        .fault_time_ms = (uint32_t)(fault_time_ns / NS_PER_MS),
    };
    if (error == 0 && (!config.dispatchers || !*config.dispatchers)) {
        snprintf(message, sizeof(message), "whom to ask? Give --dispatchers IP:PORT[,...] or set USHER_DISPATCHERS");
        error = -EINVAL;
    }
    if (error == 0)
        error = usher_client_new(&config, ret_client, message);
    buffer_done(&dispatchers);
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
        (void)command_print_json(program, json_pack("{s:s, s:s}", "error", usher_error_name(error), "message", message));
    fprintf(stderr, "%s: %s\n", program->name, message);
    return command_exit_code(error);
}

int command_print_json(const struct conf_program *program, json_t *object)
{
    if (object)
        (void)json_dumpf(object, stdout, COMMAND_JSON_FLAGS);
    putchar('\n');
    json_decref(object);
    return object ? command_flush(program) : EXIT_CODE_FAILED;
}

int command_flush(const struct conf_program *program)
{
    return conf_finish_output(program->name);
}
