/* fuzz.h: what a fuzz target defines; libFuzzer or replay.c calls it. `data` is exactly `size` bytes and dies after the call. Returns 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer's own, and what a file beside a target may define to make inputs of (mutate_envelope.c): `data` has room for max_size bytes, the
 * result is the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
