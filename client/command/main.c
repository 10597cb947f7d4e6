/* usher - the client's command: where to go (ask), go there (run), where am I (where), and how much is enough (plan). */
#include "client/command/command.h"
#include "core/conf/suite.h"

struct command {
    const struct conf_program *program;
    int (*run)(int argc, char *const *argv);
};

static const struct command commands[] = {
    {&ask_program, ask_command},
    {&run_program, run_command},
    {&where_program, where_command},
    {&plan_program, plan_command},
};

static const struct conf_program *const programs[] = {&ask_program, &run_program, &where_program, &plan_program};

static const struct conf_suite suite = {
    .name = "usher",
    .summary = "asks dispatchers for nodes and runs jobs on them",
    .description =
        "A client of Usher, the lookaside load balancer. Dispatchers are given with --dispatchers or in the environment's "
        "USHER_DISPATCHERS; those that are not given are learned from these.",
    .man_section = 1,
    .commands = programs,
    .command_count = ARRAY_COUNT(programs),
};
_Static_assert(ARRAY_COUNT(programs) == ARRAY_COUNT(commands), "one program for each command, in the same order");

int main(int argc, char **argv)
{
    struct conf_error why;
    size_t index;
    conf_open_streams();
    int error = conf_suite_choose(&suite, argc, argv, &index, &why);
    if (error == CONF_PRINTED)
        return conf_finish_output(suite.name);
    if (error < 0)
        return conf_fail(suite.name, &why);
    return commands[index].run(argc - 1, argv + 1);
}
