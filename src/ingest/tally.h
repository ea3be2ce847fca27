/* tally.h: what the door refused or left out, told in the log without being flooded: each reason once at once, then at most once a minute with
 * the number since. Any thread. */
#pragma once

#include "picket/base/macros.h"
#include "picket/base/str.h"

struct tally;
struct tally *tally_new(void);
void tally_free(struct tally *t); /* tells what is left; NULL is fine */
/* `reason` is a negative error code. `client` is what the SDK calls itself, "" if unknown. */
void tally_add(struct tally *t, int reason, unsigned n, uint64_t project_id, struct str client);
void tally_tell(struct tally *t); /* from time to time: what came since and is due */
