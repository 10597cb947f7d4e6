#include "bench/load/team.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"

#define TEAM_WAIT_MAX_NS (100 * NS_PER_MS) /* a signal may come to any thread */

struct team;

struct team_member {
    const struct team *team;
    struct engine *engine;
    pthread_t thread;
    bool started;
    struct engine_result result;
};

struct team {
    const struct engine_config *config;
    const struct cpu_servers *servers;
    const volatile sig_atomic_t *interrupts;
    struct team_member members[ENGINE_THREADS_MAX];
    uint32_t member_count;
    uint32_t stopped; /* members that have sent their last request */
    int stopped_fd;
    uint64_t start_ns;
    uint64_t measure_from_ns;
    uint64_t used_from_ns;
    uint64_t used_for_ns;
    bool measuring;
    uint64_t report_at_ns; /* of the line of progress; UINT64_MAX: none */
    uint64_t reported_answers;
    uint64_t reported_latency_us;
    struct cpu_use server_use;
    struct cpu_watch watch;
};

static void *team_member_main(void *context)
{
    struct team_member *member = context;
    engine_run(member->engine, member->team->start_ns, member->team->stopped_fd, &member->result);
    return NULL;
}

/* All connections first: what fails, fails before anything is sent. */
static int team_open(struct team *team, struct conf_error *ret_error)
{
    team->stopped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (team->stopped_fd < 0) {
        conf_error_set(ret_error, "the run could not be prepared (%s)", error_text(-errno));
        return -errno;
    }
    for (uint32_t i = 0; i < team->member_count; i++) {
        team->members[i].team = team;
        int error = engine_new(team->config, i, team->interrupts, &team->members[i].engine, ret_error);
        if (error < 0)
            return error;
    }
    return 0;
}

static int team_start(struct team *team, struct conf_error *ret_error)
{
    team->start_ns = clock_monotonic_ns() + (team->member_count > 1 ? team->member_count * 100 * NS_PER_US : 0);
    team->measure_from_ns = team->start_ns + team->config->warmup_ns;
    for (uint32_t i = 0; i < team->member_count; i++) {
        int error = pthread_create(&team->members[i].thread, NULL, team_member_main, &team->members[i]);
        if (error != 0) {
            conf_error_set(ret_error, "thread %u could not be started (%s): give fewer --threads", i + 1, error_text(-error));
            return -error;
        }
        team->members[i].started = true;
    }
    return 0;
}

static void team_report_progress(struct team *team, uint64_t now_ns)
{
    uint64_t answered = 0, lost = 0, errors = 0, latency_us = 0;
    for (uint32_t i = 0; i < team->member_count; i++) {
        const struct engine_progress *progress = engine_progress_of(team->members[i].engine);
        answered += atomic_load_explicit(&progress->answered, memory_order_relaxed);
        lost += atomic_load_explicit(&progress->lost, memory_order_relaxed);
        errors += atomic_load_explicit(&progress->errors, memory_order_relaxed);
        latency_us += atomic_load_explicit(&progress->latency_us, memory_order_relaxed);
    }
    uint64_t fresh = answered - team->reported_answers;
    double seconds =
        (double)(now_ns - (now_ns < team->measure_from_ns ? team->start_ns : team->measure_from_ns)) / (double)NS_PER_S;
    fprintf(stderr, "\r%s %.0f s: %llu answers/s, on average after %.3g ms, %llu lost, %llu errors\033[K",
            team->measuring ? "measuring" : "warming up", seconds, (unsigned long long)fresh,
            fresh > 0 ? (double)(latency_us - team->reported_latency_us) / (double)fresh / 1000 : 0, (unsigned long long)lost,
            (unsigned long long)errors);
    team->reported_answers = answered;
    team->reported_latency_us = latency_us;
    team->report_at_ns += NS_PER_S;
}

static void team_wait(const struct team *team, uint64_t now_ns)
{
    uint64_t wait_ns = TEAM_WAIT_MAX_NS;
    if (!team->measuring && team->measure_from_ns - now_ns < wait_ns)
        wait_ns = team->measure_from_ns - now_ns;
    struct pollfd stopped = {.fd = team->stopped_fd, .events = POLLIN};
    struct timespec wait = {.tv_nsec = (long)wait_ns};
    (void)ppoll(&stopped, 1, &wait, NULL);
}

/* Until every member has sent its last request. */
static void team_look_on(struct team *team)
{
    while (team->stopped < team->member_count) {
        uint64_t count, now_ns = clock_monotonic_ns();
        if (!team->measuring && now_ns >= team->measure_from_ns) {
            team->measuring = true;
            cpu_watch_begin(&team->watch, team->servers);
            team->used_from_ns = clock_monotonic_ns();
        }
        if (now_ns >= team->report_at_ns)
            team_report_progress(team, now_ns);
        team_wait(team, now_ns);
        if (read(team->stopped_fd, &count, sizeof(count)) == sizeof(count))
            team->stopped += (uint32_t)count;
    }
    if (!team->measuring)
        return;
    team->used_for_ns = clock_monotonic_ns() - team->used_from_ns;
    team->server_use = cpu_watch_end(&team->watch, team->servers);
}

static void team_join(struct team *team)
{
    for (uint32_t i = 0; i < team->member_count; i++)
        if (team->members[i].started)
            (void)pthread_join(team->members[i].thread, NULL);
}

static void team_conclude(const struct team *team, struct team_result *result)
{
    result->server_cpu = result->server_thread_cpu = -1;
    tally_init(&result->tally, team->measure_from_ns, team->config->timeout_ns);
    for (uint32_t i = 0; i < team->member_count; i++) {
        const struct engine_result *one = &team->members[i].result;
        tally_merge(&result->tally, &one->tally);
        result->unsent += one->unsent;
        result->client_cpu += one->cpu;
        result->interrupted = result->interrupted || one->interrupted;
        result->disconnected = result->disconnected || one->disconnected;
        if (one->measured_ns > result->measured_ns)
            result->measured_ns = one->measured_ns;
        if (one->busy > result->client_busy)
            result->client_busy = one->busy;
        if (one->nodes_named > result->nodes_named)
            result->nodes_named = one->nodes_named;
    }
    if (team->used_for_ns > 0 && team->server_use.process_ns >= 0) {
        result->server_cpu = team->server_use.process_ns / (double)team->used_for_ns;
        result->server_thread_cpu = team->server_use.busiest_ns / (double)team->used_for_ns;
    }
}

static void team_free(struct team *team)
{
    for (uint32_t i = 0; i < team->member_count; i++)
        engine_free(team->members[i].engine);
    if (team->stopped_fd >= 0)
        close(team->stopped_fd);
    free(team);
}

int team_run(const struct engine_config *config, const struct cpu_servers *servers, bool progress,
             const volatile sig_atomic_t *interrupts, struct team_result *ret_result, struct conf_error *ret_error)
{
    struct team *team = calloc(1, sizeof(*team));
    if (!team) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    memset(ret_result, 0, sizeof(*ret_result));
    team->config = config;
    team->servers = servers;
    team->interrupts = interrupts;
    team->member_count = config->threads;
    int error = team_open(team, ret_error);
    if (error == 0)
        error = team_start(team, ret_error);
    team->report_at_ns = progress ? team->start_ns + NS_PER_S : UINT64_MAX;
    if (error == 0)
        team_look_on(team);
    team_join(team);
    if (progress)
        fprintf(stderr, "\r\033[K");
    if (error == 0)
        team_conclude(team, ret_result);
    team_free(team);
    return error;
}
