#include "tools/sim/failure.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "core/base/errors.h"
#include "core/base/exit_code.h"

int sim_fail(const struct conf_program *program, bool json, int error, const struct conf_error *why)
{
    json_t *object = json ? json_pack("{s:s, s:s}", "error", error_name(error), "message", why->text) : NULL;
    if (object != NULL) {
        (void)json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    }
    (void)fflush(stdout); /* if that fails, it is said on stderr all the same */
    fprintf(stderr, "%s: %s\n", program->name, why->text);
    return error == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
}
