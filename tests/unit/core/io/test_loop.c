#include "core/io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/random.h"
#include "core/io/poll.h"
#include "core/io/timer.h"
#include "tests/unit/core/io/fixture.h"

/* Kinds and reasons */

static void deny_uring(uint32_t error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(loop, auto_falls_back_under_seccomp_and_says_so)
{
    struct loop_config config;
    struct loop *loop;
    loop_config_init(&config);
    if (!fixture_uring_is_allowed())
        return;
    deny_uring(EPERM);
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_expect_str_eq(loop_kind_name(loop), "epoll");
    cr_expect_not_null(strstr(loop_fallback_reason(loop), "seccomp"), "says: %s", loop_fallback_reason(loop));
    loop_free(loop);
}

Test(loop, uring_under_seccomp_is_refused_with_the_reason)
{
    struct loop_config config;
    struct loop *loop = NULL;
    char reason[LOOP_REASON_BYTES] = "";
    loop_config_init(&config);
    config.kind = LOOP_URING;
    config.reason = reason;
    if (!fixture_uring_is_allowed())
        return;
    deny_uring(EPERM);
    cr_expect_eq(loop_new(&config, &loop), USHER_EURINGFORBIDDEN);
    cr_expect_null(loop);
    cr_expect_not_null(strstr(reason, "seccomp"), "says: %s", reason);
}

Test(loop, kernel_without_uring_is_named)
{
    struct loop_config config;
    struct loop *loop;
    loop_config_init(&config);
    if (!fixture_uring_is_allowed())
        return;
    deny_uring(ENOSYS);
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_expect_not_null(strstr(loop_fallback_reason(loop), "kernel"), "says: %s", loop_fallback_reason(loop));
    loop_free(loop);
}

Test(loop, old_kernel_is_named)
{
    struct loop_config config;
    struct loop *loop;
    loop_config_init(&config);
    if (!fixture_uring_is_allowed())
        return;
    deny_uring(EINVAL);
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_expect_not_null(strstr(loop_fallback_reason(loop), "6.0"), "says: %s", loop_fallback_reason(loop));
    loop_free(loop);
}

Test(loop, missing_memory_is_named)
{
    struct loop_config config;
    struct loop *loop;
    loop_config_init(&config);
    if (!fixture_uring_is_allowed())
        return;
    deny_uring(ENOMEM);
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_expect_not_null(strstr(loop_fallback_reason(loop), "memlock"), "says: %s", loop_fallback_reason(loop));
    loop_free(loop);
}

Test(loop, epoll_by_choice_has_no_reason)
{
    struct loop *loop = fixture_loop(LOOP_EPOLL);
    cr_expect_str_eq(loop_fallback_reason(loop), "");
    loop_free(loop);
}

/* Timers */

#define TIMERS 500

struct alarm {
    struct timer timer;
    struct loop *loop;
    uint64_t at_ns;
};

static struct alarm alarms[TIMERS];
static uint32_t fired;
static uint64_t last_ns;

static void alarm_on_timer(void *ctx, struct timer *timer)
{
    struct alarm *alarm = ctx;
    cr_assert_not(timer_is_running(timer));
    cr_assert_geq(loop_now_ns(alarm->loop), alarm->at_ns, "never early");
    cr_assert_geq(alarm->at_ns, last_ns, "in order");
    last_ns = alarm->at_ns;
    fired++;
}

TEST_BOTH(timer, stopped_ones_do_not_fire_and_the_others_do_in_order)
{
    struct loop *loop = fixture_loop(kind);
    struct random_state random;
    uint32_t running = TIMERS;
    random_init(&random, 3);
    for (uint32_t i = 0; i < TIMERS; i++) {
        alarms[i].loop = loop;
        alarms[i].at_ns = loop_now_ns(loop) + random_below(&random, 30000000);
        timer_init(&alarms[i].timer, alarm_on_timer, &alarms[i]);
        timer_start(loop, &alarms[i].timer, alarms[i].at_ns);
    }
    for (uint32_t i = 0; i < TIMERS; i += 3, running--)
        timer_stop(&alarms[i].timer);
    timer_stop(&alarms[0].timer);
    fixture_run_until(loop, &fired, running);
    fixture_run_for(loop, 5);
    cr_expect_eq(fired, running);
    loop_free(loop);
}

static void again_on_timer(void *ctx, struct timer *timer)
{
    struct loop *loop = ctx;
    fired++;
    timer_start(loop, timer, 0);
}

TEST_BOTH(timer, one_that_starts_itself_in_the_past_fires_once_a_batch)
{
    struct loop *loop = fixture_loop(kind);
    struct timer timer;
    timer_init(&timer, again_on_timer, loop);
    timer_start(loop, &timer, 0);
    for (uint32_t i = 1; i <= 5; i++) {
        cr_assert_eq(loop_run_once(loop, LOOP_FOREVER), 0);
        cr_expect_eq(fired, i);
    }
    loop_free(loop);
}

static void order_on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    cr_expect_eq((uint32_t)(uintptr_t)ctx, fired);
    fired++;
}

TEST_BOTH(timer, same_moment_fires_in_the_order_of_starting)
{
    struct loop *loop = fixture_loop(kind);
    static struct timer timers[100];
    uint64_t at_ns = loop_now_ns(loop) + NS_PER_MS;
    for (uintptr_t i = 0; i < 100; i++) {
        timer_init(&timers[i], order_on_timer, (void *)i);
        timer_start(loop, &timers[i], at_ns);
    }
    fixture_run_until(loop, &fired, 100);
    loop_free(loop);
}

