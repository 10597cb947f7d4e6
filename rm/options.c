#include "rm/options.h"

#include <errno.h>
#include <string.h>

#include "rm/regions.h"
#include "rm/weights.h"

static const struct conf_option own_rows[] = {
#define OPTION(...) CONF_ROW(struct rm_own_options, __VA_ARGS__)
#include "rm/options.def"
#undef OPTION
};

static const struct conf_table tables[] = {
    {
        .title = "Resource manager options",
        .rows = own_rows,
        .row_count = ARRAY_COUNT(own_rows),
        .offset = offsetof(struct rm_options, own),
    },
    {DAEMON_TABLE(struct rm_options, daemon)},
};

const struct conf_program rm_conf = {
    .name = "usher-rm",
    .summary = "knows which nodes of a region are alive, and tells its dispatchers",
    .description = "Takes the heartbeats of all dispatchers and workers of a region, decides who is alive and who is loaded "
                   "below average, and "
                   "keeps the dispatchers' directories up to date. Several may run in a region; none is a leader.\n\n"
                   "What it knows is mirrored to Redis, from which it starts again after a restart. Nobody waits for Redis: when "
                   "it is gone, "
                   "all goes on. When rm itself is gone, dispatchers serve the last directory they got.",
    .man_section = 8,
    .options_bytes = sizeof(struct rm_options),
    .tables = tables,
    .table_count = ARRAY_COUNT(tables),
};

/* The options that say as whom: --PREFIX-user and --PREFIX-password-file. `usable`: there is somebody to say it to. */
static int login_take(const char *user, const char *file, bool usable, const char *where, struct redis_login *login,
                      struct conf_error *ret_error)
{
    char password[REDIS_PASSWORD_BYTES_MAX + 1];
    char reason[REDIS_LOGIN_REASON_BYTES];
    int error = -EINVAL;
    if (!user && !file)
        return 0;
    if (!usable)
        conf_error_set(ret_error, "--%s-%s: there is nobody to say it to with --redis %s; leave it out", login->option,
                       file ? "password-file" : "user", where);
    else if (!file)
        conf_error_set(ret_error, "--%s-user %.70s: the password is missing: give --%s-password-file", login->option, user,
                       login->option);
    else if (user && !redis_user_valid(user))
        conf_error_set(ret_error, "--%s-user: \"%.70s\" is no user: names have 1 to %u characters, without blanks", login->option,
                       user, REDIS_USER_BYTES_MAX);
    else if ((error = redis_password_read(file, password, reason)) < 0)
        conf_error_set(ret_error, "--%s-password-file %s", login->option, reason);
    if (error < 0)
        return error;
    explicit_bzero(password, sizeof(password));
    login->password_file = file;
    if (user)
        memcpy(login->user, user, strlen(user) + 1);
    return 0;
}

static int logins_take(const struct rm_own_options *own, struct redis_target *target, struct conf_error *ret_error)
{
    int error = login_take(own->redis_user, own->redis_password_file, target->kind != REDIS_TARGET_EMBEDDED, own->redis,
                           &target->login, ret_error);
    if (error == 0)
        error = login_take(own->sentinel_user, own->sentinel_password_file, target->kind == REDIS_TARGET_SENTINEL, own->redis,
                           &target->sentinel_login, ret_error);
    return error;
}

int rm_redis_target(const struct rm_options *options, struct redis_target *ret_target, struct conf_error *ret_error)
{
    int error = redis_target_parse(options->own.redis, ret_target);
    if (error == -ENAMETOOLONG)
        conf_error_set(ret_error, "--redis %s: a socket's path has at most %zu characters", options->own.redis,
                       REDIS_PATH_BYTES - 1);
    else if (error < 0 && strncmp(options->own.redis, "sentinel:", 9) == 0)
        conf_error_set(
            ret_error,
            "--redis %s: use sentinel:NAME@HOST:PORT[,HOST:PORT…]: the master's name as its sentinels know it, then 1 to "
            "%u sentinels, each an IP address or localhost with its port",
            options->own.redis, REDIS_SENTINELS_MAX);
    else if (error < 0)
        conf_error_set(ret_error,
                       "--redis %s: use embedded, unix:PATH, tcp:HOST:PORT or sentinel:NAME@HOST:PORT[,HOST:PORT…], with an IP "
                       "address or localhost as HOST",
                       options->own.redis);
    return error < 0 ? error : logins_take(&options->own, ret_target, ret_error);
}

int rm_check(const void *options, struct conf_error *ret_error)
{
    const struct rm_options *all = options;
    struct redis_target target;
    struct region_table *table;
    int error = daemon_check_listen(&all->daemon, &all->own.listen, ret_error);
    for (uint32_t term = 0; term < WEIGHT_TERMS && error == 0; term++) {
        float factor = all->own.weight_factors.value[term];
        if (factor >= WEIGHT_FACTOR_MIN && factor <= WEIGHT_FACTOR_MAX)
            continue;
        conf_error_set(ret_error, "--weight-factors: %g will not do for %s; write a number of 0.00001..1000", (double)factor,
                       weight_term_names[term]);
        error = -EINVAL;
    }
    if (error == 0)
        error = rm_redis_target(all, &target, ret_error);
    if (error < 0 || !all->own.regions)
        return error;
    error = regions_read(all->own.regions, &table, ret_error);
    if (error == 0)
        region_table_free(table);
    return error;
}
