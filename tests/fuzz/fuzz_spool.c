/* fuzz_spool.c: recovery of a segment that was damaged in any way (architecture, "Spool"; invariant S4). The input is a list of edits to the
 * file of a segment that the spool itself has written, or replaces it altogether. Whatever they do, opening succeeds, exactly those records
 * are handed out whose header and body are intact and which the cursor has not passed, each once, and nothing is left over.
 *
 * Node and segment number are the same in every run, because they seed the checksums. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "picket/base/hash.h"
#include "picket/spool/spool.h"

enum { N_RECORDS = 12, IMAGE_MAX = 256 * 1024, PATH_MAX_BYTES = 512, HEAD = 64, RECORD_HEAD = 120, CURSOR_BYTES = 32 };
static const char SEGMENT_BEFORE[] = "00f0000000000000.seg", SEGMENT[] = "00f0000000000001.seg";

/* Made once per process: libFuzzer calls the target often. */
static struct {
    char dir[PATH_MAX_BYTES];
    char image[IMAGE_MAX], cursor[CURSOR_BYTES];
    size_t image_bytes;
    uint64_t starts[N_RECORDS + 1];
} base;

static void must(bool fine)
{
    if (!fine)
        abort();
}

/* ---- files of the spool's directory */

static void path_of(const char *name, char dst[PATH_MAX_BYTES])
{
    must(snprintf(dst, PATH_MAX_BYTES, "%s/%s", base.dir, name) < PATH_MAX_BYTES);
}

static void file_put(const char *name, const void *p, size_t n)
{
    char path[PATH_MAX_BYTES];
    path_of(name, path);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && pwrite(fd, p, n, 0) == (ssize_t)n);
}

static size_t file_get(const char *name, void *p, size_t max)
{
    char path[PATH_MAX_BYTES];
    path_of(name, path);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, p, max, 0);
    must(n >= 0);
    return (size_t)n;
}

static void files_remove(const char *subdir)
{
    char path[PATH_MAX_BYTES];
    path_of(subdir, path);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        (void)unlinkat(dirfd(dir), e->d_name, 0); /* fails on directories, as it should */
    if (dir)
        (void)closedir(dir);
}

static void dir_remove(void)
{
    char path[PATH_MAX_BYTES];
    files_remove("quarantine");
    files_remove(".");
    path_of("quarantine", path);
    (void)rmdir(path);
    (void)rmdir(base.dir);
}

/* ---- the segment that is damaged */

static size_t payload_bytes(uint64_t i)
{
    return i == 5 ? 5000 : (size_t)(i * i * 3);
}

static void payload_make(uint64_t i, char *dst)
{
    for (size_t j = 0; j < payload_bytes(i); j++)
        dst[j] = (char)(i * 31 + j * 7 + j / 256);
}

static void appended(struct spool_append *a, int r)
{
    must(r == 0);
    a->done = NULL;
}

static struct spool *spool_start(void)
{
    struct spool_config config = {.dir = base.dir, .segment_bytes = 1 << 20, .max_bytes = 1 << 30, .max_pending_bytes = 1 << 20};
    struct spool *s;
    must(spool_open(&config, &s, NULL) == 0);
    return s;
}

static void records_append(struct spool *s)
{
    uv_loop_t loop;
    struct spool_port *port;
    char payload[6000];
    must(uv_loop_init(&loop) == 0 && spool_port_open(s, &loop, &port) == 0);
    for (uint64_t i = 0; i < N_RECORDS; i++) {
        payload_make(i, payload);
        struct spool_record r = {.project_id = i, .kind = SPOOL_EVENT, .meta = STR("{}"), .payload = str_of(payload, payload_bytes(i))};
        struct spool_append a = {.done = appended};
        struct spool_stats stats;
        must(spool_append(port, &a, &r, 1) == 0);
        while (a.done)
            (void)uv_run(&loop, UV_RUN_ONCE);
        spool_stats(s, &stats);
        base.starts[i + 1] = stats.synced.offset;
    }
    spool_port_close(port, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&loop) == 0);
}

static void base_make(void)
{
    static const char node[] = "00112233445566778899aabbccddeeff\n";
    const char *tmp = getenv("TMPDIR");
    struct spool_range range;
    must(snprintf(base.dir, sizeof base.dir, "%s/fuzz-spool-XXXXXX", tmp ? tmp : P_tmpdir) < (int)sizeof base.dir && mkdtemp(base.dir));
    must(atexit(dir_remove) == 0);
    file_put("node", node, sizeof node - 1);
    file_put(SEGMENT_BEFORE, "", 0); /* the next number is the one after it */
    base.starts[0] = HEAD;
    struct spool *s = spool_start();
    records_append(s);
    must(spool_claim(s, 1, 1, &range) == 1); /* settled at once, so that there is a cursor in the segment */
    spool_settle(s, &range);
    spool_close(s);
    base.image_bytes = file_get(SEGMENT, base.image, sizeof base.image);
    must(base.image_bytes == base.starts[N_RECORDS] + RECORD_HEAD); /* the trailer behind the last */
    must(file_get("cursor", base.cursor, CURSOR_BYTES) == CURSOR_BYTES);
}

