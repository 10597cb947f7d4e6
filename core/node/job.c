#include "core/node/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int job_new(const struct wire_job *wire, uint64_t request_id, uint64_t received_ns, struct job **ret_job)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return -ENOMEM;
    job->wire = *wire;
    job->wire.data = (const uint8_t *)"";
    if (wire->data_length > 0) {
        job->data = malloc(wire->data_length);
        if (job->data == NULL) {
            free(job);
            return -ENOMEM;
        }
        memcpy(job->data, wire->data, wire->data_length);
        job->wire.data = job->data;
    }
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
    job_data_free(job);
    buffer_done(&job->end.frame);
    free(job);
}

void job_data_free(struct job *job)
{
    free(job->data);
    job->data = NULL;
    job->wire.data = (const uint8_t *)"";
    job->wire.data_length = 0;
}
