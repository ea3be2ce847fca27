/* histogram.h: how long things took, in memory that does not grow: 128 steps per power of two, so within 1 %. The highest is exact. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_STEPS_LOG2 = 7, HISTOGRAM_STEPS = 1 << HISTOGRAM_STEPS_LOG2, HISTOGRAM_BUCKETS = 40 * HISTOGRAM_STEPS };
struct histogram { /* all zero: empty */
    uint64_t counts[HISTOGRAM_BUCKETS], total, highest_us;
};

void histogram_note(struct histogram *h, uint64_t us);
/* What that share of them, 0 to 1, did not exceed; 1: the highest. */
double histogram_ms(const struct histogram *h, double share);
