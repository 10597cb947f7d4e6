#include "bench/load/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/jobs_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define JOBS_EVENTS 256
#define JOBS_WAIT_MAX_NS (100 * NS_PER_MS) /* a signal that comes just before the wait is seen after it */
#define JOBS_RETRY_NS (100 * NS_PER_US)
#define JOBS_CAPACITY_MIN 1024u
#define JOBS_CAPACITY_MAX (1u << 20)
#define JOBS_ASKS_MAX 256 /* in a row, so that what comes is not left lying */
#define JOBS_LATE_SHARE 10 /* of a job's mean duration: an ask that is later than that counts as late */
#define JOBS_PATTERN 251u /* prime, so that parts that were swapped or cut at a power of two show; the service blob's too */

struct job *job_find(struct jobs *jobs, uint64_t id, const struct ledger_entry **ret_entry)
{
    const struct ledger_entry *entry = ledger_find(&jobs->ledger, id);
    if (!entry)
        return NULL;
    *ret_entry = entry;
    return &jobs->slots[(uint32_t)id];
}

/* Takes it from whom it waits for, and out of the ledger. outcome: what its asker's next request says, if it has come to a node. */
static uint64_t job_close(struct jobs *jobs, uint64_t id, enum wire_outcome outcome)
{
    const struct ledger_entry *entry = ledger_close(&jobs->ledger, id);
    const struct job *job = &jobs->slots[(uint32_t)id];
    if (job->state == JOB_ASKING)
        jobs->askers[entry->connection].asking--;
    else if (job->node < jobs->set.count) {
        jobs->nodes[job->node].running--;
        asker_tell(jobs, entry->connection, job, outcome);
    }
    return entry->planned_ns;
}

/* Closes one that is lost, and counts where it was by then. Its planned time. */
static uint64_t job_close_lost(struct jobs *jobs, uint64_t id, enum wire_outcome outcome)
{
    bool asking = jobs->slots[(uint32_t)id].state == JOB_ASKING;
    uint64_t planned_ns = job_close(jobs, id, outcome);
    if (tally_measures(jobs->tally, planned_ns))
        *(asking ? &jobs->result->lost_asking : &jobs->result->lost_running) += 1;
    return planned_ns;
}

void job_lose(struct jobs *jobs, uint64_t id, const char *complaint)
{
    tally_broken(jobs->tally, job_close_lost(jobs, id, WIRE_OUTCOME_FAILED), complaint);
}

/* Its result has not come, as far as anybody waited. */
static void job_give_up(struct jobs *jobs, uint64_t id, const char *cause)
{
    tally_lost(jobs->tally, job_close_lost(jobs, id, WIRE_OUTCOME_TIMEOUT), cause);
}

void job_expire(struct jobs *jobs, uint64_t id)
{
    tally_lost(jobs->tally, job_close_lost(jobs, id, WIRE_OUTCOME_FAILED), error_name(USHER_EWAIT));
}

/* Why a job has not ended in time: what its asker's socket met while it waited there, or nothing that is known. */
static const char *job_cause(const struct jobs *jobs, uint64_t id)
{
    const struct ledger_entry *entry = &jobs->ledger.entries[(uint32_t)id];
    const struct jobs_asker *asker = &jobs->askers[entry->connection];
    bool failed = jobs->slots[(uint32_t)id].state == JOB_ASKING && entry->planned_ns < asker->failed_ns;
    return failed ? asker->failure : TALLY_TIMEOUT;
}

void job_end(struct jobs *jobs, uint64_t id, const char *complaint)
{
    uint64_t planned_ns = jobs->ledger.entries[(uint32_t)id].planned_ns;
    if (!complaint && jobs->now_ns > planned_ns + jobs->config->timeout_ns) {
        job_give_up(jobs, id, TALLY_TIMEOUT); /* it came before anybody looked, and too late all the same */
        return;
    }
    (void)job_close(jobs, id, complaint ? WIRE_OUTCOME_FAILED : WIRE_OUTCOME_OK);
    if (complaint)
        tally_refused(jobs->tally, planned_ns, complaint);
    else
        tally_answered(jobs->tally, planned_ns, jobs->now_ns, 1);
}

void jobs_end_all(struct jobs *jobs, enum jobs_side side, uint32_t index, const char *complaint)
{
    for (uint32_t slot = 0; slot <= jobs->ledger.mask; slot++) {
        uint32_t waiting = side == JOBS_ASKER ? jobs->askers[index].asking : jobs->nodes[index].running;
        const struct ledger_entry *entry;
        uint64_t id = ledger_id(&jobs->ledger, slot);
        const struct job *job = waiting > 0 && id ? job_find(jobs, id, &entry) : NULL;
        if (waiting == 0)
            return;
        if (!job || (side == JOBS_ASKER) != (job->state == JOB_ASKING))
            continue;
        if (index != (side == JOBS_ASKER ? entry->connection : job->node))
            continue;
        if (side == JOBS_NODE && tally_measures(jobs->tally, entry->planned_ns))
            jobs->nodes[index].refused++;
        job_lose(jobs, id, complaint);
    }
}

