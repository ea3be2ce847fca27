/* slug.h: the name of a project as it stands in URLs and short ids (contract §1.11). Pure. */
#pragma once

#include "picket/base/buf.h"

enum { SLUG_MAX = 90 }; /* leaves room for the suffix that tells equal ones apart; 100 is the limit of a slug */

/* Appends the slug of `name`: ASCII letters in lower case and digits, Latin letters with marks, Greek and Cyrillic ones as their ASCII
 * kin, every other run of characters as one '-', none at the ends, cut to SLUG_MAX. A name in another script alone is "project". -ERR_INVALID when
 * nothing is left. */
MUST_CHECK int slug_make(struct buf *out, struct str name);
