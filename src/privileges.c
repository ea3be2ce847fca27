/* privileges.c: see the header. The order matters: groups, then group, then user; afterwards there is no way back, which is checked. */
#include "privileges.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "picket/base/log.h"

static const struct passwd *service_user(void)
{
    return geteuid() == 0 ? getpwnam("postgres") : NULL;
}

static int make_one(const char *path)
{
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Parents are made 0755, so that the user who runs Picket can pass; what exists is left alone. */
static int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
        *slash = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a fresh file system brings along does not count. */
static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct str name = str_from(e->d_name);
        if (!str_eq(name, STR(".")) && !str_eq(name, STR("..")) && !str_eq(name, STR("lost+found")))
            empty = false;
    }
    if (d)
        (void)closedir(d); /* only read */
    return empty;
}

/* A directory of somebody else's (DATA_DIR=/srv, a typing error) is not taken away from him. */
static int hand_over(const char *dir, const struct passwd *pw, const char **ret_why)
{
    struct stat st;
    if (stat(dir, &st) < 0)
        return -errno;
    if (st.st_uid == pw->pw_uid)
        return 0;
    *ret_why =
        "there are files in it, and it does not belong to user postgres, as whom Picket runs when started as root: if they are Picket's, "
        "chown -R postgres: it, else choose another directory";
    if (!is_empty(dir))
        return -EPERM;
    *ret_why = "cannot be given to user postgres";
    return chown(dir, pw->pw_uid, pw->pw_gid) < 0 ? -errno : 0;
}

enum privileges_start privileges_started(void)
{
    return service_user() ? STARTED_AS_ROOT : STARTED_AS_USER;
}

int privileges_prepare_dir(const char *dir, enum privileges_start started, const char **ret_why)
{
    AUTO_FREE char *path = strdup(dir);
    if (!path)
        return -ENOMEM;
    *ret_why =
        started == STARTED_AS_ROOT
            ? "cannot be made or reached: look at the owner and mode of its parents (started as root, Picket runs as user postgres), or "
              "choose another directory"
            : "cannot be made or reached: look at the owner and mode of its parents, or choose another directory";
    int r = make_parents(path);
    if (r == 0)
        r = make_one(dir);
    if (r < 0)
        return r;
    const struct passwd *pw = service_user();
    if (pw)
        return hand_over(dir, pw, ret_why);
    *ret_why = "cannot be written: it belongs to another user; choose another directory";
    return access(dir, R_OK | W_OK | X_OK) == 0 ? 0 : -errno;
}

static int become_service_user(void)
{
    if (geteuid() != 0)
        return 0;
    const struct passwd *pw = service_user();
    if (!pw) {
        log_line(LOG_WARN, "running as root: there is no user postgres to become", "%s", "");
        return 0;
    }
    if (initgroups("postgres", pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        return -errno;
    assert(setuid(0) < 0); /* there is no way back */
    return 0;
}

/* RLIMIT_CORE alone does not hold where the kernel pipes cores to a program. Not dumpable means too that only root may trace the process; changing the
 * user has cleared the flag already, so it is set where cores are allowed. */
static int set_cores(enum privileges_cores cores)
{
    struct rlimit none = {0};
    if (cores == CORES_NEVER && setrlimit(RLIMIT_CORE, &none) < 0)
        return -errno;
    return prctl(PR_SET_DUMPABLE, cores == CORES_ALLOWED ? 1L : 0L, 0L, 0L, 0L) < 0 ? -errno : 0;
}

int privileges_drop(enum privileges_cores cores, const char **ret_why)
{
    *ret_why = "cannot become user postgres";
    int r = become_service_user();
    if (r < 0)
        return r;
    *ret_why = "cannot give up privileges";
    (void)umask(077); /* cannot fail */
    r = prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 ? -errno : 0;
    return r == 0 ? set_cores(cores) : r;
}
