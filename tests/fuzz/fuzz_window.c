/* fuzz_window.c: the sliding window, driven by any order of steps: two bytes say how far time goes, one what is done, two how much. What it counts is
 * compared with a plain list of all takings (src/protocol/window.c W1–W3), but for what was taken back. */
#include "fuzz.h"

#include <stdlib.h>

#include "picket/base/macros.h"
#include "picket/protocol/window.h"

enum { STEP_BYTES = 5, TAKINGS_MAX = 4096 };

struct taking {
    int64_t at_us;
    uint64_t n;
};

static uint64_t sum_since(const struct taking *takings, size_t n, int64_t since_us, int64_t now_us)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (takings[i].at_us > since_us && takings[i].at_us <= now_us)
            sum += takings[i].n;
    return sum;
}

static void check_wait(const struct window *w, int64_t now_us, uint64_t limit, uint64_t n)
{
    struct window copy = *w;
    int64_t wait = window_wait_us(&copy, now_us, limit, n);
    assert(wait >= 0 && wait <= w->length_us);
    if (n > limit)
        assert(wait == w->length_us);
    else if (wait == 0)
        assert(window_sum(&copy, now_us) + n <= limit);
    else
        assert(window_wait_us(&copy, now_us + wait - 1, limit, n) == 1 && window_wait_us(&copy, now_us + wait, limit, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t lengths[] = {30, 3000, 60 * INT64_C(1000000), 3600 * INT64_C(1000000), 86400 * INT64_C(1000000)};
    struct window w;
    bool taken_back = false;
    size_t n_takings = 0;
    AUTO_FREE struct taking *takings = calloc(TAKINGS_MAX, sizeof *takings);
    if (size < 1 || !takings)
        return 0;
    int64_t length = lengths[data[0] % ARRAY_LEN(lengths)], unit = length / 1000 ? length / 1000 : 1, now = data[0] * length;
    window_init(&w, length, now);
    for (size_t i = 1; i + STEP_BYTES <= size && n_takings < TAKINGS_MAX; i += STEP_BYTES) {
        uint64_t n = data[i + 3] | (unsigned)data[i + 4] << 8;
        int64_t by = (data[i] | data[i + 1] << 8) * unit / (data[i + 2] & 8 ? 64 : 1), at = now + by;
        switch (data[i + 2] & 3) {
        case 0:
            now = at;
            window_add(&w, now, n);
            takings[n_takings++] = (struct taking){now, n};
            break;
        case 1: /* earlier */
            window_add_at(&w, now, now - by, n);
            if (now - by >= 0)
                takings[n_takings++] = (struct taking){now - by, n};
            break;
        case 2:
            now = at;
            window_take_back(&w, now, n);
            taken_back = taken_back || n > 0;
            break;
        default:
            now = at;
            check_wait(&w, now, n, n / 3);
            check_wait(&w, now, n, 1);
        }
        uint64_t sum = window_sum(&w, now), most = sum_since(takings, n_takings, now - length - length / WINDOW_SLOTS, now);
        assert(sum <= most && (taken_back || sum >= sum_since(takings, n_takings, now - length, now)));
    }
    return 0;
}
