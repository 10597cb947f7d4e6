#include "client/job.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"

#define JOB_PAUSE_MIN_NS (20 * NS_PER_MS)
#define JOB_PAUSE_DOUBLINGS_MAX 5 /* 640 ms */

void job_begin(struct job *job, const struct job_description *description, uint64_t now_ns, struct random_state *random)
{
    uint32_t spread_ms = description->service_time_max_ms - description->service_time_min_ms;
    *job = (struct job){
        .description = *description,
        .service_time_ms = description->service_time_min_ms + random_below(random, spread_ms + 1),
        .start_by_ns = now_ns + description->wait_ns,
    };
}

/* A later try that did not start does not undo what an earlier one may have done. */
static enum job_step job_end(struct job *job, int error, enum job_started started)
{
    job->error = error;
    if (started != JOB_NOT_STARTED)
        job->started = started;
    return JOB_DONE;
}

/* Later: who turned the job down may take it by then. Random, so that jobs turned down together don't come back together. A pause
 * that would outlast the wait is not begun. */
static enum job_step job_pause(struct job *job, int error, uint64_t least_ns, uint64_t now_ns, struct random_state *random)
{
    uint64_t pause_ns = JOB_PAUSE_MIN_NS << (job->pauses < JOB_PAUSE_DOUBLINGS_MAX ? job->pauses : JOB_PAUSE_DOUBLINGS_MAX);
    if (pause_ns < least_ns)
        pause_ns = least_ns;
    pause_ns += (uint64_t)(random_unit(random) * (double)pause_ns / 2);
    if (now_ns + pause_ns >= job->start_by_ns)
        return job_end(job, error, JOB_NOT_STARTED);
    job->error = error;
    job->pauses++;
    job->quick_tries = 0;
    job->exclude_count = 0;
    job->resume_at_ns = now_ns + pause_ns;
    return JOB_PAUSE;
}

/* Elsewhere, at once while that may help. */
static enum job_step job_elsewhere(struct job *job, int error, uint64_t now_ns, struct random_state *random)
{
    if (now_ns >= job->start_by_ns)
        return job_end(job, error, JOB_NOT_STARTED);
    if (job->quick_tries >= JOB_QUICK_TRIES)
        return job_pause(job, error, 0, now_ns, random);
    job->error = error;
    return JOB_ASK;
}

static void job_exclude(struct job *job, const struct address *node)
{
    uint32_t kept = job->exclude_count < EXCLUDES_MAX ? job->exclude_count : EXCLUDES_MAX - 1;
    memmove(&job->excludes[1], &job->excludes[0], kept * sizeof(job->excludes[0]));
    job->excludes[0] = *node;
    job->exclude_count = kept + 1;
}

enum job_step job_on_no_address(struct job *job, int error, bool hopeful, uint64_t now_ns, struct random_state *random)
{
    /* NO_NODE: there were nodes of this service, so one may be back any moment. NO_SERVICE is rather a wrong name. */
    if (!hopeful && error != USHER_ENONODE && job->exclude_count == 0)
        return job_end(job, error, JOB_NOT_STARTED);
    /* What the last node said tells more than that there is none besides. */
    return job_pause(job, job->tries > 0 ? job->error : error, 0, now_ns, random);
}

void job_on_address(struct job *job, const struct address *node)
{
    job->node = *node;
    job->tries++;
    job->quick_tries++;
}

uint32_t job_wait_left_ms(const struct job *job, uint64_t now_ns)
{
    return job->start_by_ns > now_ns + NS_PER_MS ? (uint32_t)((job->start_by_ns - now_ns) / NS_PER_MS) : 1;
}

uint64_t job_answer_by_ns(const struct job *job, uint64_t now_ns)
{
    return now_ns + (job_wait_left_ms(job, now_ns) + (uint64_t)job->service_time_ms) * NS_PER_MS + JOB_GRACE_NS;
}

enum job_step job_on_unreached(struct job *job, int error, uint64_t now_ns, struct random_state *random)
{
    job_exclude(job, &job->node);
    return job_elsewhere(job, error, now_ns, random);
}

enum job_step job_on_busy(struct job *job, uint32_t retry_after_ms, struct budget *budget, uint64_t now_ns,
                          struct random_state *random)
{
    job_exclude(job, &job->node);
    if (job->quick_tries < JOB_QUICK_TRIES && budget_spend(budget))
        return job_elsewhere(job, USHER_EBUSY, now_ns, random);
    return job_pause(job, USHER_EBUSY, retry_after_ms * NS_PER_MS, now_ns, random);
}

/* Whether another node may see it differently. */
static bool job_is_nodes_own(int error)
{
    switch (error) {
    case USHER_ESHUTDOWN:
    case USHER_ECANCELLED: /* the node gave the job up, not its client */
    case USHER_ENOTACCEPTED:
    case USHER_EJOBFAILED: /* not started: the node could not, for want of descriptors, say */
    case USHER_ENOSERVICE: /* the dispatcher's directory was older than the node's last start */
    case USHER_EQUEUEFULL:
    case USHER_EDUPLICATE:
    case USHER_EVERSION: return true;
    default: return false;
    }
}

/* With a wait of its own: the first one was used up by the try that may have run. */
static enum job_step job_start_again(struct job *job, int error, enum job_started started, uint64_t now_ns,
                                     struct random_state *random)
{
    if (!job->description.idempotent || ++job->starts >= JOB_STARTS_MAX)
        return job_end(job, error, started);
    job->started = started;
    job->start_by_ns = now_ns + job->description.wait_ns;
    job_exclude(job, &job->node);
    return job_elsewhere(job, error, now_ns, random);
}

enum job_step job_on_error(struct job *job, int error, bool started, uint64_t now_ns, struct random_state *random)
{
    if (started && (error == USHER_ESHUTDOWN || error == USHER_ECANCELLED))
        return job_start_again(job, error, JOB_STARTED, now_ns, random);
    if (started || !job_is_nodes_own(error))
        return job_end(job, error, started ? JOB_STARTED : JOB_NOT_STARTED);
    job_exclude(job, &job->node);
    return job_elsewhere(job, error, now_ns, random);
}

enum job_step job_on_lost(struct job *job, int error, enum job_started started, uint64_t now_ns, struct random_state *random)
{
    return job_start_again(job, error, started, now_ns, random);
}

enum job_step job_on_result(struct job *job)
{
    return job_end(job, 0, JOB_STARTED);
}
