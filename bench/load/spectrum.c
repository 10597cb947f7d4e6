#include "bench/load/spectrum.h"

#include <inttypes.h>
#include <math.h>

#include "core/base/clock.h"

#define SPECTRUM_STEPS 5 /* rows until what is left has halved */

static double spectrum_deviation_ns(const struct histogram *latency_ns)
{
    double mean = histogram_mean(latency_ns), sum = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double off = (double)histogram_bucket_value(i) - mean;
        sum += off * off * (double)latency_ns->bucket[i];
    }
    return latency_ns->total > 0 ? sqrt(sum / (double)latency_ns->total) : 0;
}

void spectrum_write(FILE *file, const struct histogram *latency_ns)
{
    double total = (double)latency_ns->total, fraction = 0;
    uint64_t seen = 0;
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && seen < latency_ns->total; i++) {
        if (latency_ns->bucket[i] == 0)
            continue;
        seen += latency_ns->bucket[i];
        double value_ms = (double)(seen < latency_ns->total ? histogram_bucket_value(i) : latency_ns->max) / (double)NS_PER_MS;
        while (seen < latency_ns->total && fraction * total <= (double)seen) {
            fprintf(file, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", value_ms, fraction, seen, 1 / (1 - fraction));
            fraction += 1 / (SPECTRUM_STEPS * exp2(floor(log2(1 / (1 - fraction))) + 1));
        }
        if (seen == latency_ns->total)
            fprintf(file, "%12.3f %2.12f %10" PRIu64 " %14s\n", value_ms, 1.0, seen, "inf");
    }
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(latency_ns) / (double)NS_PER_MS,
            spectrum_deviation_ns(latency_ns) / (double)NS_PER_MS);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)latency_ns->max / (double)NS_PER_MS,
            latency_ns->total);
    fprintf(file, "#[Buckets = %12u, SubBuckets     = %12u]\n", HISTOGRAM_BUCKETS / HISTOGRAM_HALF, HISTOGRAM_HALF);
}
