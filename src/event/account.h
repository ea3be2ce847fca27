/* account.h: entries of an account as item readers write them (items.h, "outcomes"). Private to the event layer. */
#pragma once

#include "picket/json/json.h"
#include "picket/protocol/category.h"

struct account_line {
    int64_t at_us;
    int category;
    enum outcome_id outcome;
    struct str reason;
    int64_t quantity;
};
/* Writes one element of the array. */
void account_put(struct json_writer *w, const struct account_line *line);
/* Writes the whole member for an item that is one of its category. */
void account_put_accepted(struct json_writer *w, int64_t at_us, enum category category, int64_t quantity);
