/* job - what a client and a node say to each other, over TCP: JOB → RESULT, BUSY or ERROR.
 *
 * Data is not copied: encoders write what goes before it, decoders point into the frame.
 * Decoders: USHER_EPROTOCOL with the reason in *ret_refusal; ret_* untouched then. Encoders: the number of bytes written, or -EMSGSIZE.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/wire/frame.h"

#define JOB_HEAD_BYTES 60u
#define RESULT_HEAD_BYTES 36u
#define BUSY_BYTES 36u

struct wire_job {
    uint64_t client_id; /* (client_id, job_id) runs once on a node and boot */
    uint64_t job_id;
    uint64_t service_id;
    uint64_t dispatcher_boot_id; /* of the dispatcher that gave the node's address; 0: unknown */
    uint32_t service_time_ms; /* ≥ 1, from the job's start */
    uint32_t wait_ms; /* at most this long in the queue; 0: no limit */
    uint32_t data_length; /* ≤ JOB_DATA_BYTES_MAX */
    const uint8_t *data;
};

/* Writes JOB_HEAD_BYTES: all of the frame but its data, which the caller sends behind it (data itself is not looked at).
 * -EMSGSIZE also for too much data, -EINVAL for a service time of 0. */
NODISCARD int wire_job_encode_head(const struct wire_job *job, uint64_t request_id, uint8_t *bytes, size_t capacity);
NODISCARD int wire_job_decode(const struct frame *frame, struct wire_job *ret_job, enum refusal *ret_refusal);

struct wire_result {
    uint64_t job_id;
    uint32_t waited_us; /* in the queue; counts in the last part */
    uint32_t ran_us; /* counts in the last part */
    bool more; /* further RESULT frames with this request ID follow */
    uint32_t data_length; /* ≤ RESULT_PART_BYTES_MAX */
    const uint8_t *data;
};

/* Writes RESULT_HEAD_BYTES, as wire_job_encode_head does. */
NODISCARD int wire_result_encode_head(const struct wire_result *result, uint64_t request_id, uint8_t *bytes, size_t capacity);
NODISCARD int wire_result_decode(const struct frame *frame, struct wire_result *ret_result, enum refusal *ret_refusal);

struct wire_busy {
    uint64_t job_id;
    uint32_t retry_after_ms;
    uint32_t queued; /* jobs in the node's queue */
};

NODISCARD int wire_busy_encode(const struct wire_busy *busy, uint64_t request_id, uint8_t *bytes, size_t capacity);
NODISCARD int wire_busy_decode(const struct frame *frame, struct wire_busy *ret_busy, enum refusal *ret_refusal);
