/* hash.h: XXH3, 64 bits: checksums of spool records and hash tables. Not for secrets. Any thread. */
#pragma once

#include "picket/base/str.h"

uint64_t hash64(const void *p, size_t n);
uint64_t hash64_seeded(const void *p, size_t n, uint64_t seed);