int jobs_receive(struct jobs *jobs, struct link *link, uint32_t index, jobs_frame_function *take)
{
    struct frame frame;
    enum refusal refusal;
    ssize_t length = link_receive(link, jobs->scratch, sizeof(jobs->scratch));
    size_t used = 0;
    int result = length < 0 ? (int)length : 0;
    while (result >= 0 && used < (size_t)length) {
        result = frame_decode_stream(jobs->scratch + used, (size_t)length - used, &frame, &refusal);
        if (result < 0)
            break;
        take(jobs, index, &frame);
        used += frame.length;
    }
    if (result == -EAGAIN)
        result = link_keep(link, jobs->scratch + used, (size_t)length - used);
    if (result < 0)
        link_close(link);
    return result < 0 ? result : 0;
}

static void jobs_expire(struct jobs *jobs)
{
    uint64_t timeout_ns = jobs->config->timeout_ns, id;
    uint32_t budget = ledger_sweep_begin(&jobs->ledger, jobs->now_ns, timeout_ns);
    while ((id = ledger_find_expired(&jobs->ledger, jobs->now_ns - timeout_ns, &budget)) != 0)
        job_give_up(jobs, id, job_cause(jobs, id));
}

static bool jobs_may_ask(const struct jobs *jobs)
{
    uint64_t most = jobs->config->requests_max;
    return !jobs->stopped && !jobs->refused && jobs->askers_alive > 0 && ledger_room(&jobs->ledger) > 0 &&
           (most == 0 || jobs->tally->sent < most);
}

/* Closed loop: up to the depth. Open loop: all that is due. */
static void jobs_ask(struct jobs *jobs)
{
    jobs->refused = false;
    for (int i = 0; i < JOBS_ASKS_MAX && jobs_may_ask(jobs); i++) {
        jobs->now_ns = clock_monotonic_ns();
        if (jobs->config->rate <= 0) {
            if (jobs->ledger.open_count >= jobs->config->depth || !asker_ask(jobs, jobs->now_ns))
                return;
            continue;
        }
        uint64_t planned_ns = schedule_next_ns(&jobs->schedule);
        if (planned_ns > jobs->now_ns || planned_ns >= jobs->end_ns || !asker_ask(jobs, planned_ns))
            return;
        schedule_advance(&jobs->schedule);
    }
}

static uint64_t jobs_next_ns(const struct jobs *jobs)
{
    uint64_t next_ns = jobs->now_ns + (jobs->refused ? JOBS_RETRY_NS : JOBS_WAIT_MAX_NS);
    uint64_t sweep_ns = jobs->now_ns + jobs->config->timeout_ns / LEDGER_SWEEPS;
    if (!jobs->measuring && jobs->measure_from_ns < next_ns)
        next_ns = jobs->measure_from_ns;
    if (jobs->ledger.open_count > 0 && sweep_ns < next_ns)
        next_ns = sweep_ns;
    if (jobs->stopped)
        return next_ns;
    if (jobs->end_ns < next_ns)
        next_ns = jobs->end_ns;
    if (jobs->config->rate <= 0 && jobs_may_ask(jobs) && jobs->ledger.open_count < jobs->config->depth)
        return jobs->now_ns;
    if (jobs->config->rate > 0 && !jobs->refused && ledger_room(&jobs->ledger) > 0 && schedule_next_ns(&jobs->schedule) < next_ns)
        next_ns = schedule_next_ns(&jobs->schedule);
    return next_ns;
}

static void jobs_wait(struct jobs *jobs)
{
    struct epoll_event events[JOBS_EVENTS];
    jobs->now_ns = clock_monotonic_ns();
    uint64_t next_ns = jobs_next_ns(jobs), wait_ns = next_ns > jobs->now_ns ? next_ns - jobs->now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    int count = epoll_pwait2(jobs->epoll_fd, events, JOBS_EVENTS, &wait, NULL);
    jobs->now_ns = clock_monotonic_ns();
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        if (events[i].data.u64 >> 32 == JOBS_ASKER)
            asker_on_event(jobs, index, events[i].events);
        else
            node_on_event(jobs, index, events[i].events);
        jobs->now_ns = clock_monotonic_ns();
    }
}

static void jobs_measure_begin(struct jobs *jobs)
{
    jobs->measuring = true;
    cpu_watch_begin(&jobs->watch, jobs->servers);
    jobs->own_begin = cpu_own_now();
    jobs->used_from_ns = clock_monotonic_ns();
}

