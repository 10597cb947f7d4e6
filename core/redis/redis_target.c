#include "core/redis/redis_target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/macros.h"

/* What follows the prefix, or NULL. */
static const char *text_after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static int host_parse(const char *text, struct address *ret_address)
{
    char local[32];
    const char *port = text_after(text, "localhost:");
    if (port && strlen(port) < 6) {
        snprintf(local, sizeof(local), "127.0.0.1:%s", port);
        text = local;
    }
    struct address address;
    int error = address_parse(text, &address);
    if (error == 0 && address.port == 0)
        error = -EINVAL;
    if (error == 0)
        *ret_address = address;
    return error;
}

int redis_target_parse(const char *text, struct redis_target *ret_target)
{
    struct redis_target target = {.kind = REDIS_TARGET_EMBEDDED};
    const char *path = text_after(text, "unix:");
    const char *host = text_after(text, "tcp:");
    if (text_after(text, "sentinel:"))
        return -ENOSYS;
    if (path) {
        target.kind = REDIS_TARGET_UNIX;
        if (path[0] == '\0')
            return -EINVAL;
        if (strlen(path) >= sizeof(target.path))
            return -ENAMETOOLONG;
        memcpy(target.path, path, strlen(path));
    } else if (host) {
        target.kind = REDIS_TARGET_TCP;
        if (host_parse(host, &target.address) < 0)
            return -EINVAL;
    } else if (strcmp(text, "embedded") != 0) {
        return -EINVAL;
    }
    *ret_target = target;
    return 0;
}

const char *redis_target_format(const struct redis_target *target, char text[static REDIS_TARGET_TEXT_BYTES])
{
    char address[ADDRESS_TEXT_BYTES];
    switch (target->kind) {
    case REDIS_TARGET_EMBEDDED: snprintf(text, REDIS_TARGET_TEXT_BYTES, "embedded"); break;
    case REDIS_TARGET_UNIX: snprintf(text, REDIS_TARGET_TEXT_BYTES, "unix:%s", target->path); break;
    case REDIS_TARGET_TCP: snprintf(text, REDIS_TARGET_TEXT_BYTES, "tcp:%s", address_format(&target->address, address)); break;
    }
    return text;
}
