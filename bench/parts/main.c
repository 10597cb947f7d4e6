/* bench-micro - the parts of the address path, each by itself, in nanoseconds: queues, picks, codec, and all of them in a row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/parts/micro.h"
#include "bench/parts/report.h"
#include "core/base/clock.h"
#include "core/base/exit_code.h"
#include "core/conf/conf.h"

#define ROUNDS 15u
#define ROUNDS_QUICK 5u
#define SAMPLE_NS (10 * NS_PER_MS)
#define SAMPLE_QUICK_NS (NS_PER_MS / 2)

struct micro_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/parts/micro.def"
#undef OPTION
};

static const struct conf_option micro_rows[] = {
#define OPTION(...) CONF_ROW(struct micro_options, __VA_ARGS__)
#include "bench/parts/micro.def"
#undef OPTION
};

static const struct conf_table micro_tables[] = {{.title = "Options", .rows = micro_rows, .row_count = ARRAY_COUNT(micro_rows)}};

static const struct conf_program micro_program = {
    .name = "bench-micro",
    .summary = "measures the parts of the address path, each by itself",
    .description =
        "What is compared is measured alternately, and a ratio is taken within a round, so that it does not matter how fast the "
        "machine is just then. A figure is the median over the rounds; beside it stands what the middle half of them lies "
        "between. "
        "Queues are compared with those of Concurrency Kit where its header was there when this was built, and their order is "
        "checked all the while.\n"
        "\n"
        "Give it two CPUs that nothing else uses.",
    .man_section = 1,
    .options_bytes = sizeof(struct micro_options),
    .tables = micro_tables,
    .table_count = ARRAY_COUNT(micro_tables),
};

static const struct {
    const char *name;
    int (*run)(struct micro *micro);
} groups[] = {
    {"spsc", micro_spsc}, {"mpmc", micro_mpmc},           {"pick", micro_pick},         {"codec", micro_codec},
    {"path", micro_path}, {"histogram", micro_histogram}, {"snapshot", micro_snapshot},
};

static bool group_wanted(const struct conf_texts *only, const char *name)
{
    for (uint32_t i = 0; i < only->count; i++)
        if (strcmp(only->item[i], name) == 0)
            return true;
    return only->count == 0;
}

static int groups_run(struct micro *micro, const struct micro_options *options)
{
    int error = 0;
    for (size_t i = 0; i < ARRAY_COUNT(groups) && error == 0; i++) {
        if (!group_wanted(&options->only, groups[i].name))
            continue;
        micro->group = groups[i].name;
        error = groups[i].run(micro);
    }
    return error;
}

static void json_print(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(json);
}

static int micro_run(const struct micro_options *options)
{
    struct micro micro;
    uint32_t rounds = options->rounds ? options->rounds : options->quick ? ROUNDS_QUICK : ROUNDS;
    micro_init(&micro, rounds, options->quick ? SAMPLE_QUICK_NS : SAMPLE_NS);
    int error = groups_run(&micro, options);
    if (error < 0 && options->json)
        json_print(json_pack("{s:s}", "error", micro.why));
    else if (error < 0)
        (void)fprintf(stderr, "%s: %s\n", micro_program.name, micro.why);
    else if (options->json)
        json_print(report_json(&micro));
    else
        report_print(&micro);
    micro_done(&micro);
    return error < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
    struct micro_options options;
    struct conf_error why;
    conf_open_streams();
    int error = conf_parse(&micro_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return conf_finish_output(micro_program.name);
    if (error < 0)
        return conf_fail(micro_program.name, &why);
    int exit_code = micro_run(&options);
    conf_done(&micro_program, &options);
    return exit_code;
}
