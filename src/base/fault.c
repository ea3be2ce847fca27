/* fault.c: one armed fault per process and a counter per point; compiled only into builds with -Dfault_points=true. */
#include "picket/base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "picket/base/str.h"

enum { POINTS_MAX = 128, NAME_MAX_BYTES = 64 };

struct point {
    char name[NAME_MAX_BYTES];
    unsigned hits;
};

/* Process-wide by nature: a fault point is reached from anywhere, without a handle. Test builds only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct point points[POINTS_MAX];
static struct {
    char name[NAME_MAX_BYTES];
    enum fault_action action;
    unsigned nth;
    int error;
    bool is_tests_own; /* armed by fault_arm(), whose caller sees what it does */
} armed;

static void copy_name(char dst[NAME_MAX_BYTES], struct str s)
{
    s = str_take(s, NAME_MAX_BYTES - 1);
    memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
}

static void arm_from_environment(void)
{
    const char *text = getenv("PICKET_FAULT");
    if (!text)
        return;
    struct str rest = str_from(text), name = str_cut(&rest, ':'), action = str_cut(&rest, ':'), nth = str_cut(&rest, ':');
    uint64_t n = 1, error = EIO;
    if (nth.n && !str_to_u64(nth, &n))
        return;
    if (rest.n && !str_to_u64(rest, &error))
        return;
    copy_name(armed.name, name);
    armed.action = str_eq(action, STR("kill")) ? FAULT_KILL : str_eq(action, STR("short")) ? FAULT_SHORT_WRITE : FAULT_ERROR;
    armed.nth = (unsigned)n;
    armed.error = (int)error;
}

static struct point *find_point(const char *name)
{
    for (size_t i = 0; i < POINTS_MAX; i++) {
        if (points[i].name[0] == '\0')
            copy_name(points[i].name, str_from(name));
        if (str_eq(str_from(points[i].name), str_from(name)))
            return &points[i];
    }
    abort(); /* more points than POINTS_MAX: raise it */
}

void fault_arm(const char *point, enum fault_action action, unsigned nth, int error)
{
    pthread_once(&once, arm_from_environment);
    pthread_mutex_lock(&lock);
    memset(points, 0, sizeof points);
    copy_name(armed.name, str_from(point));
    armed.action = action;
    armed.nth = nth;
    armed.error = error ? error : EIO;
    armed.is_tests_own = true;
    pthread_mutex_unlock(&lock);
}

void fault_disarm(void)
{
    fault_arm("", FAULT_ERROR, 0, 0);
}

unsigned fault_hits(const char *point)
{
    pthread_mutex_lock(&lock);
    unsigned hits = find_point(point)->hits;
    pthread_mutex_unlock(&lock);
    return hits;
}

int fault(const char *point)
{
    pthread_once(&once, arm_from_environment);
    int r = 0;
    pthread_mutex_lock(&lock);
    unsigned hits = ++find_point(point)->hits;
    if (armed.nth && hits == armed.nth && str_eq(str_from(armed.name), str_from(point))) {
        if (!armed.is_tests_own)
            (void)dprintf(STDERR_FILENO, "PICKET_FAULT: %s\n", point);
        if (armed.action == FAULT_KILL)
            raise(SIGKILL);
        r = armed.action == FAULT_SHORT_WRITE ? 1 : -armed.error;
    }
    pthread_mutex_unlock(&lock);
    return r;
}