/* ---- the edits */

struct edit {
    const uint8_t *p;
    size_t n;
    char *image; /* IMAGE_MAX bytes, heap */
    size_t image_bytes;
    uint64_t cursor;
};

static unsigned take(struct edit *e, unsigned bytes)
{
    unsigned v = 0;
    for (; bytes > 0 && e->n > 0; bytes--, e->p++, e->n--)
        v = v << 8 | *e->p;
    return v;
}

static void resize(struct edit *e, size_t n)
{
    n = n < IMAGE_MAX ? n : IMAGE_MAX;
    if (n > e->image_bytes)
        memset(e->image + e->image_bytes, 0, n - e->image_bytes);
    e->image_bytes = n;
}

/* Bytes that fit behind `at`. */
static size_t room(const struct edit *e, size_t at, size_t want)
{
    return at >= e->image_bytes ? 0 : want < e->image_bytes - at ? want : e->image_bytes - at;
}

static void edit_once(struct edit *e)
{
    unsigned what = take(e, 1) % 8, a = take(e, 2), b = take(e, 2);
    size_t n;
    switch (what) {
    case 0: /* what follows in the input */
        n = room(e, a, b < e->n ? b : e->n);
        memcpy(e->image + (n ? a : 0), e->p, n);
        e->p += n;
        e->n -= n;
        break;
    case 1:
        n = room(e, a, b);
        memset(e->image + (n ? a : 0), 0, n);
        break;
    case 2:
        resize(e, a);
        break;
    case 3:
        resize(e, e->image_bytes + a);
        break;
    case 4: /* a piece of the segment elsewhere */
        n = room(e, a, take(e, 2));
        n = room(e, b, n);
        memmove(e->image + (n ? b : 0), e->image + (n ? a : 0), n);
        break;
    case 5:
        e->cursor = a;
        break;
    case 6:
        if (a < e->image_bytes)
            e->image[a] = (char)(e->image[a] ^ b);
        break;
    case 7: /* everything behind moves */
        n = room(e, a, b);
        memmove(e->image + (n ? a : 0), e->image + (n ? a + n : 0), n ? e->image_bytes - a - n : 0);
        e->image_bytes -= n;
        break;
    }
}

/* ---- what must come of it */

static bool is_intact(const struct edit *e, unsigned i)
{
    size_t n = RECORD_HEAD + 2 + payload_bytes(i);
    return base.starts[i + 1] <= e->image_bytes && memcmp(e->image + base.starts[i], base.image + base.starts[i], n) == 0;
}

static void check_record(const struct spool_record *r, bool delivered[N_RECORDS])
{
    char payload[6000];
    must(r->project_id < N_RECORDS && !delivered[r->project_id]);
    payload_make(r->project_id, payload);
    must(str_eq(r->payload, str_of(payload, payload_bytes(r->project_id))) && str_eq(r->meta, STR("{}")));
    delivered[r->project_id] = true;
}

static void drain_and_check(const struct edit *e)
{
    struct spool *s = spool_start();
    bool delivered[N_RECORDS] = {false};
    struct spool_record records[5];
    struct spool_range range;
    struct spool_stats stats;
    AUTO_BUF struct buf buf = {0};
    while (spool_claim(s, ARRAY_LEN(records), 4096, &range) == 1) {
        unsigned left = range.n_records;
        for (uint64_t at = range.from; at < range.to;) {
            int n = spool_read_part(s, &range, &at, 64 + e->cursor % 4096, &buf, records, left);
            must(n >= 0 && (unsigned)n <= left);
            left -= (unsigned)n;
            for (int i = 0; i < n; i++)
                check_record(&records[i], delivered);
        }
        spool_settle(s, &range);
    }
    spool_stats(s, &stats);
    spool_close(s);
    must(stats.bytes == 0);
    uint64_t from = e->cursor % 8 == 0 ? e->cursor : 0; /* an odd one is not believed */
    for (unsigned i = 0; i < N_RECORDS; i++)
        must(delivered[i] == (is_intact(e, i) && base.starts[i] >= from));
}

/* The only one: what the last round left in the other would be further. */
static void cursor_put(uint64_t offset)
{
    char file[CURSOR_BYTES];
    memcpy(file, base.cursor, sizeof file);
    memcpy(file + 16, &offset, sizeof offset);
    uint64_t sum = hash64(file, sizeof file - sizeof sum);
    memcpy(file + sizeof file - sizeof sum, &sum, sizeof sum);
    file_put("cursor", file, sizeof file);
    file_put("cursor.kept", "", 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (base.image_bytes == 0)
        base_make();
    AUTO_FREE char *image = malloc(IMAGE_MAX);
    struct edit e = {.p = data, .n = size, .image = image, .image_bytes = base.image_bytes};
    must(image);
    memcpy(image, base.image, base.image_bytes);
    while (e.n > 0)
        edit_once(&e);
    files_remove("quarantine");
    file_put(SEGMENT, e.image, e.image_bytes);
    cursor_put(e.cursor);
    drain_and_check(&e);
    return 0;
}
