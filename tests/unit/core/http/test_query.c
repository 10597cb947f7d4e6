/* query - the parameters behind a path's question mark. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/http/query.h"

static const char *const names[] = {"instance", "force", NULL};
static const char *const none[] = {NULL};
static char name[HTTP_QUERY_NAME_BYTES_MAX + 1];
static char value[HTTP_QUERY_VALUE_BYTES_MAX + 1];

Test(query, unknown_name_is_named)
{
    cr_expect_eq(http_query_check("force=true&colour=blue", names, name), -ENOENT);
    cr_expect_str_eq(name, "colour");
    cr_expect_eq(http_query_check("instances=1", names, name), -ENOENT);
    cr_expect_eq(http_query_check("=1", names, name), -ENOENT);
    cr_expect_str_eq(name, "");
    cr_expect_eq(http_query_check("force", none, name), -ENOENT);
}

Test(query, name_that_is_too_long_is_cut)
{
    char query[200];
    memset(query, 'x', sizeof(query) - 1);
    query[sizeof(query) - 1] = '\0';
    cr_expect_eq(http_query_check(query, names, name), -ENOENT);
    cr_expect_eq(strlen(name), HTTP_QUERY_NAME_BYTES_MAX);
}

Test(query, name_that_comes_twice_is_named)
{
    cr_expect_eq(http_query_check("force=1&instance=a&force=0", names, name), -EEXIST);
    cr_expect_str_eq(name, "force");
}

Test(query, broken_escape_is_refused)
{
    cr_expect_eq(http_query_get("instance=%4", "instance", value), -EINVAL);
    cr_expect_eq(http_query_get("instance=%00", "instance", value), -EINVAL);
}

Test(query, parameter_that_is_not_there_is_not_found)
{
    cr_expect_eq(http_query_get("instances=1&i=2", "instance", value), -ENOENT);
    cr_expect_eq(http_query_get("", "instance", value), -ENOENT);
}

Test(query, known_names_are_taken)
{
    cr_expect_eq(http_query_check("", none, name), 0);
    cr_expect_eq(http_query_check("&&", none, name), 0);
    cr_expect_eq(http_query_check("instance=a%20b&force&", names, name), 0);
}

Test(query, value_is_decoded)
{
    cr_expect_eq(http_query_get("force=1&instance=a%2Fb+c&x", "instance", value), 0);
    cr_expect_str_eq(value, "a/b c");
    cr_expect_eq(http_query_get("force&instance=a", "force", value), 0);
    cr_expect_str_eq(value, "", "named and nothing more");
}
