#include "core/node/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int job_new(const struct wire_job *wire, uint64_t request_id, uint64_t received_ns, struct job **ret_job)
{
    struct job *job = calloc(1, sizeof(*job) + wire->data_length);
    if (job == NULL)
        return -ENOMEM;
    job->wire = *wire;
    job->wire.data = (const uint8_t *)(job + 1);
    if (wire->data_length > 0)
        memcpy(job + 1, wire->data, wire->data_length);
    job->request_id = request_id;
    job->received_ns = received_ns;
    job->end = (struct job_part){.job = job, .end = true};
    atomic_init(&job->state, JOB_QUEUED);
    atomic_init(&job->stopped, false);
    atomic_init(&job->parts_unsent, 0);
    atomic_init(&job->waits_for_room, false);
    *ret_job = job;
    return 0;
}

void job_free(struct job *job)
{
    if (job == NULL)
        return;
    buffer_done(&job->end.frame);
    free(job);
}
