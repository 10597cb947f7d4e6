#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/job_queue.h"

static struct job_queue *queue_of(size_t capacity)
{
    struct job_queue *queue = NULL;
    cr_assert_eq(job_queue_new(capacity, &queue), 0);
    return queue;
}

static char jobs[3];

Test(job_queue, capacity_not_a_power_of_two_is_refused)
{
    struct job_queue *queue = NULL;
    cr_assert_eq(job_queue_new(100, &queue), -EINVAL);
    cr_assert_null(queue);
}

Test(job_queue, full_refuses_a_push)
{
    struct job_queue *queue = queue_of(2);
    cr_assert_eq(job_queue_push(queue, &jobs[0]), 0);
    cr_assert_eq(job_queue_push(queue, &jobs[1]), 0);
    cr_assert_eq(job_queue_push(queue, &jobs[2]), -EAGAIN);
    cr_assert_eq(job_queue_length(queue), 2);
    job_queue_free(queue);
}

Test(job_queue, closed_refuses_a_push)
{
    struct job_queue *queue = queue_of(2);
    job_queue_close(queue);
    cr_assert_eq(job_queue_push(queue, &jobs[0]), -ECANCELED);
    cr_assert_eq(job_queue_length(queue), 0);
    job_queue_free(queue);
}

Test(job_queue, empty_pop_times_out)
{
    struct job_queue *queue = queue_of(2);
    void *job;
    cr_assert_eq(job_queue_try_pop(queue, &job), -EAGAIN);
    cr_assert_eq(job_queue_pop(queue, 0, &job), -ETIMEDOUT);
    cr_assert_eq(job_queue_pop(queue, 1, &job), -ETIMEDOUT);
    job_queue_free(queue);
}

Test(job_queue, closed_and_empty_pop_does_not_wait)
{
    struct job_queue *queue = queue_of(2);
    job_queue_close(queue);
    void *job;
    cr_assert_eq(job_queue_pop(queue, JOB_QUEUE_WAIT_FOREVER, &job), -ECANCELED);
    cr_assert_eq(job_queue_pop(queue, 0, &job), -ECANCELED);
    job_queue_free(queue);
}

Test(job_queue, closed_still_hands_out_what_is_inside)
{
    struct job_queue *queue = queue_of(2);
    cr_assert_eq(job_queue_push(queue, &jobs[0]), 0);
    cr_assert_eq(job_queue_push(queue, &jobs[1]), 0);
    job_queue_close(queue);
    void *job;
    cr_assert_eq(job_queue_pop(queue, JOB_QUEUE_WAIT_FOREVER, &job), 0);
    cr_assert_eq(job, (void *)&jobs[0]);
    cr_assert_eq(job_queue_try_pop(queue, &job), 0);
    cr_assert_eq(job, (void *)&jobs[1]);
    cr_assert_eq(job_queue_pop(queue, JOB_QUEUE_WAIT_FOREVER, &job), -ECANCELED);
    job_queue_free(queue);
}

Test(job_queue, oldest_job_comes_first)
{
    struct job_queue *queue = queue_of(4);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(job_queue_push(queue, &jobs[i]), 0);
    for (int i = 0; i < 3; i++) {
        void *job;
        cr_assert_eq(job_queue_pop(queue, JOB_QUEUE_WAIT_FOREVER, &job), 0);
        cr_assert_eq(job, (void *)&jobs[i]);
    }
    job_queue_free(queue);
}

Test(job_queue, free_of_null_is_a_no_op)
{
    job_queue_free(NULL);
}
