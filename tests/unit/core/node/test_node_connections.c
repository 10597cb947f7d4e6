/* What a node does with connections that cost it something: idle ones, unfinished frames, too many (reliability: slow or idle TCP). */
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/core/node/node_fixture.h"

static bool somebody_was_evicted(const struct fixture *fixture)
{
    return loop_stats(fixture->loop)->streams_evicted > 0;
}

/* One job runs and one waits, and both have been quiet for longer than all the others. */
static void idle_crowd(struct fixture *fixture)
{
    fixture->connections_max = 4;
    fixture_start(fixture);
    struct client *runs = fixture_connect(fixture);
    struct client *waits = fixture_connect(fixture);
    client_submit(runs, &(struct job_request){.service = "sleep", .data = "200ms", .job_id = 1, .client_id = 7});
    fixture_until(fixture, one_job_runs, "a job runs");
    client_submit(waits, &(struct job_request){.service = "echo", .data = "here", .job_id = 2, .client_id = 7});
    fixture_until_queued(fixture, 1);
    for (int i = 0; i < 5; i++)
        fixture_connect(fixture);
    fixture_until(fixture, somebody_was_evicted, "idle connections are closed");
    cr_expect_eq(client_await(runs, 1)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client_await(waits, 2)->type, FRAME_TYPE_RESULT);
}

Test(node_connections, idle_crowd_does_not_cost_jobs_their_connections)
{
    on_each_loop(idle_crowd);
}
