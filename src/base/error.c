/* error.c: look-ups in the error table. */
#include "picket/base/error.h"

#include <string.h>

struct error_row {
    int number, status;
    enum error_fate fate;
    const char *name, *type, *text;
};

static const struct error_row rows[] = {
#define X(name, number, status, fate, type, text) {number, status, fate, #name, type, text},
    ERR_MAP(X)
#undef X
};

static const struct error_row *find(int r)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].number == -r)
            return &rows[i];
    return NULL;
}

int err_status(int r)
{
    const struct error_row *e = find(r);
    return e ? e->status : 500;
}

enum error_fate err_fate(int r)
{
    const struct error_row *e = find(r);
    return e ? e->fate : FATE_RETRY;
}

const char *err_name(int r)
{
    const struct error_row *e = find(r);
    if (e)
        return e->name;
    const char *name = strerrorname_np(-r);
    return name ? name : "UNKNOWN";
}

const char *err_type(int r)
{
    const struct error_row *e = find(r);
    return e ? e->type : "InternalError";
}

const char *err_text(int r)
{
    const struct error_row *e = find(r);
    if (e)
        return e->text;
    const char *text = strerrordesc_np(-r);
    return text ? text : "unknown error";
}
