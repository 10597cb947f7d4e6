/* command - what usher-sim's commands share: their options, and the scenario that these describe.
 * Thread: one. Memory: command_parse allocates what scenario_done and conf_done free. */
#pragma once

#include "core/conf/conf.h"
#include "tools/sim/policies.h"
#include "tools/sim/scenario.h"

struct scenario_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tools/sim/scenario.def"
#undef OPTION
};

enum {
    SCENARIO_ROWS = 0
#define OPTION(...) +1
#include "tools/sim/scenario.def"
#undef OPTION
};
extern const struct conf_option scenario_rows[SCENARIO_ROWS];

/* All but the nodes, the load and the jobs, which are the commands' own. -EINVAL with ret_error. */
NODISCARD int scenario_from_options(const struct scenario_options *options, struct scenario *ret_scenario,
                                    struct conf_error *ret_error);

#define POLICIES_CHOSEN_MAX 64u

struct chosen_policies {
    const struct sim_policy *item[POLICIES_CHOSEN_MAX];
    uint32_t count;
};

/* Names, or "all"; each counts once. -EINVAL with ret_error. */
NODISCARD int policies_from_names(const struct conf_texts *names, struct chosen_policies *ret_chosen,
                                  struct conf_error *ret_error);

/* One name. -EINVAL with ret_error. */
NODISCARD int policy_from_name(const char *name, const struct sim_policy **ret_policy, struct conf_error *ret_error);

extern const struct conf_program sim_run_program;
extern const struct conf_program sim_plan_program;

/* The exit code. */
int sim_run_command(int argc, char *const *argv);
int sim_plan_command(int argc, char *const *argv);