/* The time ends now. */
static void jobs_interrupt(struct jobs *jobs)
{
    jobs->interrupted = true;
    jobs->now_ns = clock_monotonic_ns();
    uint64_t give_up_ns = schedule_give_up_ns(jobs->now_ns, jobs->config->timeout_ns);
    if (jobs->now_ns < jobs->end_ns)
        jobs->end_ns = jobs->now_ns;
    if (give_up_ns < jobs->give_up_ns)
        jobs->give_up_ns = give_up_ns;
}

static bool jobs_are_over(const struct jobs *jobs)
{
    const struct jobs_config *config = jobs->config;
    if (*jobs->interrupts > 1 || jobs->askers_alive == 0)
        return true;
    if (config->requests_max > 0 && jobs->tally->sent >= config->requests_max)
        return true;
    if (jobs->now_ns < jobs->end_ns)
        return false;
    /* What was planned before the end is still to be asked; when the generator is behind by a timeout it gives up. */
    bool behind = config->rate > 0 && schedule_next_ns(&jobs->schedule) < jobs->end_ns;
    return !behind || jobs->now_ns > jobs->give_up_ns;
}

static void jobs_stop(struct jobs *jobs)
{
    struct team_result *result = &jobs->result->base;
    struct cpu_own now = cpu_own_now();
    jobs->stopped = true;
    jobs->stopped_ns = jobs->now_ns < jobs->end_ns ? jobs->now_ns : jobs->end_ns;
    result->disconnected = jobs->askers_alive == 0;
    result->server_cpu = result->server_thread_cpu = -1;
    if (!jobs->measuring)
        return;
    double took_ns = (double)(clock_monotonic_ns() - jobs->used_from_ns);
    struct cpu_use use = cpu_watch_end(&jobs->watch, jobs->servers);
    uint64_t run_ns = now.run_ns - jobs->own_begin.run_ns, wait_ns = now.wait_ns - jobs->own_begin.wait_ns;
    if (took_ns <= 0)
        return;
    result->client_cpu = (double)run_ns / took_ns;
    result->client_busy = (double)(run_ns + wait_ns) / took_ns;
    if (use.process_ns >= 0) {
        result->server_cpu = use.process_ns / took_ns;
        result->server_thread_cpu = use.busiest_ns / took_ns;
    }
}

static void jobs_report_progress(struct jobs *jobs)
{
    if (jobs->now_ns < jobs->report_at_ns)
        return;
    fprintf(stderr, "\r%s: %llu jobs/s, p99 %.3g ms, %u on their way, %llu lost, %llu errors\033[K",
            jobs->measuring ? "measuring" : "warming up", (unsigned long long)(jobs->tally->answered - jobs->reported),
            (double)histogram_quantile(&jobs->tally->latency_ns, 0.99) / (double)NS_PER_MS, jobs->ledger.open_count,
            (unsigned long long)jobs->tally->lost, (unsigned long long)jobs->tally->errors);
    jobs->reported = jobs->tally->answered;
    jobs->report_at_ns += NS_PER_S;
}

static void jobs_loop(struct jobs *jobs)
{
    while (!jobs->stopped || (jobs->ledger.open_count > 0 && *jobs->interrupts < 2)) {
        if (!jobs->measuring && jobs->now_ns >= jobs->measure_from_ns)
            jobs_measure_begin(jobs);
        if (*jobs->interrupts > 0 && !jobs->interrupted)
            jobs_interrupt(jobs);
        if (!jobs->stopped && jobs_are_over(jobs))
            jobs_stop(jobs);
        jobs_ask(jobs);
        jobs_expire(jobs);
        jobs_report_progress(jobs);
        if (!jobs->stopped || jobs->ledger.open_count > 0)
            jobs_wait(jobs);
    }
}

/* What the schedule still held when the run was stopped; by the mean distance, which is exact for constant arrivals. */
static uint64_t jobs_unsent(const struct jobs *jobs)
{
    uint64_t next_ns = schedule_next_ns(&jobs->schedule);
    if (jobs->config->rate <= 0 || jobs->config->requests_max > 0)
        return 0;
    if (next_ns < jobs->measure_from_ns)
        next_ns = jobs->measure_from_ns;
    return next_ns < jobs->stopped_ns ? 1 + (uint64_t)((double)(jobs->stopped_ns - next_ns) / jobs->schedule.interval_ns) : 0;
}

