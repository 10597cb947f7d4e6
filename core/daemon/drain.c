/* The way to the end: announce, refuse, abandon. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/daemon/internal.h"

/* What is abandoned gets so long to be answered. */
#define ABANDON_NS NS_PER_S

static void enter_phase(struct daemon *daemon, enum drain_phase phase)
{
    daemon->phase = phase;
    if (phase == DRAIN_ANNOUNCE)
        LOG(MESSAGE_DRAINING);
    else if (phase == DRAIN_REFUSE)
        LOG(MESSAGE_REFUSING);
    else
        LOG(MESSAGE_ABANDONING);
    daemon->program->drain(daemon->state, phase);
}

static void start_timer(struct daemon *daemon, uint64_t delay_ns)
{
    timer_start(daemon->loop, &daemon->drain_timer, loop_now_ns(daemon->loop) + delay_ns);
}

static void abandon(struct daemon *daemon)
{
    start_timer(daemon, ABANDON_NS);
    enter_phase(daemon, DRAIN_ABANDON);
    daemon->ending = true;
}

/* The program may call daemon_drained from within its hook: the timer is started before. */
static void on_timer(void *ctx, struct timer *timer)
{
    struct daemon *daemon = ctx;
    (void)timer;
    if (daemon->ending) {
        loop_stop(daemon->loop);
    } else if (daemon->phase == DRAIN_ANNOUNCE) {
        start_timer(daemon, daemon->own->drain_limit_ns);
        enter_phase(daemon, DRAIN_REFUSE);
    } else {
        abandon(daemon);
    }
}

void daemon_drain(struct daemon *daemon)
{
    if (!daemon->program->drain) {
        daemon->draining = true;
        loop_stop(daemon->loop);
        return;
    }
    if (!daemon->draining) {
        daemon->draining = true;
        timer_init(&daemon->drain_timer, on_timer, daemon);
        start_timer(daemon, daemon->own->drain_accept_ns);
        enter_phase(daemon, DRAIN_ANNOUNCE);
        return;
    }
    if (daemon->ending)
        return;
    if (daemon->phase == DRAIN_ANNOUNCE)
        enter_phase(daemon, DRAIN_REFUSE);
    abandon(daemon);
}

void daemon_drained(struct daemon *daemon)
{
    if (daemon->draining && daemon->phase != DRAIN_ANNOUNCE)
        loop_stop(daemon->loop);
}
