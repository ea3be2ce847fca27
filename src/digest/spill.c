/* spill.c: dead letters as files, one each.
 *
 * A file is an envelope: a header line, an item header with type and length, the payload as it came. The header is that of the envelope in
 * which the item arrived, without its dsn, with the event's id if it has one and, under "dead_letter", what its row said. So nothing is needed
 * to read it but eyes; `picket dlq retry` makes a row of it again, and `picket send DSN FILE` sends it as an item of today, to any server. The
 * door's own accounts are no items: their type is one that every server skips.
 *
 * A file is written under another name, synced, renamed, and its directory synced: under its own name it is whole. Names begin with the
 * letter's number in 19 digits, so that their order is that of the numbers; the record's id tells letters of different databases apart.
 * Beyond max_bytes the oldest go, a tenth of the bound at once, because looking for them costs a walk through the directory.
 *
 * A letter is as old as its head says (first_failed_at). Heads are not read of files whose name, by the record's id, says that it was received later than
 * that: it cannot have failed before.
 *
 * Who turns a file back into a row holds the directory (flock) until the file is gone; who writes does not wait for that, but comes again. */
#include "picket/digest/spill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "picket/base/clock.h"
#include "picket/base/fault.h"
#include "picket/json/json.h"
#include "picket/spool/spool.h"

static const char UNFINISHED_NAME[] = "unfinished";
enum { NUMBER_DIGITS = 19, FILE_MAX = 2 * SPOOL_MAX_RECORD, SETTLED_US = 100000 };

struct spill {
    char *dir;
    uint64_t max_bytes;
    struct spill_stats stats;
    struct timespec changed; /* the directory, when it was looked at last */
    bool dir_is_durable;
};

/* ---- names */

void spill_file(const struct spill_name *name, char dst[SPILL_NAME_MAX])
{
    char record[ID_HEX + 1];
    id_hex(&name->record, record);
    (void)snprintf(dst, SPILL_NAME_MAX, "%0*" PRId64 "-%s.envelope", NUMBER_DIGITS, name->number, record); /* always fits */
}

/* Only the name that spill_file() would give: a letter has one, and under another its file would be listed and not be found. */
static bool parse_name(struct str file, struct spill_name *ret)
{
    struct str number = str_take(file, NUMBER_DIGITS), id = str_take(str_drop(file, NUMBER_DIGITS + 1), ID_HEX);
    char expected[SPILL_NAME_MAX];
    if (!str_to_i64(number, &ret->number) || ret->number < 0 || !id_parse(id, &ret->record))
        return false;
    spill_file(ret, expected);
    return str_eq(file, str_from(expected));
}

static int by_number(const void *pa, const void *pb)
{
    const struct spill_name *a = pa, *b = pb;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return id_cmp(&a->record, &b->record);
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int spill_list(const char *dir, struct spill_name **ret, size_t *ret_n)
{
    size_t n = 0, cap = 0;
    AUTO_FREE struct spill_name *names = NULL;
    DIR *d = opendir(dir);
    if (!d && errno != ENOENT)
        return -errno;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        struct spill_name name;
        if (!parse_name(str_from(e->d_name), &name))
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            names = realloc(names, cap * sizeof *names);
            if (!names)
                abort();
        }
        names[n++] = name;
    }
    if (d)
        (void)closedir(d); /* only read */
    if (n)
        qsort(names, n, sizeof *names, by_number);
    *ret = TAKE_PTR(names);
    *ret_n = n;
    return 0;
}

/* ---- writing */

/* Members of the header that came; those that the file says itself or that would bind it to one DSN are left out. */
static void put_meta(struct json_writer *w, struct str meta)
{
    AUTO_JSON struct json_doc *doc = NULL;
    if (json_parse(meta, &doc, NULL) < 0 || json_type(json_root(doc)) != JSON_OBJECT)
        return;
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        struct str key;
        if (!json_str_raw(it.key, &key) || str_eq(key, STR("event_id")) || str_eq(key, STR("dsn")) || str_eq(key, STR("dead_letter")))
            continue;
        json_key(w, key);
        json_put_value(w, it.value);
    }
}

