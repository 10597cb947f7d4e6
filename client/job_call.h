/* job_call - a call that runs a job: the shell round client/job.h. Asks for an address, connects, sends, collects the result.
 * Thread: the client's. Memory: job_call_start copies the data; all is freed after the callback. Nothing blocks. */
#pragma once

#include "client/client.h"

/* -EINVAL with client->message set; -EAGAIN, -ENOMEM. */
NODISCARD int job_call_start(struct usher_client *client, const struct usher_job *job, usher_on_result *callback, void *context,
                             uint64_t *ret_id);
