#include "bench/load/verdict.h"

enum verdict verdict_of(const struct verdict_evidence *evidence)
{
    if (evidence->sent == 0)
        return VERDICT_NOTHING_SENT;
    if (evidence->disconnected)
        return VERDICT_DISCONNECTED;
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
    case VERDICT_SILENT: return "the server fell silent before the end: the figures are of the time before";
    case VERDICT_FELL_BEHIND:
        return "the generator fell behind its own schedule: give a lower --rate, or give it a core of its own";
    case VERDICT_BOTTLENECK: return "the generator was busy all the time and the server was not: this is the generator's limit";
    case VERDICT_BOTTLENECK_PERHAPS:
        return "the generator was busy all the time, and whether the server was is unknown: give --server-pid";
    }
    return "";
}
