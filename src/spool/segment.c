/* segment.c: the files: made, opened, finished, and kept open while somebody reads them. What stands in them: format.c. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>

#include "disk.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"

struct segment *segment_new(struct spool *s, uint64_t number)
{
    struct segment *seg = malloc(sizeof *seg);
    if (!seg)
        abort(); /* M4 */
    *seg = (struct segment){
        .number = number,
        .seed = segment_seed(&s->node, number),
        .end = SEGMENT_HEAD_BYTES,
        .begun_us = clock_boot_us(),
        .state = SEGMENT_OPEN,
        .fd = -1,
    };
    list_init(&seg->link);
    return seg;
}

void segment_free(struct segment *seg)
{
    if (!seg)
        return;
    if (seg->fd >= 0)
        (void)close(seg->fd); /* everything that counts was synced */
    free(seg);
}

bool segment_is_old(const struct spool *s, const struct segment *seg)
{
    return clock_boot_us() - seg->begun_us >= s->config.segment_us;
}

/* Numbers only grow. They start at the wall clock in µs, so that a directory that lost its files, or was restored from a copy, does not
 * give out the number of a range that the database already knows as committed. */
static uint64_t number_next(struct spool *s)
{
    int64_t now = clock_wall_us();
    (void)pthread_mutex_lock(&s->lock);
    uint64_t number = s->last_number + 1;
    if (now > 0 && (uint64_t)now > number)
        number = (uint64_t)now;
    s->last_number = number;
    (void)pthread_mutex_unlock(&s->lock);
    return number;
}

/* Takes the zero-filled spare if there is one; until spare_taken() the keeper does not begin another. One that is half filled is for the next segment. */
static const char *spare_take(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool ready = s->spare == SPARE_READY;
    if (ready)
        s->spare = SPARE_TAKEN;
    (void)pthread_mutex_unlock(&s->lock);
    return ready ? SPARE_NAME : "new";
}

static void spare_taken(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->spare == SPARE_TAKEN)
        s->spare = SPARE_NONE;
    (void)pthread_mutex_unlock(&s->lock);
}

/* S2: header, then name, each durable before the first record is written. */
static int segment_file_create(struct spool *s, const char *made_as, uint64_t number, int *ret_fd)
{
    struct segment_head head;
    char name[SEGMENT_NAME_MAX];
    segment_head_init(&head, &s->node, number);
    segment_name(number, name);
    AUTO_CLOSE int fd = disk_open(s->dir_fd, made_as, O_RDWR | O_CREAT, "spool.segment.open");
    int r = fd < 0 ? fd : disk_write(fd, &head, sizeof head, 0, "spool.segment.write");
    if (r == 0)
        r = disk_sync(fd, "spool.segment.sync");
    if (r == 0)
        r = disk_rename(s->dir_fd, made_as, name, "spool.segment.rename");
    if (r == 0)
        r = disk_sync(s->dir_fd, "spool.dir.sync");
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int segment_create(struct spool *s, struct segment **ret)
{
    int fd = -1;
    uint64_t number = number_next(s);
    int r = segment_file_create(s, spare_take(s), number, &fd);
    spare_taken(s);
    if (r < 0)
        return r;
    *ret = segment_new(s, number);
    (*ret)->fd = fd;
    return 0;
}

int segment_write_trailer(const struct spool *s, struct segment *seg, int fd)
{
    struct record_head t;
    segment_trailer_init(&t, &s->node, seg->n_records, seg->seed, seg->end);
    int r = disk_truncate(fd, seg->end, "spool.segment.truncate");
    return r < 0 ? r : disk_write(fd, &t, sizeof t, seg->end, "spool.trailer.write");
}

static struct segment *segment_find(struct spool *s, uint64_t number)
{
    LIST_EACH(&s->segments, it) {
        struct segment *seg = container_of(it, struct segment, link);
        if (seg->number == number)
            return seg;
    }
    return NULL;
}

/* A reader that came first may have opened it meanwhile. */
static int segment_open_for_reading(struct spool *s, struct segment *seg)
{
    char name[SEGMENT_NAME_MAX];
    segment_name(seg->number, name);
    AUTO_CLOSE int fd = disk_open(s->dir_fd, name, O_RDONLY, "spool.segment.reopen");
    if (fd < 0)
        return fd;
    (void)pthread_mutex_lock(&s->lock);
    if (seg->fd < 0)
        seg->fd = TAKE_FD(fd);
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

int segment_ref(struct spool *s, uint64_t number, struct segment **ret)
{
    (void)pthread_mutex_lock(&s->lock);
    struct segment *seg = segment_find(s, number);
    bool is_open = seg && seg->fd >= 0;
    if (seg)
        seg->refs++;
    (void)pthread_mutex_unlock(&s->lock);
    if (!seg)
        return -ESTALE;
    int r = is_open ? 0 : segment_open_for_reading(s, seg);
    if (r < 0) {
        segment_unref(s, seg);
        return r;
    }
    *ret = seg;
    return 0;
}

void segment_unref(struct spool *s, struct segment *seg)
{
    (void)pthread_mutex_lock(&s->lock);
    assert(seg->refs > 0);
    bool last = --seg->refs == 0 && seg->retired;
    (void)pthread_mutex_unlock(&s->lock);
    if (last)
        segment_free(seg);
}
