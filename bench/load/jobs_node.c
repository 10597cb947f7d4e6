/* The side of the nodes: jobs leave, results come.
 *
 * Wait limit: a job may stand in a node's queue as long as it can still end within --reply-timeout. Without that, an overload is the end
 * of all answers: every job waits until its own time is nearly over, and what is then run has been given up by the time it ends. How
 * long a job is going to run is what was drawn for it times how much longer than drawn the latest ones ran there (--sleep-factor), or
 * simply how long these ran. A reserve is for the ways there and back, and for jobs that run for longer than expected. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/load/jobs_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/error.h"
#include "core/wire/job.h"

#define NODES_ROOM_MIN 64u
#define JOBS_MARGIN_MS 1000u
#define JOBS_RESERVE_SHARE 0.1 /* of the timeout */
#define JOBS_FADING (15.0 / 16) /* of what is known of a node's jobs, with each new one */

/* The node of that address, which may be new. Negative errno. */
static int64_t node_of(struct jobs *jobs, const struct address *address)
{
    uint32_t index, before = jobs->set.count;
    if (before == jobs->nodes_room) {
        uint32_t room = jobs->nodes_room ? 2 * jobs->nodes_room : NODES_ROOM_MIN;
        struct jobs_node *nodes = realloc(jobs->nodes, room * sizeof(*nodes));
        if (!nodes)
            return -ENOMEM;
        jobs->nodes = nodes;
        jobs->nodes_room = room;
    }
    int error = node_set_add(&jobs->set, address, &index);
    if (error < 0)
        return error;
    if (jobs->set.count > before) {
        jobs->nodes[index] = (struct jobs_node){.address = *address, .work_ns = 1, .ran_ns = jobs->config->timed ? 1 : 0};
        link_init(&jobs->nodes[index].link, jobs->epoll_fd, jobs_tag(JOBS_NODE, index));
    }
    return index;
}

/* A duration that is drawn for each job, or always the same. */
static uint32_t node_job_data(struct jobs *jobs, struct job *job, char parameter[static JOBS_PARAMETER_BYTES],
                              const void **ret_data)
{
    job->work_ns = 1;
    *ret_data = parameter;
    if (jobs->config->timed) {
        uint64_t ns = distribution_draw_ns(&jobs->config->service_time, &jobs->random);
        job->work_ns += ns;
        return (uint32_t)snprintf(parameter, JOBS_PARAMETER_BYTES, "%.3fus", (double)ns / (double)NS_PER_US);
    }
    if (jobs->config->sized)
        return (uint32_t)snprintf(parameter, JOBS_PARAMETER_BYTES, "%u", jobs->config->data_bytes);
    *ret_data = jobs->data;
    return jobs->config->data_bytes;
}

/* At least 1 ms, for 0 is no limit: what can't end in time may still begin at a node that is idle. */
static uint32_t node_wait_ms(const struct jobs *jobs, const struct jobs_node *node, const struct job *job, uint64_t planned_ns)
{
    double timeout_ns = (double)jobs->config->timeout_ns, passed_ns = (double)(jobs->now_ns - planned_ns);
    double expected_ns = (double)job->work_ns * node->ran_ns / node->work_ns;
    double wait_ms = (timeout_ns * (1 - JOBS_RESERVE_SHARE) - passed_ns - expected_ns) / (double)NS_PER_MS;
    return wait_ms > 1 ? (uint32_t)wait_ms : 1;
}

static int node_send(struct jobs *jobs, struct jobs_node *node, uint64_t id, uint64_t dispatcher_boot_id)
{
    uint8_t head[JOB_HEAD_BYTES];
    char parameter[JOBS_PARAMETER_BYTES];
    const void *data;
    struct job *job = &jobs->slots[(uint32_t)id];
    uint32_t data_length = node_job_data(jobs, job, parameter, &data);
    struct wire_job wire = {
        .client_id = jobs->client_id,
        .job_id = id,
        .service_id = jobs->config->service_id,
        .dispatcher_boot_id = dispatcher_boot_id,
        /* Later than our own limit: its end takes the connection with it, and so all other jobs there. */
        .service_time_ms = (uint32_t)(jobs->config->timeout_ns / NS_PER_MS) + JOBS_MARGIN_MS,
        .wait_ms = node_wait_ms(jobs, node, job, jobs->ledger.entries[(uint32_t)id].planned_ns),
        .data_length = data_length,
    };
    int length = wire_job_encode_head(&wire, id, head, sizeof(head));
    return length < 0 ? length : link_send(&node->link, head, (size_t)length, data, data_length);
}

