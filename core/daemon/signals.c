/* Signals become events of the control loop. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/daemon/internal.h"

static void on_signals(void *ctx, struct poll_watch *watch, uint32_t ready)
{
    struct daemon *daemon = ctx;
    struct signalfd_siginfo signal;
    (void)ready;
    while (read(watch->fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal)) {
        if (signal.ssi_signo == SIGHUP)
            daemon_reload(daemon);
        else
            daemon_drain(daemon);
    }
}

int daemon_open_signals(struct daemon *daemon)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return -errno;
    daemon->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (daemon->signal_fd < 0)
        return -errno;
    return poll_start(daemon->loop, &daemon->signals, daemon->signal_fd, POLLIN, on_signals, daemon);
}

void daemon_close_signals(struct daemon *daemon)
{
    poll_stop(&daemon->signals);
    if (daemon->signal_fd >= 0)
        close(daemon->signal_fd);
}
