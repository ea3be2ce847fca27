/* account.h: entries of an account as item readers write them (items.h, "outcomes"). Private to the event layer. */
#pragma once

#include "picket/event/items.h"
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
/* Writes one element of "left": what of an item of so many bytes is told to be left out. */
void account_put_left(struct json_writer *w, const struct item_origin *origin, const struct account_line *line, size_t bytes);
/* "client": name/version of the SDK; nothing when it is not known. */
void account_put_client(struct json_writer *w, const struct item_origin *origin);
/* That, and "bytes": what is told of an item which is not stored in the end. */
void account_put_sender(struct json_writer *w, const struct item_origin *origin, size_t bytes);
