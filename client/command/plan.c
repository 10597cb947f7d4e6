#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "client/command/command.h"
#include "client/command/plan_rates.h"

struct plan_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "client/command/plan.def"
#undef OPTION
};

static const struct conf_option plan_rows[] = {
#define OPTION(...) CONF_ROW(struct plan_options, __VA_ARGS__)
#include "client/command/plan.def"
#undef OPTION
};

static const struct conf_table plan_tables[] = {{.title = "Options", .rows = plan_rows, .row_count = ARRAY_COUNT(plan_rows)}};

const struct conf_program plan_program = {
    .name = "usher plan",
    .summary = "says how many requests each dispatcher gets from so many clients, and what that costs",
    .description =
        "Sends nothing. The rate is clients / (dispatchers x interval); with --per-core also the share of a core that it "
        "takes, and how many clients one core could serve.",
    .man_section = 1,
    .options_bytes = sizeof(struct plan_options),
    .tables = plan_tables,
    .table_count = ARRAY_COUNT(plan_tables),
};

static json_t *plan_to_json(const struct plan_options *options, const struct plan_rates *rates)
{
    json_t *plan = json_pack("{s:I, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "clients", (json_int_t)options->clients, "every_s_min",
                             (double)options->every.min_ns / 1e9, "every_s_max", (double)options->every.max_ns / 1e9,
                             "dispatchers", (json_int_t)options->dispatchers, "rps_per_dispatcher_min", rates->rate_min,
                             "rps_per_dispatcher_max", rates->rate_max, "rps_total_min", rates->rate_min * options->dispatchers,
                             "rps_total_max", rates->rate_max * options->dispatchers);
    if (plan && options->per_core > 0) {
        json_object_set_new(plan, "per_core_rps", json_real(options->per_core));
        json_object_set_new(plan, "core_share_min", json_real(rates->core_min));
        json_object_set_new(plan, "core_share_max", json_real(rates->core_max));
        json_object_set_new(plan, "clients_per_core", json_real(rates->clients_per_core));
    }
    return plan;
}

#define RATE_TEXT_BYTES 32

/* Two decimals, or more where these would say nothing. */
static const char *rate_format(double rate, char text[static RATE_TEXT_BYTES])
{
    snprintf(text, RATE_TEXT_BYTES, rate >= 0.1 ? "%.2f" : "%.3g", rate);
    return text;
}

static int plan_print(const struct plan_options *options, const struct plan_rates *rates)
{
    char shortest[DURATION_TEXT_BYTES], longest[DURATION_TEXT_BYTES];
    char low[RATE_TEXT_BYTES], high[RATE_TEXT_BYTES], all_low[RATE_TEXT_BYTES], all_high[RATE_TEXT_BYTES];
    printf("%" PRIu64 " client%s every %s..%s over %u dispatcher%s:\n", options->clients,
           options->clients == 1 ? " that asks" : "s that ask", duration_format(options->every.min_ns, shortest),
           duration_format(options->every.max_ns, longest), options->dispatchers, options->dispatchers == 1 ? "" : "s");
    printf("  %s to %s requests per second and dispatcher, %s to %s in all\n", rate_format(rates->rate_min, low),
           rate_format(rates->rate_max, high), rate_format(rates->rate_min * options->dispatchers, all_low),
           rate_format(rates->rate_max * options->dispatchers, all_high));
    if (options->per_core > 0) {
        printf("  %s %% to %s %% of one core of each dispatcher, at %.0f requests per second and core\n",
               rate_format(rates->core_min * 100, low), rate_format(rates->core_max * 100, high), options->per_core);
        printf("  one core serves %.0f such clients\n", rates->clients_per_core);
    } else {
        printf("  what share of a core that is: measure one with usher-load ask --rate max and give it as --per-core\n");
    }
    return command_flush(&plan_program);
}

int plan_command(int argc, char *const *argv)
{
    struct plan_options options;
    int exit_code;
    if (!command_parse(&plan_program, argc, argv, &options, &exit_code))
        return exit_code;
    if (options.per_core > 0 && options.per_core < 1) {
        exit_code = command_fail(&plan_program, options.json, -EINVAL,
                                 "--per-core: give at least 1 request per second, or 0 when it is not known");
        conf_done(&plan_program, &options);
        return exit_code;
    }
    struct plan_rates rates = plan_rates_of(options.clients, options.every, options.dispatchers, options.per_core);
    exit_code = options.json ? command_print_json(&plan_program, plan_to_json(&options, &rates)) : plan_print(&options, &rates);
    conf_done(&plan_program, &options);
    return exit_code;
}
