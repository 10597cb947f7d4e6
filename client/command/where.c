#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/command/command.h"

static const struct conf_table where_tables[] = {
    {.title = "Options", .rows = common_rows, .row_count = COMMON_ROWS, .offset = 0},
};

const struct conf_program where_program = {
    .name = "usher where",
    .summary = "says to which region this client belongs, and which dispatchers there are",
    .description = "The region follows from the client's IP (--bind) and the table of client ranges that the dispatchers have.",
    .man_section = 1,
    .options_bytes = sizeof(struct common_options),
    .tables = where_tables,
    .table_count = ARRAY_COUNT(where_tables),
};

static json_t *where_to_json(const struct usher_client *client, const struct usher_answer *answer,
                             const struct usher_dispatcher *dispatchers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:i, s:b, s:b}", "address", dispatchers[i].address, "region",
                                              dispatchers[i].region, "faulty", dispatchers[i].faulty, "learned",
                                              dispatchers[i].learned));
    return json_pack("{s:i, s:s, s:i, s:o, s:I, s:I}", "region", usher_client_region(client), "dispatcher", answer->dispatcher,
                     "dispatcher_region", answer->region, "dispatchers", list, "attempts", (json_int_t)answer->attempts,
                     "elapsed_us", (json_int_t)answer->elapsed_us);
}

static int where_print(const struct usher_client *client, const struct usher_answer *answer,
                       const struct usher_dispatcher *dispatchers, size_t count)
{
    printf("region %u, says %s of region %u\n", usher_client_region(client), answer->dispatcher, answer->region);
    for (size_t i = 0; i < count; i++) {
        const struct usher_dispatcher *dispatcher = &dispatchers[i];
        char region[16] = "unknown";
        if (dispatcher->region)
            snprintf(region, sizeof(region), "%u", dispatcher->region);
        printf("dispatcher %-21s region %s%s%s\n", dispatcher->address, region, dispatcher->learned ? ", learned" : "",
               dispatcher->faulty ? ", does not answer" : "");
    }
    return command_flush(&where_program);
}

static int where_ask(const struct common_options *options, struct usher_client *client)
{
    struct usher_answer answer;
    if (usher_locate(client, &answer) < 0)
        return command_fail(&where_program, options->json, answer.error, answer.message);
    size_t count = usher_client_dispatchers(client, NULL, 0);
    struct usher_dispatcher *dispatchers = calloc(count ? count : 1, sizeof(*dispatchers));
    if (!dispatchers)
        return command_fail(&where_program, options->json, -ENOMEM, "out of memory");
    usher_client_dispatchers(client, dispatchers, count);
    int exit_code = options->json ? command_print_json(&where_program, where_to_json(client, &answer, dispatchers, count))
                                  : where_print(client, &answer, dispatchers, count);
    free(dispatchers);
    return exit_code;
}

int where_command(int argc, char *const *argv)
{
    struct common_options options;
    struct usher_client *client;
    int exit_code;
    if (!command_parse(&where_program, argc, argv, &options, &exit_code))
        return exit_code;
    if (command_client(&where_program, &options, 0, &client, &exit_code)) {
        exit_code = where_ask(&options, client);
        usher_client_free(client);
    }
    conf_done(&where_program, &options);
    return exit_code;
}
