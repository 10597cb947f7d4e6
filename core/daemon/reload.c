/* Options that change while the daemon runs. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/daemon/internal.h"

static void on_change(void *context, const struct conf_option *option)
{
    struct daemon *daemon = context;
    log_set_level((enum log_level)daemon->own->log_level);
    if (daemon->program->changed)
        daemon->program->changed(daemon->state, option);
    LOG(MESSAGE_OPTION_CHANGED, LOG_TEXT("option", option->name));
}

static void on_refused(void *context, const struct conf_option *option)
{
    (void)context;
    LOG(MESSAGE_OPTION_NEEDS_RESTART, LOG_TEXT("option", option->name));
}

int daemon_set_option(struct daemon *daemon, const char *name, const char *value, struct conf_error *ret_error)
{
    int error = conf_set(daemon->program->conf, daemon->options, name, value, ret_error);
    if (error == 0)
        on_change(daemon, conf_find(daemon->program->conf, name, NULL));
    return error;
}

static int read_again(struct daemon *daemon, void *fresh, struct conf_error *ret_error)
{
    const struct conf_program *conf = daemon->program->conf;
    int error = conf_parse(conf, daemon->argc, daemon->argv, fresh, NULL, ret_error);
    if (error < 0)
        return error;
    error = daemon->program->check(fresh, ret_error);
    if (error == 0)
        conf_apply(conf, daemon->options, fresh, on_change, on_refused, daemon);
    conf_done(conf, fresh);
    return error;
}

void daemon_reload(struct daemon *daemon)
{
    struct conf_error why;
    void *fresh = calloc(1, daemon->program->conf->options_bytes);
    conf_error_set(&why, "out of memory");
    int error = fresh ? read_again(daemon, fresh, &why) : -ENOMEM;
    daemon->reload_failed = error < 0;
    free(fresh);
    if (error < 0) {
        LOG(MESSAGE_RELOAD_FAILED, LOG_TEXT("reason", why.text));
        return;
    }
    LOG(MESSAGE_RELOADED);
    if (daemon->program->reloaded)
        daemon->program->reloaded(daemon->state);
}
