/* user_agent.h: which program, system and device a User-Agent header and the client hints beside it name (protocol §5.9). Private to the
 * event layer. Any thread; any bytes. */
#pragma once

#include "picket/base/arena.h"

/* Values of the Sec-CH-UA headers, "" when absent. */
struct user_agent_hints {
    struct str brands; /* Sec-CH-UA-Full-Version-List, or Sec-CH-UA */
    struct str platform, platform_version, model;
};

struct user_agent_part {
    struct str name, version; /* "": unknown */
};

/* Texts are static or the arena's, at most USER_AGENT_TEXT_MAX bytes, well-formed UTF-8. */
enum { USER_AGENT_TEXT_MAX = 64 };
struct user_agent {
    struct user_agent_part browser, os; /* browser: any client program */
    struct str device_family, device_model, device_brand;
};

void user_agent_read(struct str header, const struct user_agent_hints *hints, struct arena *a, struct user_agent *ret);
