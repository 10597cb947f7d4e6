#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "usher: bug: check failed: %s (%s:%d). Please report this line.\n", expression, file, line);
    abort();
}
