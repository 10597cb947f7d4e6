/* command - what the commands of `usher` share: their options, a client made from them, and how they print.
 * Thread: the program's only one. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "client/include/usher/usher.h"
#include "core/base/exit_code.h"
#include "core/conf/conf.h"

struct common_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "client/command/common.def"
#undef OPTION
};

enum {
    COMMON_ROWS = 0
#define OPTION(...) +1
#include "client/command/common.def"
#undef OPTION
};
extern const struct conf_option common_rows[COMMON_ROWS];

/* The commands. Each gets its own arguments, argv[0] being its name, and returns the exit code. */
extern const struct conf_program ask_program;
extern const struct conf_program run_program;
extern const struct conf_program where_program;
extern const struct conf_program plan_program;
int ask_command(int argc, char *const *argv);
int run_command(int argc, char *const *argv);
int where_command(int argc, char *const *argv);
int plan_command(int argc, char *const *argv);

/* Reads the options. False: *ret_exit_code says how to end; what there was to say has been said. */
NODISCARD bool command_parse(const struct conf_program *program, int argc, char *const *argv, void *options, int *ret_exit_code);

/* A client with the common options; region failures and fault time as the library has them unless fault_time_ns > 0.
 * False: as command_parse. */
NODISCARD bool command_client(const struct conf_program *program, const struct common_options *options, uint64_t fault_time_ns,
                              struct usher_client **ret_client, int *ret_exit_code);

/* What the program ends with after this error. */
int command_exit_code(int error);

/* Says it on stderr, and with json as {"error", "message"} on stdout too; returns the exit code. */
int command_fail(const struct conf_program *program, bool json, int error, const char *message);

/* One line; reals to a precision that means something. */
#define COMMAND_JSON_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* Prints the object in one line, and frees it. Returns EXIT_CODE_OK, or EXIT_CODE_FAILED when stdout is gone,
 * which stderr tells. */
int command_print_json(const struct conf_program *program, json_t *object);

/* The same for what was printed by other means. */
int command_flush(const struct conf_program *program);
