/* utf16.h: UTF-16 of crash reports as UTF-8. Pure. Private to event. */
#pragma once

#include "picket/base/arena.h"

/* Up to the first NUL; what is no well-formed pair becomes U+FFFD. Bytes are little-endian unless `is_swapped`; an odd last one is left out. In the arena. */
struct str utf16_text(struct str bytes, bool is_swapped, struct arena *a);
