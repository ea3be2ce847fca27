/* email.h: what counts as an e-mail address: contract §1.10's check joined with the stricter one of the dashboard (§7.2), because an account
 * that cannot log in there is of no use. Pure. */
#pragma once

#include "picket/base/str.h"

enum { EMAIL_MAX = 255 };
/* ASCII; one '@'; a local part of 1–64 letters, digits and ._+-' without a dot first, last or doubled; a domain of labels with a dot between,
 * the last of two letters or more. */
bool email_is_valid(struct str email);