void node_submit(struct jobs *jobs, uint64_t id, const struct address *address, uint64_t dispatcher_boot_id)
{
    struct job *job = &jobs->slots[(uint32_t)id];
    int64_t index = node_of(jobs, address);
    if (index < 0) {
        job->state = JOB_RUNNING;
        job->node = UINT32_MAX;
        job_lose(jobs, id, error_name((int)index));
        return;
    }
    struct jobs_node *node = &jobs->nodes[index];
    job->state = JOB_RUNNING;
    job->node = (uint32_t)index;
    job->submitted_ns = jobs->now_ns;
    node->running++;
    int error = node->link.fd < 0 ? link_open(&node->link, address, &jobs->config->sources, (uint32_t)index) : 0;
    if (error == 0)
        error = node_send(jobs, node, id, dispatcher_boot_id);
    if (error < 0) {
        link_close(&node->link);
        jobs_end_all(jobs, JOBS_NODE, (uint32_t)index, error_name(error));
    }
}

/* A part of a result. Its complaint, "" when more is to come, NULL when it was the last. */
static const char *node_take_result(struct jobs *jobs, struct job *job, const struct frame *frame, bool measured)
{
    struct wire_result result;
    enum refusal refusal;
    bool known = jobs->config->echoed || jobs->config->sized; /* which bytes must come: those of jobs->data */
    int error = wire_result_decode(frame, &result, &refusal);
    if (error < 0 || result.job_id != frame->request_id)
        return error_name(USHER_EPROTOCOL);
    if (known && (result.data_length > jobs->config->data_bytes - job->result_bytes ||
                  (result.data_length > 0 && memcmp(result.data, jobs->data + job->result_bytes, result.data_length) != 0)))
        return error_name(USHER_EPROTOCOL);
    job->result_bytes += result.data_length;
    if (result.more)
        return "";
    if (known && job->result_bytes != jobs->config->data_bytes)
        return error_name(USHER_EPROTOCOL);
    struct jobs_node *node = &jobs->nodes[job->node];
    node->work_ns = node->work_ns * JOBS_FADING + (double)job->work_ns;
    node->ran_ns = node->ran_ns * JOBS_FADING + (double)result.ran_us * (double)NS_PER_US;
    if (measured) {
        histogram_add(&jobs->result->waited_us, result.waited_us);
        histogram_add(&jobs->result->ran_us, result.ran_us);
    }
    return NULL;
}

static const char *node_complaint(struct jobs *jobs, struct job *job, const struct frame *frame, bool measured)
{
    struct wire_error told;
    struct wire_busy busy;
    enum refusal refusal;
    int error = USHER_EPROTOCOL;
    if (LIKELY(frame->type == FRAME_TYPE_RESULT))
        return node_take_result(jobs, job, frame, measured);
    if (frame->type == FRAME_TYPE_BUSY) {
        error = wire_busy_decode(frame, &busy, &refusal);
        if (error >= 0 && measured)
            jobs->result->busy++;
        error = error < 0 ? error : USHER_EBUSY;
    } else if (frame->type == FRAME_TYPE_ERROR) {
        error = wire_error_decode(frame, &told, &refusal);
        error = error < 0 ? error : wire_error_to_error(told.code);
    }
    return error_name(error);
}

static void node_take(struct jobs *jobs, uint32_t index, const struct frame *frame)
{
    const struct ledger_entry *entry;
    struct job *job = job_find(jobs, frame->request_id, &entry);
    if (!job || job->state != JOB_RUNNING || job->node != index) {
        jobs->tally->unexpected++;
        return;
    }
    bool measured = tally_measures(jobs->tally, entry->planned_ns);
    const char *complaint = node_complaint(jobs, job, frame, measured);
    if (complaint && !*complaint)
        return;
    if (measured && complaint)
        jobs->nodes[index].refused++;
    else if (measured)
        jobs->nodes[index].jobs++;
    if (complaint && strcmp(complaint, error_name(USHER_EWAIT)) == 0)
        job_expire(jobs, frame->request_id);
    else
        job_end(jobs, frame->request_id, complaint);
}

static void node_receive(struct jobs *jobs, uint32_t index)
{
    int error = jobs_receive(jobs, &jobs->nodes[index].link, index, node_take);
    if (error < 0) /* an idle connection may be closed by the node at any time: then no job ends with it */
        jobs_end_all(jobs, JOBS_NODE, index, error_name(error));
}

void node_on_event(struct jobs *jobs, uint32_t index, uint32_t events)
{
    struct link *link = &jobs->nodes[index].link;
    if (link->fd < 0)
        return;
    int error = link->opening || (events & EPOLLOUT) ? link_on_writable(link) : 0;
    if (error < 0)
        jobs_end_all(jobs, JOBS_NODE, index, error_name(error));
    else if (events & ~(uint32_t)EPOLLOUT)
        node_receive(jobs, index);
}

void nodes_close(struct jobs *jobs)
{
    for (uint32_t i = 0; i < jobs->set.count; i++)
        link_close(&jobs->nodes[i].link);
    free(jobs->nodes);
    node_set_done(&jobs->set);
}
