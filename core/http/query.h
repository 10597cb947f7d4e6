/* query - percent-encoding and the parameters behind a path's question mark (RFC 3986). Pure.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include <stddef.h>

#include "core/base/macros.h"

#define HTTP_QUERY_VALUE_BYTES_MAX 255

/* Decodes %XX; writes a NUL-terminated text. -EINVAL: a broken escape or a NUL. -ENOSPC: too long. */
NODISCARD int http_query_decode(const char *text, size_t length, char *ret_text, size_t capacity);

/* The first parameter of that name, decoded; + is a space; "" where no = follows it. -ENOENT: there is none. -EINVAL, -ENOSPC as above. */
NODISCARD int http_query_get(const char *query, const char *name, char ret_value[static HTTP_QUERY_VALUE_BYTES_MAX + 1]);

#define HTTP_QUERY_NAME_BYTES_MAX 63

/* Whether every parameter's name is one of these, and comes once. names ends in NULL. -ENOENT: one is none of them; -EEXIST: one comes
 * twice; ret_name: which, as sent, cut if need be. */
NODISCARD int http_query_check(const char *query, const char *const names[], char ret_name[static HTTP_QUERY_NAME_BYTES_MAX + 1]);