static int jobs_conclude(struct jobs *jobs)
{
    struct jobs_result *result = jobs->result;
    for (uint32_t slot = 0; slot <= jobs->ledger.mask; slot++) { /* a second interrupt left these */
        uint64_t id = ledger_id(&jobs->ledger, slot);
        if (id)
            job_give_up(jobs, id, TALLY_INTERRUPTED);
    }
    result->base.unsent = jobs_unsent(jobs);
    result->base.nodes_named = jobs->set.count;
    result->base.interrupted = *jobs->interrupts > 0;
    result->base.measured_ns = jobs->stopped_ns > jobs->measure_from_ns ? jobs->stopped_ns - jobs->measure_from_ns : 0;
    result->nodes = calloc(jobs->set.count + 1, sizeof(*result->nodes));
    if (!result->nodes)
        return -ENOMEM;
    result->node_count = jobs->set.count;
    for (uint32_t i = 0; i < jobs->set.count; i++)
        result->nodes[i] = (struct jobs_node_result){
            .address = jobs->nodes[i].address, .jobs = jobs->nodes[i].jobs, .refused = jobs->nodes[i].refused};
    return 0;
}

/* The open loop has as many on their way as come in a timeout, and half as many again. */
static uint32_t jobs_capacity(const struct jobs_config *config)
{
    double wanted = config->rate > 0 ? config->rate * (double)config->timeout_ns / (double)NS_PER_S * 1.5 : config->depth;
    if (wanted < JOBS_CAPACITY_MIN)
        return JOBS_CAPACITY_MIN;
    return wanted < JOBS_CAPACITY_MAX ? (uint32_t)wanted : JOBS_CAPACITY_MAX;
}

static int jobs_prepare(struct jobs *jobs, struct conf_error *ret_error)
{
    const struct jobs_config *config = jobs->config;
    struct random_state ids; /* of its own: of two runs with one seed, nodes would refuse the second one's jobs as duplicates */
    random_init_from_kernel(&ids);
    random_init(&jobs->random, config->seed);
    jobs->client_id = random_next(&ids);
    int error = ledger_init(&jobs->ledger, jobs_capacity(config), (uint32_t)random_next(&ids));
    jobs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (error == 0 && jobs->epoll_fd < 0)
        error = -errno;
    jobs->data = calloc(config->data_bytes + 1, 1);
    if (error == 0) {
        jobs->slots = calloc((size_t)jobs->ledger.mask + 1, sizeof(*jobs->slots));
        error = jobs->slots && jobs->data ? 0 : -ENOMEM;
    }
    if (error < 0) {
        conf_error_set(ret_error, "the run could not be prepared (%s)", error_text(error));
        return error;
    }
    for (uint32_t i = 0; i < config->data_bytes; i++)
        jobs->data[i] = (uint8_t)(i % JOBS_PATTERN);
    return askers_open(jobs, ret_error);
}

static void jobs_start_clock(struct jobs *jobs, bool progress)
{
    const struct jobs_config *config = jobs->config;
    jobs->now_ns = jobs->start_ns = clock_monotonic_ns();
    jobs->measure_from_ns = jobs->start_ns + config->warmup_ns;
    jobs->end_ns = jobs->measure_from_ns + config->duration_ns;
    jobs->give_up_ns = jobs->end_ns + config->timeout_ns;
    jobs->report_at_ns = progress ? jobs->start_ns + NS_PER_S : UINT64_MAX;
    tally_init(jobs->tally, jobs->measure_from_ns, config->timeout_ns);
    if (config->timed && config->service_time.mean_ns / JOBS_LATE_SHARE > TALLY_LATE_NS)
        jobs->tally->late_from_ns = (uint64_t)(config->service_time.mean_ns / JOBS_LATE_SHARE);
    if (config->rate > 0)
        schedule_init(&jobs->schedule, config->arrivals, config->rate, jobs->start_ns, random_next(&jobs->random));
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* the default makes every planned ask 50 us late */
}

static void jobs_free(struct jobs *jobs)
{
    askers_close(jobs);
    nodes_close(jobs);
    ledger_done(&jobs->ledger);
    free(jobs->slots);
    free(jobs->data);
    if (jobs->epoll_fd >= 0)
        close(jobs->epoll_fd);
    free(jobs);
}

int jobs_run(const struct jobs_config *config, const struct cpu_servers *servers, bool progress,
             const volatile sig_atomic_t *interrupts, struct jobs_result *ret_result, struct conf_error *ret_error)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    memset(ret_result, 0, sizeof(*ret_result));
    jobs->config = config;
    jobs->servers = servers;
    jobs->interrupts = interrupts;
    jobs->result = ret_result;
    jobs->tally = &ret_result->base.tally;
    jobs->epoll_fd = -1;
    int error = jobs_prepare(jobs, ret_error);
    if (error == 0) {
        jobs_start_clock(jobs, progress);
        jobs_loop(jobs);
        error = jobs_conclude(jobs);
        if (error < 0)
            conf_error_set(ret_error, "out of memory");
    }
    if (progress)
        fprintf(stderr, "\r\033[K");
    jobs_free(jobs);
    return error;
}

void jobs_result_done(struct jobs_result *result)
{
    free(result->nodes);
    result->nodes = NULL;
}
