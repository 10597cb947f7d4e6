#include "core/wire/job.h"

#include <errno.h>

#include "core/wire/envelope.h"

int wire_job_encode_head(const struct wire_job *job, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = frame_begin(FRAME_TYPE_JOB, 0, request_id, bytes, capacity);
    if (job->service_time_ms == 0)
        wire_writer_fail(&writer, -EINVAL);
    wire_write_u64(&writer, job->client_id);
    wire_write_u64(&writer, job->job_id);
    wire_write_u64(&writer, job->service_id);
    wire_write_u32(&writer, job->service_time_ms);
    wire_write_u32(&writer, job->wait_ms);
    wire_write_u64(&writer, job->dispatcher_boot_id);
    return frame_finish_head(&writer, job->data_length);
}

/* Data reaches to the end of the frame, also in one from a newer version. */
static const uint8_t *data_read(struct wire_reader *reader, uint32_t *ret_length)
{
    *ret_length = (uint32_t)wire_reader_left(reader);
    return wire_read_bytes(reader, *ret_length);
}

int wire_job_decode(const struct frame *frame, struct wire_job *ret_job, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_job job;
    job.client_id = wire_read_u64(&reader);
    job.job_id = wire_read_u64(&reader);
    job.service_id = wire_read_u64(&reader);
    job.service_time_ms = wire_read_u32(&reader);
    job.wait_ms = wire_read_u32(&reader);
    job.dispatcher_boot_id = wire_read_u64(&reader);
    job.data = data_read(&reader, &job.data_length);
    if (job.data && job.service_time_ms == 0)
        wire_reader_refuse(&reader, REFUSAL_BAD_VALUE);
    int error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_job = job;
    return 0;
}

int wire_result_encode_head(const struct wire_result *result, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = frame_begin(FRAME_TYPE_RESULT, result->more ? FRAME_MORE : 0, request_id, bytes, capacity);
    wire_write_u64(&writer, result->job_id);
    wire_write_u32(&writer, result->waited_us);
    wire_write_u32(&writer, result->ran_us);
    return frame_finish_head(&writer, result->data_length);
}

int wire_result_decode(const struct frame *frame, struct wire_result *ret_result, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_result result;
    result.job_id = wire_read_u64(&reader);
    result.waited_us = wire_read_u32(&reader);
    result.ran_us = wire_read_u32(&reader);
    result.more = (frame->flags & FRAME_MORE) != 0;
    result.data = data_read(&reader, &result.data_length);
    int error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_result = result;
    return 0;
}

int wire_busy_encode(const struct wire_busy *busy, uint64_t request_id, uint8_t *bytes, size_t capacity)
{
    struct wire_writer writer = frame_begin(FRAME_TYPE_BUSY, 0, request_id, bytes, capacity);
    wire_write_u64(&writer, busy->job_id);
    wire_write_u32(&writer, busy->retry_after_ms);
    wire_write_u32(&writer, busy->queued);
    return frame_finish(&writer, 0);
}

int wire_busy_decode(const struct frame *frame, struct wire_busy *ret_busy, enum refusal *ret_refusal)
{
    struct wire_reader reader = frame_reader(frame);
    struct wire_busy busy;
    busy.job_id = wire_read_u64(&reader);
    busy.retry_after_ms = wire_read_u32(&reader);
    busy.queued = wire_read_u32(&reader);
    int error = wire_reader_finish(&reader, false, ret_refusal);
    if (error < 0)
        return error;
    *ret_busy = busy;
    return 0;
}