TEST_BOTH(timer, wait_ends_at_the_timeout)
{
    struct loop *loop = fixture_loop(kind);
    uint64_t begin_ns = clock_monotonic_ns();
    cr_assert_eq(loop_run_once(loop, 3 * NS_PER_MS), 0);
    cr_expect_geq(clock_monotonic_ns() - begin_ns, 2 * NS_PER_MS);
    cr_expect_lt(clock_monotonic_ns() - begin_ns, 2 * NS_PER_S);
    loop_free(loop);
}

/* Messages */

static struct loop_message message[3];
static uint32_t taken;

static void message_take(void *ctx, struct loop_message *self)
{
    (void)self;
    cr_expect_eq((uint32_t)(uintptr_t)ctx, taken);
    taken++;
}

TEST_BOTH(message, posted_ones_are_taken_in_order)
{
    struct loop *loop = fixture_loop(kind);
    for (uintptr_t i = 0; i < 3; i++) {
        message[i].fn = message_take;
        message[i].ctx = (void *)i;
        loop_post(loop, &message[i]);
    }
    cr_assert_eq(loop_run_once(loop, LOOP_FOREVER), 0);
    cr_expect_eq(taken, 3);
    cr_expect_eq(loop_stats(loop)->wakeups, 0, "a loop that is awake costs no wake-up");
    loop_free(loop);
}

TEST_BOTH(loop, stop_before_run_ends_it_at_once)
{
    struct loop *loop = fixture_loop(kind);
    loop_stop(loop);
    cr_expect_eq(loop_run(loop), 0);
    loop_free(loop);
}

/* Watches */

struct pipe_end {
    struct poll_watch watch;
    uint32_t ready;
    uint32_t events;
    bool stop;
};

static void pipe_on_ready(void *ctx, struct poll_watch *watch, uint32_t ready)
{
    struct pipe_end *end = ctx;
    end->ready++;
    end->events = ready;
    if (end->stop)
        poll_stop(watch);
}

TEST_BOTH(poll, regular_file_is_refused)
{
    struct loop *loop = fixture_loop(kind);
    struct pipe_end end = {.ready = 0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int error = poll_start(loop, &end.watch, fd, POLLIN, pipe_on_ready, &end);
    cr_expect_eq(error, -EPERM);
    cr_expect_not(poll_is_running(&end.watch));
    close(fd);
    loop_free(loop);
}

TEST_BOTH(poll, ready_descriptor_is_told_until_it_is_read)
{
    struct loop *loop = fixture_loop(kind);
    struct pipe_end end = {.ready = 0};
    int fd[2];
    char byte;
    cr_assert_eq(pipe(fd), 0);
    cr_assert_eq(poll_start(loop, &end.watch, fd[0], POLLIN, pipe_on_ready, &end), 0);
    fixture_run_for(loop, 3);
    cr_expect_eq(end.ready, 0);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    fixture_run_until(loop, &end.ready, 3);
    cr_expect_eq(end.events, POLLIN);
    cr_assert_eq(read(fd[0], &byte, 1), 1);
    fixture_run_for(loop, 3);
    uint32_t ready = end.ready;
    fixture_run_for(loop, 3);
    cr_expect_eq(end.ready, ready);
    poll_stop(&end.watch);
    loop_free(loop);
}

TEST_BOTH(poll, stopping_from_its_function_ends_it)
{
    struct loop *loop = fixture_loop(kind);
    struct pipe_end end = {.stop = true};
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    cr_assert_eq(poll_start(loop, &end.watch, fd[1], POLLOUT, pipe_on_ready, &end), 0);
    fixture_run_until(loop, &end.ready, 1);
    fixture_run_for(loop, 3);
    cr_expect_eq(end.ready, 1);
    cr_expect_not(poll_is_running(&end.watch));
    loop_free(loop);
}

TEST_BOTH(poll, watch_and_descriptor_may_go_after_stop)
{
    struct loop *loop = fixture_loop(kind);
    struct pipe_end *end = calloc(1, sizeof(*end));
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    cr_assert_eq(poll_start(loop, &end->watch, fd[0], POLLIN, pipe_on_ready, end), 0);
    fixture_run_for(loop, 1);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    poll_stop(&end->watch);
    free(end);
    close(fd[0]);
    fixture_run_for(loop, 3);
    loop_free(loop);
}

TEST_BOTH(poll, modify_changes_what_is_told)
{
    struct loop *loop = fixture_loop(kind);
    struct pipe_end end = {.ready = 0};
    int fd[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    cr_assert_eq(poll_start(loop, &end.watch, fd[0], POLLIN, pipe_on_ready, &end), 0);
    fixture_run_for(loop, 3);
    cr_expect_eq(end.ready, 0);
    poll_modify(&end.watch, POLLIN | POLLOUT);
    fixture_run_until(loop, &end.ready, 2);
    cr_expect_eq(end.events, POLLOUT);
    poll_modify(&end.watch, 0);
    fixture_run_for(loop, 3);
    uint32_t ready = end.ready;
    fixture_run_for(loop, 3);
    cr_expect_eq(end.ready, ready);
    close(fd[1]);
    fixture_run_until(loop, &end.ready, ready + 1);
    cr_expect(end.events & POLLHUP);
    poll_stop(&end.watch);
    loop_free(loop);
}
