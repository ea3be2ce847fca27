/* payload_dictionary.h: what dictionary.py made of recorded traffic. */
#pragma once

#include <stddef.h>

struct payload_dictionary {
    size_t n;
    const unsigned char *bytes;
};

extern const struct payload_dictionary payload_dictionary_1;
