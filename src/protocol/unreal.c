/* unreal.c: what the engine's CrashUpload writes, little-endian:
 *
 *   ["CR1"] header, files, [header] ; header := text directory, text name, u32 bytes, u32 number of files
 *   file := u32 index, text name, u32 length, content ; text := u32 length, characters padded with NUL (to 260 at least)
 *
 * Archives that begin with CR1 have their number of files in the first header; in older ones that is a placeholder, and the header is there
 * again at the end, so the last four bytes are the number. */
#include "picket/protocol/unreal.h"

#include "picket/base/error.h"

static bool take_u32(struct str *rest, uint32_t *ret)
{
    if (rest->n < 4)
        return false;
    const unsigned char *p = (const unsigned char *)rest->p;
    *ret = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    *rest = str_drop(*rest, 4);
    return true;
}

static bool take_bytes(struct str *rest, uint32_t max, struct str *ret)
{
    uint32_t n;
    if (!take_u32(rest, &n) || n > max || n > rest->n)
        return false;
    *ret = str_take(*rest, n);
    *rest = str_drop(*rest, n);
    return true;
}

static bool take_text(struct str *rest, struct str *ret)
{
    if (!take_bytes(rest, UNREAL_MAX_NAME, ret))
        return false;
    *ret = str_take(*ret, str_find(*ret, '\0'));
    return true;
}

int unreal_open(struct str archive, struct unreal *ret)
{
    struct str directory, name, last = str_drop(archive, archive.n - 4);
    struct unreal u = {.rest = archive};
    uint32_t bytes;
    bool is_marked = str_starts(archive, STR("CR1"));
    if (archive.n < 4)
        return -ERR_BAD_UNREAL;
    if (is_marked)
        u.rest = str_drop(archive, 3);
    if (!take_text(&u.rest, &directory) || !take_text(&u.rest, &name) || !take_u32(&u.rest, &bytes) || !take_u32(&u.rest, &u.left))
        return -ERR_BAD_UNREAL;
    if (!is_marked && !take_u32(&last, &u.left))
        return -ERR_BAD_UNREAL;
    if (u.left > UNREAL_MAX_FILES)
        return -ERR_BAD_UNREAL;
    *ret = u;
    return 0;
}

int unreal_next(struct unreal *u, struct unreal_file *ret)
{
    struct unreal_file file;
    uint32_t index;
    if (u->left == 0)
        return 0;
    if (!take_u32(&u->rest, &index) || !take_text(&u->rest, &file.name) || !take_bytes(&u->rest, UINT32_MAX, &file.content))
        return -ERR_BAD_UNREAL;
    u->left--;
    *ret = file;
    return 1;
}
