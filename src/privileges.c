/* privileges.c: see the header. The order matters: groups, then group, then user; afterwards there is no way back, which is checked. */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
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

int privileges_prepare_dir(const char *dir, const char **ret_why)
{
    AUTO_FREE char *path = strdup(dir);
    if (!path)
        return -ENOMEM;
    *ret_why = "cannot make the directory: choose another DATA_DIR, or look at its parents' owner and mode";
    int r = make_parents(path);
    if (r == 0)
        r = make_one(dir);
    if (r < 0)
        return r;
    const struct passwd *pw = service_user();
    if (pw && chown(dir, pw->pw_uid, pw->pw_gid) < 0)
        return -errno;
    *ret_why = "cannot write there: it belongs to another user; choose another DATA_DIR";
    return geteuid() == 0 || access(dir, W_OK | X_OK) == 0 ? 0 : -errno;
}

int privileges_drop(const char **ret_why)
{
    if (geteuid() != 0)
        return 0;
    const struct passwd *pw = service_user();
    if (!pw) {
        log_line(LOG_WARN, "running as root: there is no user postgres to become", "%s", "");
        return 0;
    }
    *ret_why = "cannot become user postgres";
    if (initgroups("postgres", pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        return -errno;
    assert(setuid(0) < 0); /* there is no way back */
    (void)prctl(PR_SET_DUMPABLE, 1); /* changing user clears it; the process holds no secret that its user may not see, and tools need /proc */
    return 0;
}
