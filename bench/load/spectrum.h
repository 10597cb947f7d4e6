/* spectrum - a histogram as a text file of percentiles, as HdrHistogram writes it, which its plotters read.
 * Thread: any. */
#pragma once

#include <stdio.h>

#include "core/base/histogram.h"

/* Values of the histogram are nanoseconds, those in the file milliseconds. Errors stay in the stream (ferror). */
void spectrum_write(FILE *file, const struct histogram *latency_ns);