static void make_file(const struct dead_letter *letter, struct str payload, struct buf *out)
{
    static const struct id128 none = {{0}};
    struct json_writer w;
    char event[ID_HEX + 1];
    struct dead_letter spilled = *letter;
    spilled.status = STR("spilled");
    id_hex(&letter->event, event);
    json_writer_init(&w, out);
    json_begin_object(&w);
    if (!id_eq(&letter->event, &none))
        json_field_str(&w, STR("event_id"), str_of(event, ID_HEX));
    json_key(&w, STR("dead_letter"));
    json_begin_object(&w);
    dead_letter_put_whole(&w, &spilled);
    json_end_object(&w);
    put_meta(&w, letter->meta);
    json_end_object(&w);
    buf_append_char(out, '\n');
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_str(&w, STR("type"), dead_letter_item_type(letter->kind));
    json_field_i64(&w, STR("length"), (int64_t)payload.n);
    json_end_object(&w);
    buf_append_char(out, '\n');
    buf_append_str(out, payload);
    buf_append_char(out, '\n');
}

static int write_all(int fd, struct str bytes)
{
    while (bytes.n) {
        int r = fault("digest.spill.write");
        if (r < 0)
            return r;
        ssize_t n = write(fd, bytes.p, r ? bytes.n / 2 : bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        bytes = str_drop(bytes, (size_t)n);
    }
    return 0;
}

static int sync_fd(int fd)
{
    int r = fault("digest.spill.sync");
    if (r < 0)
        return r;
    return fsync(fd) < 0 ? -errno : 0;
}

static int write_file(int dir_fd, struct str bytes)
{
    int r = fault("digest.spill.open");
    if (r < 0)
        return r;
    AUTO_CLOSE int fd = openat(dir_fd, UNFINISHED_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, bytes);
    return r < 0 ? r : sync_fd(fd);
}

static int rename_file(int dir_fd, const char *name)
{
    int r = fault("digest.spill.rename");
    if (r < 0)
        return r;
    if (renameat(dir_fd, UNFINISHED_NAME, dir_fd, name) < 0)
        return -errno;
    r = sync_fd(dir_fd);
    if (r < 0)
        (void)unlinkat(dir_fd, name, 0); /* its row stays, and must not be told twice */
    return r;
}

/* The directory's own name is made durable with the first letter. */
static int make_dir(struct spill *s)
{
    if (s->dir_is_durable)
        return 0;
    if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    AUTO_BUF struct buf parent = {0};
    const char *slash = strrchr(s->dir, '/');
    buf_append(&parent, s->dir, slash ? (size_t)(slash - s->dir) : 0);
    AUTO_CLOSE int fd = open_dir(parent.n ? buf_cstr(&parent) : slash ? "/" : ".");
    int r = fd < 0 ? fd : sync_fd(fd);
    s->dir_is_durable = r == 0;
    return r;
}

static uint64_t size_of(int dir_fd, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

static void forget(struct spill *s, uint64_t bytes)
{
    s->stats.files -= s->stats.files > 0;
    s->stats.bytes -= bytes < s->stats.bytes ? bytes : s->stats.bytes;
}

static int measure(struct spill *s, int dir_fd, struct spill_name **ret, size_t *ret_n)
{
    int r = spill_list(s->dir, ret, ret_n);
    s->stats.files = s->stats.bytes = 0;
    for (size_t i = 0; r == 0 && i < *ret_n; i++) {
        char name[SPILL_NAME_MAX];
        spill_file(&(*ret)[i], name);
        s->stats.files++;
        s->stats.bytes += size_of(dir_fd, name);
    }
    return r;
}

/* {0}: not known, or so young that the next change could bear the same time, which moves in steps of a clock tick. */
static struct timespec change_time(const struct spill *s)
{
    struct stat st;
    if (stat(s->dir, &st) < 0)
        return (struct timespec){0};
    int64_t age_us = clock_wall_us() - ((int64_t)st.st_mtim.tv_sec * CLOCK_US_PER_S + st.st_mtim.tv_nsec / 1000);
    return age_us > SETTLED_US ? st.st_mtim : (struct timespec){0};
}

void spill_refresh(struct spill *s)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n = 0;
    struct timespec now = change_time(s);
    if (now.tv_sec && now.tv_sec == s->changed.tv_sec && now.tv_nsec == s->changed.tv_nsec)
        return;
    AUTO_CLOSE int dir_fd = open_dir(s->dir);
    s->changed = now; /* from before the look: a change during it is seen by the next */
    if (measure(s, dir_fd, &names, &n) < 0)
        s->changed = (struct timespec){0};
}

/* Left by a cut between the file and the row, and about to be replaced: no more counted. */
static void forget_replaced(struct spill *s, int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        forget(s, (uint64_t)st.st_size);
}

/* Makes room for the `wanted` bytes of `replacing`. Measures anew, because commands delete files too. An older file of that letter stays until
 * the new one takes its place, however old it is: it is not lost, and a kill in between would lose both. */
static void make_room(struct spill *s, int dir_fd, const char *replacing, uint64_t wanted)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n = 0;
    forget_replaced(s, dir_fd, replacing);
    if (s->stats.bytes + wanted <= s->max_bytes || measure(s, dir_fd, &names, &n) < 0)
        return;
    forget_replaced(s, dir_fd, replacing);
    if (s->stats.bytes + wanted <= s->max_bytes)
        return;
    uint64_t target = s->max_bytes / 10 * 9;
    for (size_t i = 0; i < n && s->stats.bytes > 0 && s->stats.bytes + wanted > target; i++) {
        char name[SPILL_NAME_MAX];
        spill_file(&names[i], name);
        if (strcmp(name, replacing) == 0)
            continue;
        uint64_t bytes = size_of(dir_fd, name);
        if (unlinkat(dir_fd, name, 0) == 0) {
            forget(s, bytes);
            s->stats.removed++;
        }
    }
}

