/* Answers to connections. The requests of one connection stand behind each other in the queue, as many as one receive brought: for such
 * a run the connection is looked up once, and its answers are encoded one behind the other in the buffer that they leave from. */
#include "dispatcher/core_internal.h"

void send_tcp_flush(struct core *core)
{
    struct outgoing_run *run = &core->run;
    struct connection *connection = run->connection;
    run->source = CONNECTION_NONE;
    run->connection = NULL;
    if (!connection)
        return;
    if (run->bytes)
        stream_send_commit(connection->stream, run->length);
    connection_answered(connection, run->limits);
}

/* Begins a run, or goes on with one whose room is used up. */
static __attribute__((noinline)) void run_begin(struct core *core, const struct request *request)
{
    struct outgoing_run *run = &core->run;
    send_tcp_flush(core);
    *run = (struct outgoing_run){
        .source = request->source,
        .generation = request->generation,
        .connection = connections_find(&core->connections, request->source, request->generation),
    };
    if (!run->connection)
        return; /* its client has gone */
    if (stream_send_begin(run->connection->stream, request->limit, &run->bytes, &run->room) < 0) {
        run->bytes = NULL;
        stream_abort(run->connection->stream); /* an answer may not be left out of a stream */
    }
}

uint32_t send_tcp(struct core *core, const struct request requests[], uint32_t count)
{
    struct outgoing_run *run = &core->run;
    struct answer_run answers = {0};
    if (run->source != requests->source || run->generation != requests->generation || run->room - run->length < requests->limit)
        run_begin(core, requests);
    if (LIKELY(run->bytes))
        answer_encode_run(&core->answers, requests, count, run->bytes + run->length, run->room - run->length, &answers);
    run->length += answers.bytes;
    run->limits += answers.limits;
    if (LIKELY(answers.count))
        return answers.count;
    /* The first one is not a usual one, or its client has gone. */
    run->limits += requests->limit;
    if (run->bytes)
        run->length += answer_encode(&core->answers, requests, run->bytes + run->length);
    return 1;
}
