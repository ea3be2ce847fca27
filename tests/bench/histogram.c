#include "histogram.h"

#include <math.h>

enum { LOG2 = HISTOGRAM_STEPS_LOG2, STEPS = HISTOGRAM_STEPS };

static unsigned bucket_of(uint64_t us)
{
    if (us < STEPS)
        return (unsigned)us;
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    unsigned b = (power - LOG2) * STEPS + (unsigned)(us >> (power - LOG2));
    return b < HISTOGRAM_BUCKETS ? b : HISTOGRAM_BUCKETS - 1;
}

static double bucket_us(unsigned b)
{
    return b < STEPS ? b : ldexp(STEPS + b % STEPS, (int)(b / STEPS) - 1);
}

void histogram_note(struct histogram *h, uint64_t us)
{
    h->counts[bucket_of(us)]++;
    h->total++;
    if (us > h->highest_us)
        h->highest_us = us;
}

double histogram_ms(const struct histogram *h, double share)
{
    uint64_t seen = 0;
    if (share >= 1)
        return (double)h->highest_us / 1e3;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        seen += h->counts[b];
        if (seen > 0 && (double)seen >= share * (double)h->total)
            return bucket_us(b) / 1e3;
    }
    return 0;
}