int spill_write(struct spill *s, const struct dead_letter *letter, struct str payload)
{
    AUTO_BUF struct buf file = {0};
    struct spill_name spilled = {letter->number, letter->record};
    char name[SPILL_NAME_MAX];
    spill_file(&spilled, name);
    make_file(letter, payload, &file);
    int r = make_dir(s);
    AUTO_CLOSE int dir_fd = r < 0 ? r : open_dir(s->dir);
    if (dir_fd < 0) {
        s->dir_is_durable = false; /* somebody removed it: made again next time */
        return dir_fd;
    }
    if (flock(dir_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    make_room(s, dir_fd, name, file.n);
    r = write_file(dir_fd, buf_str(&file));
    if (r == 0)
        r = rename_file(dir_fd, name);
    if (r < 0) {
        (void)unlinkat(dir_fd, UNFINISHED_NAME, 0); /* may not be there */
        s->changed = (struct timespec){0};          /* what was to be replaced may be there still: to be measured again */
        return r;
    }
    s->stats.files++;
    s->stats.bytes += file.n;
    s->changed = change_time(s);
    return 0;
}

void spill_take_back(struct spill *s, int64_t number, const struct id128 *record)
{
    struct spill_name spilled = {number, *record};
    char name[SPILL_NAME_MAX];
    spill_file(&spilled, name);
    AUTO_CLOSE int dir_fd = open_dir(s->dir);
    uint64_t bytes = dir_fd < 0 ? 0 : size_of(dir_fd, name);
    if (dir_fd >= 0 && unlinkat(dir_fd, name, 0) == 0)
        forget(s, bytes);
    s->changed = change_time(s);
}

static int by_id(const void *a, const void *b)
{
    return id_cmp(a, b);
}

int spill_clean(struct spill *s, struct id128 *records, size_t n)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n_names;
    AUTO_CLOSE int dir_fd = open_dir(s->dir);
    if (dir_fd < 0 || n == 0)
        return dir_fd == -ENOENT || n == 0 ? 0 : dir_fd;
    int r = spill_list(s->dir, &names, &n_names);
    qsort(records, n, sizeof *records, by_id);
    for (size_t i = 0; r == 0 && i < n_names; i++) {
        char name[SPILL_NAME_MAX];
        if (!bsearch(&names[i].record, records, n, sizeof *records, by_id))
            continue;
        spill_file(&names[i], name);
        uint64_t bytes = size_of(dir_fd, name);
        if (unlinkat(dir_fd, name, 0) == 0)
            forget(s, bytes);
        else if (errno != ENOENT)
            r = -errno;
    }
    s->changed = change_time(s);
    return r == 0 ? sync_fd(dir_fd) : r; /* of what others deleted, too */
}

void spill_stats(const struct spill *s, struct spill_stats *ret)
{
    *ret = s->stats;
}

int spill_open(const struct spill_config *config, struct spill **ret)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n = 0;
    struct spill *s = calloc(1, sizeof *s);
    if (!s || !(s->dir = strdup(config->dir)))
        abort();
    s->max_bytes = config->max_bytes;
    AUTO_CLOSE int dir_fd = open_dir(s->dir);
    int r = dir_fd == -ENOENT ? 0 : dir_fd < 0 ? dir_fd : measure(s, dir_fd, &names, &n);
    if (dir_fd >= 0)
        (void)unlinkat(dir_fd, UNFINISHED_NAME, 0); /* may not be there */
    if (r < 0) {
        spill_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void spill_close(struct spill *s)
{
    if (!s)
        return;
    free(s->dir);
    free(s);
}

/* ---- for commands */

enum reading { READ_LINE, READ_ALL };

static int read_file(const char *dir, const struct spill_name *name, enum reading what, struct buf *ret)
{
    char file[SPILL_NAME_MAX];
    spill_file(name, file);
    AUTO_CLOSE int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd;
    AUTO_CLOSE int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    buf_clear(ret);
    while (ret->n <= FILE_MAX && (what == READ_ALL || str_find(buf_str(ret), '\n') == ret->n)) {
        buf_reserve(ret, 65536);
        ssize_t n = read(fd, ret->p + ret->n, 65536);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        ret->n += (size_t)n;
    }
    return ret->n <= FILE_MAX ? 0 : -EFBIG;
}

int spill_read_head(const char *dir, const struct spill_name *name, struct buf *buf, struct str *ret)
{
    int r = read_file(dir, name, READ_LINE, buf);
    if (r == 0)
        *ret = str_take(buf_str(buf), str_find(buf_str(buf), '\n'));
    return r;
}

int spill_read_payload(const char *dir, const struct spill_name *name, struct buf *buf, struct str *ret)
{
    int r = read_file(dir, name, READ_ALL, buf);
    if (r < 0)
        return r;
    struct str rest = buf_str(buf);
    (void)str_cut(&rest, '\n'); /* the header */
    (void)str_cut(&rest, '\n'); /* the item's header */
    if (!str_ends(rest, STR("\n")))
        return -EBADMSG; /* not one of ours */
    *ret = str_take(rest, rest.n - 1);
    return 0;
}

int spill_hold(const char *dir, enum spill_patience patience)
{
    AUTO_CLOSE int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd;
    int r = 0;
    while ((r = flock(dir_fd, LOCK_EX | (patience == SPILL_NO_WAIT ? LOCK_NB : 0))) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return TAKE_FD(dir_fd);
}

int spill_delete(const char *dir, const struct spill_name *name)
{
    char file[SPILL_NAME_MAX];
    spill_file(name, file);
    AUTO_CLOSE int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd;
    return unlinkat(dir_fd, file, 0) < 0 ? -errno : 0;
}

/* ---- age */

/* Since when the letter is dead, wall µs. INT64_MAX: there is no such file any more. */
static int64_t dead_since_us(const char *dir, int dir_fd, const struct spill_name *name, struct buf *buf)
{
    AUTO_JSON struct json_doc *doc = NULL;
    char file[SPILL_NAME_MAX];
    struct stat st;
    struct str head, text;
    int64_t us;
    if (spill_read_head(dir, name, buf, &head) == 0 && json_parse(head, &doc, NULL) == 0 &&
        json_str_raw(json_get(json_get(json_root(doc), STR("dead_letter")), STR("first_failed_at")), &text) && clock_parse(text, &us))
        return us;
    spill_file(name, file);
    if (fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return INT64_MAX;
    return (int64_t)st.st_mtim.tv_sec * CLOCK_US_PER_S + st.st_mtim.tv_nsec / 1000;
}

static int age_file(int dir_fd, const struct spill_name *name, enum spill_aging how, struct spill_aged *total)
{
    char file[SPILL_NAME_MAX];
    spill_file(name, file);
    uint64_t bytes = size_of(dir_fd, file);
    if (how == SPILL_DELETE_AGED && unlinkat(dir_fd, file, 0) < 0)
        return errno == ENOENT ? 0 : -errno;
    total->files++;
    total->bytes += bytes;
    return 0;
}

int spill_age(const char *dir, int64_t before_us, int64_t now_us, enum spill_aging how, struct spill_aged *ret)
{
    AUTO_FREE struct spill_name *names = NULL;
    AUTO_BUF struct buf buf = {0};
    size_t n = 0;
    *ret = (struct spill_aged){0};
    AUTO_CLOSE int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd == -ENOENT ? 0 : dir_fd;
    int result = spill_list(dir, &names, &n);
    for (size_t i = 0; i < n; i++) {
        int64_t received_us = 1000 * id_v7_ms(&names[i].record);
        bool is_young = received_us >= before_us && received_us <= now_us;
        if (is_young || dead_since_us(dir, dir_fd, &names[i], &buf) >= before_us)
            continue;
        int r = age_file(dir_fd, &names[i], how, ret);
        result = r < 0 ? r : result;
    }
    return result == 0 && how == SPILL_DELETE_AGED && ret->files ? sync_fd(dir_fd) : result;
}
