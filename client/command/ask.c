#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/command/command.h"

struct ask_options {
    struct common_options common;
    struct ask_own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "client/command/ask.def"
#undef OPTION
    } own;
};

static const struct conf_option ask_rows[] = {
#define OPTION(...) CONF_ROW(struct ask_own_options, __VA_ARGS__)
#include "client/command/ask.def"
#undef OPTION
};

static const struct conf_table ask_tables[] = {
    {.title = "Options", .rows = ask_rows, .row_count = ARRAY_COUNT(ask_rows), .offset = offsetof(struct ask_options, own)},
    {.title = "Whom to ask, and how",
     .rows = common_rows,
     .row_count = COMMON_ROWS,
     .offset = offsetof(struct ask_options, common)},
};

const struct conf_program ask_program = {
    .name = "usher ask",
    .summary = "asks a dispatcher which nodes should be used",
    .description =
        "Prints the address of each node on a line of its own. Ends with 3 when no dispatcher answers, and with 4 when no "
        "eligible node offers the service.",
    .man_section = 1,
    .options_bytes = sizeof(struct ask_options),
    .tables = ask_tables,
    .table_count = ARRAY_COUNT(ask_tables),
};

static json_t *ask_to_json(const struct usher_answer *answer)
{
    json_t *addresses = json_array();
    for (uint32_t i = 0; i < answer->node_count; i++) {
        const struct usher_node *node = &answer->nodes[i];
        json_array_append_new(addresses,
                              json_pack("{s:s, s:b, s:b, s:b, s:i}", "address", node->address, "dispatcher", node->dispatcher,
                                        "attached", node->no_echo, "last", node->last, "region", answer->region));
    }
    return json_pack("{s:o, s:s, s:i, s:I, s:I}", "addresses", addresses, "dispatcher", answer->dispatcher, "region",
                     answer->region, "attempts", (json_int_t)answer->attempts, "elapsed_us", (json_int_t)answer->elapsed_us);
}

static int ask_print(const struct ask_options *options, const struct usher_answer *answer)
{
    if (answer->error < 0)
        return command_fail(&ask_program, options->common.json, answer->error, answer->message);
    if (options->common.json)
        return command_print_json(&ask_program, ask_to_json(answer));
    for (uint32_t i = 0; i < answer->node_count; i++)
        puts(answer->nodes[i].address);
    return command_flush(&ask_program);
}

/* The address texts stay in `texts`. */
static uint32_t ask_excludes(const struct conf_addresses *excludes, char texts[][ADDRESS_TEXT_BYTES], const char **ret_excludes)
{
    uint32_t count = 0;
    for (; count < excludes->count && count < USHER_ADDRESSES_MAX; count++)
        ret_excludes[count] = address_format(&excludes->item[count], texts[count]);
    return count;
}

static int ask_nodes(const struct ask_options *options)
{
    char texts[USHER_ADDRESSES_MAX][ADDRESS_TEXT_BYTES];
    const char *excludes[USHER_ADDRESSES_MAX];
    struct usher_client *client;
    struct usher_answer answer;
    char message[USHER_MESSAGE_BYTES];
    int exit_code;
    if (options->own.exclude.count > USHER_ADDRESSES_MAX) {
        snprintf(message, sizeof(message), "--exclude: %u nodes are too many; give %d at most", options->own.exclude.count,
                 USHER_ADDRESSES_MAX);
        return command_fail(&ask_program, options->common.json, -EINVAL, message);
    }
    struct usher_ask ask = {
        .service = options->own.service,
        .count = options->own.count,
        .excludes = excludes,
        .exclude_count = ask_excludes(&options->own.exclude, texts, excludes),
    };
    if (!command_client(&ask_program, &options->common, 0, &client, &exit_code))
        return exit_code;
    (void)usher_ask(client, &ask, &answer);
    exit_code = ask_print(options, &answer);
    usher_client_free(client);
    return exit_code;
}

int ask_command(int argc, char *const *argv)
{
    struct ask_options options;
    int exit_code;
    if (!command_parse(&ask_program, argc, argv, &options, &exit_code))
        return exit_code;
    exit_code = ask_nodes(&options);
    conf_done(&ask_program, &options);
    return exit_code;
}
