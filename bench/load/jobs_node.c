/* The side of the nodes: jobs leave, results come. */
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
        jobs->nodes[index] = (struct jobs_node){.address = *address};
        link_init(&jobs->nodes[index].link, jobs->epoll_fd, jobs_tag(JOBS_NODE, index));
    }
    return index;
}

/* The data is drawn for each job, or always the same. */
static uint32_t node_job_data(struct jobs *jobs, char duration[static JOBS_DURATION_BYTES], const void **ret_data)
{
    if (!jobs->config->timed) {
        *ret_data = jobs->data;
        return jobs->config->data_bytes;
    }
    uint64_t ns = distribution_draw_ns(&jobs->config->service_time, &jobs->random);
    *ret_data = duration;
    return (uint32_t)snprintf(duration, JOBS_DURATION_BYTES, "%.3fus", (double)ns / (double)NS_PER_US);
}

static int node_send(struct jobs *jobs, struct jobs_node *node, uint64_t id, uint64_t dispatcher_boot_id)
{
    uint8_t head[JOB_HEAD_BYTES];
    char duration[JOBS_DURATION_BYTES];
    const void *data;
    /* The node's own limits come later than ours: what has not ended in time is lost here, and not an error there. */
    uint32_t timeout_ms = (uint32_t)(jobs->config->timeout_ns / NS_PER_MS) + JOBS_MARGIN_MS;
    struct wire_job job = {
        .client_id = jobs->client_id,
        .job_id = id,
        .service_id = jobs->config->service_id,
        .dispatcher_boot_id = dispatcher_boot_id,
        .service_time_ms = timeout_ms,
        .wait_ms = timeout_ms,
        .data_length = node_job_data(jobs, duration, &data),
    };
    int length = wire_job_encode_head(&job, id, head, sizeof(head));
    return length < 0 ? length : link_send(&node->link, head, (size_t)length, data, job.data_length);
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
    int error = wire_result_decode(frame, &result, &refusal);
    if (error < 0 || result.job_id != frame->request_id)
        return error_name(USHER_EPROTOCOL);
    if (jobs->config->echoed &&
        (result.data_length > jobs->config->data_bytes - job->result_bytes ||
         (result.data_length > 0 && memcmp(result.data, jobs->data + job->result_bytes, result.data_length) != 0)))
        return error_name(USHER_EPROTOCOL);
    job->result_bytes += result.data_length;
    if (result.more)
        return "";
    if (jobs->config->echoed && job->result_bytes != jobs->config->data_bytes)
        return error_name(USHER_EPROTOCOL);
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
