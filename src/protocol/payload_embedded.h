/* payload_embedded.h: what dictionary.py made of recorded traffic. */
#pragma once

#include <stddef.h>

struct payload_embedded {
    size_t n;
    const unsigned char *bytes;
};

extern const struct payload_embedded payload_embedded_1;
