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
    if (error == 0 && address_flaw(&address))
        error = -EINVAL;
    if (error == 0)
        *ret_address = address;
    return error;
}

static bool name_is_sound(const char *name, size_t length)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    return length > 0 && length <= REDIS_NAME_BYTES_MAX && strspn(name, allowed) == length;
}

/* NAME@HOST:PORT,HOST:PORT… */
static int sentinels_parse(const char *text, struct redis_target *target)
{
    size_t name_length = strcspn(text, "@");
    const char *at = text + name_length;
    if (*at != '@' || !name_is_sound(text, name_length))
        return -EINVAL;
    memcpy(target->name, text, name_length);
    while (*at) {
        char one[ADDRESS_TEXT_BYTES];
        const char *from = at + 1;
        size_t length = strcspn(from, ",");
        if (length >= sizeof(one) || target->sentinel_count == REDIS_SENTINELS_MAX)
            return -EINVAL;
        memcpy(one, from, length);
        one[length] = '\0';
        if (host_parse(one, &target->sentinels[target->sentinel_count++]) < 0)
            return -EINVAL;
        at = from + length;
    }
    target->kind = REDIS_TARGET_SENTINEL;
    return 0;
}

int redis_target_parse(const char *text, struct redis_target *ret_target)
{
    struct redis_target target = {
        .kind = REDIS_TARGET_EMBEDDED,
        .login.option = "redis",
        .sentinel_login.option = "sentinel",
    };
    const char *path = text_after(text, "unix:");
    const char *host = text_after(text, "tcp:");
    const char *sentinels = text_after(text, "sentinel:");
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
    } else if (sentinels) {
        if (sentinels_parse(sentinels, &target) < 0)
            return -EINVAL;
    } else if (strcmp(text, "embedded") != 0) {
        return -EINVAL;
    }
    *ret_target = target;
    return 0;
}

static void sentinels_format(const struct redis_target *target, char text[static REDIS_TARGET_TEXT_BYTES])
{
    char address[ADDRESS_TEXT_BYTES];
    int length = snprintf(text, REDIS_TARGET_TEXT_BYTES, "sentinel:%s", target->name);
    for (uint32_t i = 0; i < target->sentinel_count && length < REDIS_TARGET_TEXT_BYTES; i++)
        length += snprintf(text + length, REDIS_TARGET_TEXT_BYTES - (size_t)length, "%s%s", i == 0 ? "@" : ",",
                           address_format(&target->sentinels[i], address));
}

const char *redis_target_format(const struct redis_target *target, char text[static REDIS_TARGET_TEXT_BYTES])
{
    char address[ADDRESS_TEXT_BYTES];
    switch (target->kind) {
    case REDIS_TARGET_EMBEDDED: snprintf(text, REDIS_TARGET_TEXT_BYTES, "embedded"); break;
    case REDIS_TARGET_UNIX: snprintf(text, REDIS_TARGET_TEXT_BYTES, "unix:%s", target->path); break;
    case REDIS_TARGET_TCP: snprintf(text, REDIS_TARGET_TEXT_BYTES, "tcp:%s", address_format(&target->address, address)); break;
    case REDIS_TARGET_SENTINEL: sentinels_format(target, text); break;
    }
    return text;
}
