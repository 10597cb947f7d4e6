/* exit_code - what every program's exit status means, the same for daemons and commands.
 * Thread: any. */
#pragma once

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2, /* an option, a configuration file or a command is wrong */
    EXIT_CODE_UNREACHABLE = 3, /* nobody answered */
    EXIT_CODE_NO_NODE = 4, /* no eligible node */
};
