/* yy.h: the one place where our opaque types and the library's meet. A `struct json` is a yyjson_val, a `struct json_doc` a yyjson_doc:
 * the casts cost nothing and nobody outside this directory can look inside.
 *
 * What the reader's flags make of odd numbers (read.c): integers beyond 64 bits, numbers beyond double, NaN and Infinity all arrive as
 * YYJSON_TYPE_RAW with their text. Of these only an integer that still fits a double counts as a number; the rest is null. */
#pragma once

#include <yyjson.h>

#include "picket/json/json.h"

static inline yyjson_val *yy_val(const struct json *v)
{
    return (yyjson_val *)v;
}

static inline const struct json *yy_json(const yyjson_val *v)
{
    return (const struct json *)v;
}

/* The value of an integer beyond 64 bits. False for every other raw text: it reads as null. */
static inline bool yy_raw_number(yyjson_val *v, double *ret)
{
    const char *text = unsafe_yyjson_get_raw(v);
    yyjson_val number;
    char first = text[*text == '-'];
    if (first < '0' || first > '9' || !yyjson_read_number(text, &number, YYJSON_READ_NOFLAG, NULL, NULL))
        return false;
    *ret = yyjson_get_num(&number);
    return true;
}
