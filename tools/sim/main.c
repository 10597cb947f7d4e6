/* usher-sim - what placement policies make of a cluster, without a cluster. */
#include <string.h>

#include "tools/sim/command.h"

int main(int argc, char **argv)
{
    conf_open_streams();
    if (argc > 1 && strcmp(argv[1], "plan") == 0)
        return sim_plan_command(argc - 1, argv + 1);
    int exit_code = sim_run_command(argc, argv);
    /* The documents are made from the tables of both commands. */
    if (exit_code == 0 && argc == 2 && strcmp(argv[1], "--dump-docs=markdown") == 0)
        return sim_plan_command(argc, argv);
    return exit_code;
}
