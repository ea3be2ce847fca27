/* fuzz.h: what a fuzz target defines; libFuzzer or replay.c calls it. `data` is exactly `size` bytes and dies after the call. Returns 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
