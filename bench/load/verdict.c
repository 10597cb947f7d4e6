#include "bench/load/verdict.h"

#include <errno.h>
#include <string.h>

#include "bench/load/tally.h"
#include "core/base/errors.h"
#include "core/base/macros.h"

enum verdict verdict_of(const struct verdict_evidence *evidence)
{
    if (evidence->disconnected)
        return VERDICT_DISCONNECTED;
    if (evidence->sent == 0) /* of what was planned nothing left in time, if nothing else kept it */
        return evidence->unsent > 0 && evidence->errors == 0 ? VERDICT_FELL_BEHIND : VERDICT_NOTHING_SENT;
    if (evidence->answered == 0)
        return VERDICT_UNANSWERED;
    if (!evidence->open_loop && evidence->silent > VERDICT_SILENT_MAX)
        return VERDICT_SILENT;
    if (evidence->open_loop && (evidence->unsent > 0 || (double)evidence->late > (double)evidence->sent * VERDICT_LATE_SHARE_MAX))
        return VERDICT_FELL_BEHIND;
    if (evidence->client_busy < VERDICT_CPU_FULL || evidence->server_thread_cpu >= VERDICT_CPU_FULL)
        return VERDICT_VALID;
    return evidence->server_thread_cpu < 0 ? VERDICT_BOTTLENECK_PERHAPS : VERDICT_BOTTLENECK;
}

const char *verdict_code(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_VALID: return "valid";
    case VERDICT_NOTHING_SENT: return "nothing-sent";
    case VERDICT_DISCONNECTED: return "disconnected";
    case VERDICT_UNANSWERED: return "unanswered";
    case VERDICT_SILENT: return "silent";
    case VERDICT_FELL_BEHIND: return "fell-behind";
    case VERDICT_BOTTLENECK: return "bottleneck";
    case VERDICT_BOTTLENECK_PERHAPS: return "bottleneck-perhaps";
    }
    return "";
}

const char *verdict_text(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_VALID: return "the generator was not the limit";
    case VERDICT_NOTHING_SENT: return "nothing was sent in the time that is measured";
    case VERDICT_DISCONNECTED: return "every connection was lost before the end: what was planned after that is missing";
    case VERDICT_UNANSWERED: return "nothing was answered: the figures say nothing about a server";
    case VERDICT_SILENT: return "the server fell silent before the end: the figures are of the time before";
    case VERDICT_FELL_BEHIND:
        return "the generator fell behind its own schedule: give a lower --rate, or give it a core of its own";
    case VERDICT_BOTTLENECK: return "the generator was busy all the time and the server was not: this is the generator's limit";
    case VERDICT_BOTTLENECK_PERHAPS:
        return "the generator was busy all the time, and whether the server was is unknown: give --server-pid";
    }
    return "";
}

const char *verdict_advice_unsent(bool errors, bool interrupted)
{
    if (errors)
        return "the errors by name say what failed";
    return interrupted ? "it was interrupted before anything was measured: let it run for longer, or give a shorter --warmup"
                       : "give a longer --duration or a higher --rate";
}

const char *verdict_advice(const char *cause)
{
    const struct {
        const char *cause;
        const char *advice;
    } rows[] = {
        {TALLY_TIMEOUT, "no reply came within --reply-timeout: is that the address of a server that is asked this way, and does "
                        "no firewall stand "
                        "between?"},
        {error_name(-ECONNREFUSED), "nobody listens at that port: start the server, or mend --dispatcher"},
        {error_name(-ECONNRESET), "the connections were closed: is that a server that is asked this way (--proto)?"},
        {error_name(-EPIPE), "the connections were closed: is that a server that is asked this way (--proto)?"},
        {error_name(USHER_ECONNECTION), "the connections were closed: is that a server that is asked this way (--proto)?"},
        {error_name(USHER_EPROTOCOL), "what came back is something else: is that a server that is asked this way (--proto)?"},
        {error_name(USHER_ENOSERVICE), "no node has ever offered the service: start one that does, or mend --service"},
        {error_name(USHER_ENONODE), "no eligible node offers the service: see usherctl nodes at the dispatcher"},
        {error_name(USHER_ENOTDISPATCHER), "that is a worker, which names no nodes: give a dispatcher's address to --dispatcher"},
        {error_name(USHER_ENOTACCEPTED), "what was asked does not take this: is --dispatcher a dispatcher's address, and does "
                                         "the service's node take jobs?"},
        {error_name(USHER_EWAIT), "no node could begin a job in time for it to end within --reply-timeout: give a longer one, or "
                                  "less load"},
        {error_name(USHER_EJOBFAILED), "the service fails: usher run with the same --service and data shows what it says"},
        {TALLY_INTERRUPTED, "a second Ctrl-C does not wait for replies: let it run for longer, or give one and wait"},
        {"other-node", "the nodes that were named are not in --nodes: mend that list"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (strcmp(rows[i].cause, cause) == 0)
            return rows[i].advice;
    return "docs/ERRORS.md and docs/LOAD.md say what the names of these errors mean";
}
