/* rules.h: what projects want taken out of what they send (event/scrub.h), as the database says it when a batch asks. Private to digest; of one batch. */
#pragma once

#include "picket/base/arena.h"
#include "picket/event/scrub.h"

struct rules_entry {
    uint64_t project_id;
    struct scrub_rules rules; /* its names are in the arena */
};
struct rules {                /* zeroed: nobody has any of his own */
    struct rules_entry *list; /* heap */
    size_t n, cap;
};
void rules_clear(struct rules *r);
void rules_done(struct rules *r);
/* `settings`: the project's column scrubbing, "" when it says nothing; what it holds that is none of ours is as if it were not there. */
void rules_add(struct rules *r, uint64_t project_id, struct str settings, struct arena *arena);
/* The project's, else SCRUB_DEFAULTS; as long as nothing is added. */
const struct scrub_rules *rules_of(const struct rules *r, uint64_t project_id);
