#include "core/node/attach_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/wire/service.h"

#define SCHEME "http://"
#define METRIC_PREFIX "metric:"

static int refuse(struct conf_error *ret_error, const char *item, const char *what)
{
    char shown[200];
    snprintf(shown, sizeof(shown), "%s", item);
    for (char *at = shown; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = '?'; /* errors are one line */
    conf_error_set(ret_error, "--attach: \"%s\": %s", shown, what);
    return -EINVAL;
}

/* Goes into a request line as it is. */
static bool path_is_valid(const char *path)
{
    size_t length = strlen(path);
    if (length == 0 || length > ATTACH_PATH_BYTES_MAX || path[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++)
        if (path[i] <= ' ' || path[i] >= 0x7f)
            return false;
    return true;
}

static int target_parse(const char *item, struct attach_target *ret_target, struct conf_error *ret_error)
{
    struct attach_target target = {.path = ""};
    const char *equals = strchr(item, '=');
    if (equals == NULL)
        return refuse(ret_error, item, "write NAME=IP:PORT or NAME=http://IP:PORT/PATH");
    size_t name_length = (size_t)(equals - item);
    if (!service_name_valid(item, name_length))
        return refuse(ret_error, item, "the name before = must be 1 to 63 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
    memcpy(target.name, item, name_length);
    const char *where = equals + 1;
    bool http = strncmp(where, SCHEME, strlen(SCHEME)) == 0;
    if (!http && strstr(where, "://") != NULL)
        return refuse(ret_error, item, "checks speak http:// only; IP:PORT alone checks by a TCP connect");
    where += http ? strlen(SCHEME) : 0;
    size_t address_length = http ? strcspn(where, "/?#") : strlen(where);
    char text[ADDRESS_TEXT_BYTES];
    snprintf(text, sizeof(text), "%.*s", (int)address_length, where);
    if (address_length >= sizeof(text) || address_parse(text, &target.address) < 0)
        return refuse(ret_error, item, "the server's address must be IP:PORT or [IP6]:PORT (numbers, not names)");
    const char *flaw = address_flaw(&target.address);
    if (flaw) {
        char what[120];
        snprintf(what, sizeof(what), "this is no address that clients can reach (%s): give the server's IP and port", flaw);
        return refuse(ret_error, item, what);
    }
    if (http) {
        const char *path = where[address_length] == '\0' ? "/" : where + address_length;
        if (!path_is_valid(path))
            return refuse(ret_error, item,
                          "behind the port comes a path of 1 to 255 characters that begins with / and has no blanks");
        snprintf(target.path, sizeof(target.path), "%s", path);
    }
    *ret_target = target;
    return 0;
}

static int target_add(struct attach_config *config, const char *item, struct conf_error *ret_error)
{
    struct attach_target target;
    uint32_t on_address = 0;
    int r = target_parse(item, &target, ret_error);
    if (r < 0)
        return r;
    if (config->count == ATTACHED_MAX) {
        conf_error_set(ret_error, "--attach: more than %u services: spread them over several workers", ATTACHED_MAX);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < config->count; i++) {
        const struct attach_target *other = &config->targets[i];
        if (!address_equal(&other->address, &target.address))
            continue;
        if (strcmp(other->name, target.name) == 0)
            return refuse(ret_error, item, "this service is given twice on this address");
        on_address++;
    }
    if (on_address == NODE_SERVICES_MAX)
        return refuse(ret_error, item, "one address can offer 16 services at most");
    config->targets[config->count++] = target;
    return 0;
}

static int metric_parse(const char *load, struct attach_metric *ret_metric, struct conf_error *ret_error)
{
    struct attach_metric metric = {.port = 0};
    const char *at = load + strlen(METRIC_PREFIX);
    const char *hash = strchr(at, '#');
    if (*at == ':') {
        uint32_t port = 0;
        for (at++; *at >= '0' && *at <= '9' && port <= UINT16_MAX; at++)
            port = 10 * port + (uint32_t)(*at - '0');
        if (port == 0 || port > UINT16_MAX) {
            conf_error_set(ret_error, "--attach-load: \"%.200s\": the port behind metric: must be 1 to 65535", load);
            return -EINVAL;
        }
        metric.port = (uint16_t)port;
    }
    if (*at != '/' || hash == NULL || hash[1] == '\0') {
        conf_error_set(
            ret_error,
            "--attach-load: \"%.200s\": write metric:/PATH#NAME, or metric::PORT/PATH#NAME when the page is on another "
            "port, such as metric:/metrics#http_requests_in_flight",
            load);
        return -EINVAL;
    }
    snprintf(metric.path, sizeof(metric.path), "%.*s", (int)(hash - at), at);
    if ((size_t)(hash - at) > ATTACH_PATH_BYTES_MAX || !path_is_valid(metric.path) ||
        strlen(hash + 1) > ATTACH_METRIC_BYTES_MAX) {
        conf_error_set(ret_error,
                       "--attach-load: \"%.200s\": the path must have 1 to %u characters and no blanks, the name at most %u",
                       load, ATTACH_PATH_BYTES_MAX, ATTACH_METRIC_BYTES_MAX);
        return -EINVAL;
    }
    snprintf(metric.name, sizeof(metric.name), "%s", hash + 1);
    *ret_metric = metric;
    return 0;
}

static int load_parse(const char *load, struct attach_config *config, struct conf_error *ret_error)
{
    if (strncmp(load, METRIC_PREFIX, strlen(METRIC_PREFIX)) == 0) {
        config->load = ATTACH_LOAD_METRIC;
        return metric_parse(load, &config->metric, ret_error);
    }
    config->load = strcmp(load, "host") == 0          ? ATTACH_LOAD_HOST
                   : strcmp(load, "connections") == 0 ? ATTACH_LOAD_CONNECTIONS
                                                      : ATTACH_LOAD_NONE;
    return 0;
}

bool attach_address_is_local(const struct address *address)
{
    struct sockaddr_storage name;
    struct address ip = *address;
    ip.port = 0;
    socklen_t length = address_to_socket(&ip, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool local = bind(fd, (const struct sockaddr *)&name, length) == 0;
    close(fd);
    return local;
}

/* What is read from /proc is this machine's. */
static int locality_check(const struct attach_config *config, const char *load, struct conf_error *ret_error)
{
    if (config->load == ATTACH_LOAD_METRIC || config->load == ATTACH_LOAD_NONE)
        return 0;
    for (uint32_t i = 0; i < config->count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        if (attach_address_is_local(&config->targets[i].address))
            continue;
        conf_error_set(
            ret_error,
            "--attach: %s is on another machine, whose load (--attach-load %s) cannot be read here: run usher-worker there, or "
            "take --attach-load metric:/PATH#NAME or none",
            address_format(&config->targets[i].address, text), load);
        return -EINVAL;
    }
    return 0;
}

int attach_config_parse(const struct conf_texts *items, const char *load, struct attach_config *ret_config,
                        struct conf_error *ret_error)
{
    struct attach_config config = {.count = 0};
    int r = load_parse(load, &config, ret_error);
    for (uint32_t i = 0; i < items->count && r == 0; i++)
        r = target_add(&config, items->item[i], ret_error);
    if (r == 0)
        r = locality_check(&config, load, ret_error);
    if (r < 0)
        return r;
    *ret_config = config;
    return 0;
}

int attach_config_check_own(const struct attach_config *config, const struct address *own, struct conf_error *ret_error)
{
    for (uint32_t i = 0; i < config->count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        if (!address_equal(&config->targets[i].address, own))
            continue;
        conf_error_set(ret_error, "--attach: %s is this node's own address (--listen, --advertise): give the server's",
                       address_format(own, text));
        return -EINVAL;
    }
    return 0;
}

/* It ends right behind a good check, and from then on every check takes its whole time. */
uint64_t attach_config_worst_ns(const struct attach_config *config)
{
    uint64_t step_ns = config->interval_ns > config->timeout_ns ? config->interval_ns : config->timeout_ns;
    return config->fall * step_ns + config->timeout_ns;
}
