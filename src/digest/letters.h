/* letters.h: looks after the dead letters: retries those that are marked, spills what is above the bound. Private to digest. */
#pragma once

#include "picket/digest/digest.h"

struct letters;
MUST_CHECK int letters_open(const struct digest_letters_config *config, const struct db_config *db, struct letters **ret);
void letters_close(struct letters *l);                                   /* NULL is fine */
void letters_wake(struct letters *l);                                    /* look soon; any thread */
void letters_stats(struct letters *l, struct digest_letters_stats *ret); /* any thread */
