#include "core/node/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/node/service_builtin.h"
#include "core/node/service_exec.h"
#include "core/wire/service.h"

#define EXEC_PREFIX "exec:"

static const struct {
    const char *name;
    service_function *function;
} builtin_services[] = {
#define SERVICE(name, function, parameters, help) {name, function},
#include "core/node/services.def"
#undef SERVICE
};

/* Where a command, which reaches to the end of the value, seems to go on with more services of a list: ",echo" or ",exec:…". */
static const char *service_swallowed(const char *command)
{
    for (const char *comma = strchr(command, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        size_t length = strcspn(comma + 1, ",");
        if (strncmp(comma + 1, EXEC_PREFIX, strlen(EXEC_PREFIX)) == 0)
            return comma;
        for (size_t i = 0; i < ARRAY_COUNT(builtin_services); i++)
            if (strlen(builtin_services[i].name) == length && memcmp(builtin_services[i].name, comma + 1, length) == 0)
                return comma;
    }
    return NULL;
}

static int parse_exec(const char *item, struct service *ret_service, struct conf_error *ret_error)
{
    const char *name = item + strlen(EXEC_PREFIX);
    const char *equals = strchr(name, '=');
    if (equals == NULL || equals[1] == '\0') {
        conf_error_set(ret_error, "--services: %s has no command: write exec:NAME=COMMAND", item);
        return -EINVAL;
    }
    size_t length = (size_t)(equals - name);
    if (!service_name_valid(name, length)) {
        conf_error_set(ret_error, "--services: the name in %s must be 1 to %u characters of A-Z, a-z, 0-9, '.', '_' and '-'",
                       item, SERVICE_NAME_BYTES_MAX);
        return -EINVAL;
    }
    const char *swallowed = service_swallowed(equals + 1);
    if (swallowed != NULL) {
        conf_error_set(ret_error,
                       "--services: \"%.40s\" in %.200s would be part of the command: give --services once for each, or a "
                       "space behind the comma",
                       swallowed, item);
        return -EINVAL;
    }
    struct service service = {.function = service_exec, .command = equals + 1};
    memcpy(service.name, name, length);
    *ret_service = service;
    return 0;
}

static int parse_item(const char *item, struct service *ret_service, struct conf_error *ret_error)
{
    if (strncmp(item, EXEC_PREFIX, strlen(EXEC_PREFIX)) == 0)
        return parse_exec(item, ret_service, ret_error);
    for (size_t i = 0; i < ARRAY_COUNT(builtin_services); i++) {
        if (strcmp(item, builtin_services[i].name) != 0)
            continue;
        struct service service = {.function = builtin_services[i].function};
        snprintf(service.name, sizeof(service.name), "%s", item);
        *ret_service = service;
        return 0;
    }
    conf_error_set(ret_error, "--services: there is no service %s: use echo, sleep, spin, digest, blob or exec:NAME=COMMAND",
                   item);
    return -EINVAL;
}

int service_set_parse(const struct conf_texts *items, struct service_set *ret_set, struct conf_error *ret_error)
{
    struct service_set set = {.count = 0};
    if (items->count > NODE_SERVICES_MAX) {
        conf_error_set(ret_error, "--services: %u services, but a node offers %u at most", items->count, NODE_SERVICES_MAX);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < items->count; i++) {
        struct service *service = &set.items[set.count];
        int r = parse_item(items->item[i], service, ret_error);
        if (r < 0)
            return r;
        service->id = service_id(service->name, strlen(service->name));
        uint32_t same = service_set_find(&set, service->id);
        if (same != NODE_SERVICES_MAX) {
            conf_error_set(ret_error, "--services: %s and %s are the same service, or have the same ID: rename or drop one",
                           set.items[same].name, service->name);
            return -EINVAL;
        }
        set.count++;
    }
    *ret_set = set;
    return 0;
}

uint32_t service_set_find(const struct service_set *set, uint64_t id)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].id == id)
            return i;
    return NODE_SERVICES_MAX;
}
