/* usher-load - the load generator: how much a dispatcher can answer, and how fast. */
#include "bench/load/ask.h"
#include "bench/load/run.h"
#include "core/base/exit_code.h"
#include "core/conf/suite.h"

static const struct conf_program *const programs[] = {&load_ask_program, &load_run_program};

static int (*const commands[])(int argc, char *const *argv) = {load_ask_command, load_run_command}; /* in the same order */

static const struct conf_suite suite = {
    .name = "usher-load",
    .summary = "loads dispatchers and measures how they answer",
    .description = "A load generator with a closed loop (as fast as answers come) and an open loop (at a rate, whatever the "
                   "dispatcher does).",
    .man_section = 1,
    .commands = programs,
    .command_count = ARRAY_COUNT(programs),
};

int main(int argc, char **argv)
{
    struct conf_error why;
    size_t index;
    int error = conf_suite_choose(&suite, argc, argv, &index, &why);
    if (error == CONF_PRINTED)
        return EXIT_CODE_OK;
    if (error < 0)
        return conf_fail(suite.name, &why);
    return commands[index](argc - 1, argv + 1);
}
