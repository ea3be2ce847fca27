/* cluster.c: a PostgreSQL of Picket's own.
 *
 *   <dir>/data       the cluster; made by initdb as data.new and renamed, so a half-made one is never taken for whole
 *   <dir>/run        the socket, mode 0700; a path that a socket's address cannot hold is replaced by a private directory under /tmp
 *   <dir>/log        what initdb and the server print; log.old: the same, older
 *   <dir>/start.lock held while one Picket starts or stops the server
 *   <dir>/users.lock held, shared, by every Picket that uses it: the last one out stops it
 *
 * The server is a session of its own: Ctrl-C and a kill -9 of Picket leave it alone, and the next start takes it over by its postmaster.pid.
 * initdb is the opposite: it dies with Picket, so that nobody writes to data.new when the next start removes it.
 *
 * It speaks on the socket only, and only its own user and root can reach that, so local connections are trusted; "peer" would say no more, and
 * would lock out root, who may start Picket's commands before they give that up. Started as root, everything runs as user postgres, because
 * PostgreSQL refuses to run as root.
 *
 * Whether a process is ours is read from /proc: a server and all its children have the data directory as their working directory. A number in
 * postmaster.pid alone says little: after a crash of the machine it may belong to anything, another PostgreSQL included.
 *
 * A server that ends while it is used (killed for want of memory, say) is started again by whoever uses it and notices: all of them may try, one
 * gets start.lock first, and the others find its server running. db_cluster_restart() forks in a process that has threads: its child calls nothing
 * but what is safe then, and finds its user's groups looked up.
 *
 * Blocking, for start-up: waiting is done in steps of STEP_MS with PQping, libpq's own question for this. */
#include "picket/db/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <libpq-fe.h>

#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"
#include "tune.h"

enum {
    STEP_MS = 20,
    STOP_MS = 60000,
    SOCKET_DIR_MAX = 90, /* a socket's address has 107 bytes, /.s.PGSQL.5432.lock takes its part */
    LOG_MAX_BYTES = 8 << 20,
    MAJOR_MIN = 15,
    CONNECTIONS_MIN = 60,
    GROUPS_MAX = 64,
    EXIT_UNREACHABLE = 126, /* of a child that could not become what it should */
};

struct db_cluster {
    struct buf dir, data, data_new, run, log, bin, conninfo; /* bin: empty until it is found */
    const char *bin_dir;                                     /* as configured, borrowed */
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int n_groups; /* 0: privileges are not dropped */
    pid_t child;  /* of this process; 0: taken over */
    bool created;
    unsigned connections, stop_ms;
    atomic_bool give_up; /* set by any thread: what waits is late */
    int users_fd;        /* users.lock; -1: not used yet */
};

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL); /* woken early is fine: the caller looks again */
}

static void cluster_free(struct db_cluster *c)
{
    struct buf *const bufs[] = {&c->dir, &c->data, &c->data_new, &c->run, &c->log, &c->bin, &c->conninfo};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
        buf_done(bufs[i]);
    if (c->users_fd >= 0)
        (void)close(c->users_fd); /* gives the lock back */
    free(c);
}

static bool is_late(const struct db_cluster *c, int64_t until_us)
{
    return clock_mono_us() > until_us || atomic_load(&c->give_up);
}

/* ---- where the server's programs are */

static unsigned major_of(const struct db_cluster *c)
{
    AUTO_BUF struct buf path = {0};
    buf_append_str(&path, buf_str(&c->data));
    buf_append_str(&path, STR("/PG_VERSION"));
    AUTO_CLOSE int fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC);
    char text[16];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    uint64_t major;
    return n > 0 && str_to_u64(str_trim(str_of(text, (size_t)n)), &major) ? (unsigned)major : 0;
}

static bool has_programs(struct buf *bin)
{
    AUTO_BUF struct buf path = {0};
    buf_printf(&path, "%s/initdb", buf_cstr(bin));
    return access(buf_cstr(&path), X_OK) == 0;
}

/* Debian keeps each major version in a directory of its own: the cluster's version, else the newest that will do. */
static bool find_debian_bin(struct db_cluster *c, unsigned wanted)
{
    DIR *d = opendir("/usr/lib/postgresql");
    uint64_t best = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        uint64_t major;
        if (str_to_u64(str_from(e->d_name), &major) && major >= MAJOR_MIN && (wanted ? major == wanted : major > best))
            best = major;
    }
    if (d)
        closedir(d);
    buf_clear(&c->bin);
    buf_printf(&c->bin, "/usr/lib/postgresql/%u/bin", (unsigned)best);
    return best && has_programs(&c->bin);
}

static bool find_path_bin(struct db_cluster *c)
{
    struct str rest = str_from(getenv("PATH"));
    while (rest.p && rest.n) {
        buf_clear(&c->bin);
        buf_append_str(&c->bin, str_cut(&rest, ':'));
        if (c->bin.n && has_programs(&c->bin))
            return true;
    }
    return false;
}

static int find_bin(struct db_cluster *c, const char **ret_why)
{
    unsigned wanted = major_of(c);
    buf_clear(&c->bin);
    if (c->bin_dir) {
        buf_append_str(&c->bin, str_from(c->bin_dir));
        if (has_programs(&c->bin))
            return 0;
        buf_clear(&c->bin);
        *ret_why = "POSTGRES_BIN_DIR has no initdb";
        return -ENOENT;
    }
    if (find_debian_bin(c, wanted) || (!wanted && find_path_bin(c)))
        return 0;
    buf_clear(&c->bin);
    *ret_why = wanted ? "the private cluster was made by another major version of PostgreSQL than is installed: install that version's "
                        "server package, or "
                        "upgrade the cluster with pg_upgradecluster's steps"
                      : "no PostgreSQL 15 or newer is installed: apt-get install postgresql, or set DATABASE_URL";
    return -ENOENT;
}

/* ---- directories and locks */

/* Makes or adopts a directory: afterwards it is the server's user's, and nobody can have put it there for us to stumble over. */
static int own_dir(const struct db_cluster *c, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != c->uid && (st.st_uid != geteuid() || fchown(fd, c->uid, c->gid) < 0))
        return -EPERM;
    return fchmod(fd, 0700) < 0 ? -errno : 0;
}

static int open_lock(const struct db_cluster *c, const char *name)
{
    AUTO_BUF struct buf path = {0};
    buf_append_str(&path, buf_str(&c->dir));
    buf_append_str(&path, str_from(name));
    AUTO_CLOSE int fd = open(buf_cstr(&path), O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (geteuid() != c->uid && fchown(fd, c->uid, c->gid) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* The lock that keeps others from starting or stopping meanwhile: a descriptor, to be closed. */
static int lock_start(const struct db_cluster *c, int64_t until_us)
{
    AUTO_CLOSE int fd = open_lock(c, "/start.lock");
    if (fd < 0)
        return fd;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (is_late(c, until_us))
            return -ETIMEDOUT;
        pause_ms(STEP_MS);
    }
    return TAKE_FD(fd);
}

/* Under start.lock; again is fine. */
static int lock_users(struct db_cluster *c)
{
    if (c->users_fd >= 0)
        return 0;
    int fd = open_lock(c, "/users.lock");
    if (fd < 0)
        return fd;
    c->users_fd = fd;
    return flock(fd, LOCK_SH) < 0 ? -errno : 0; /* nobody keeps it exclusively */
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_tree(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT ? -errno : 0;
}

static int sync_dir(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static void rotate_log(struct db_cluster *c)
{
    struct stat st;
    if (stat(buf_cstr(&c->log), &st) < 0 || st.st_size < LOG_MAX_BYTES)
        return;
    AUTO_BUF struct buf old = {0};
    buf_printf(&old, "%s.old", buf_cstr(&c->log));
    (void)rename(buf_cstr(&c->log), buf_cstr(&old)); /* if not, it goes on growing: no reason to refuse the start */
}

/* ---- processes */

/* Does `pid` (0: any process but this one) live with `dir` as its working directory? */
static bool lives_in(pid_t pid, const struct stat *dir)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid); /* fits */
    return stat(path, &st) == 0 && st.st_dev == dir->st_dev && st.st_ino == dir->st_ino;
}

static bool anyone_lives_in(const char *dir)
{
    struct stat st;
    DIR *d = stat(dir, &st) < 0 ? NULL : opendir("/proc");
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        uint64_t pid;
        found = str_to_u64(str_from(e->d_name), &pid) && pid < INT32_MAX && (pid_t)pid != getpid() && lives_in((pid_t)pid, &st);
    }
    if (d)
        (void)closedir(d);
    return found;
}

/* What postmaster.pid says; 0: nothing. */
static pid_t noted_server(struct db_cluster *c)
{
    AUTO_BUF struct buf path = {0};
    buf_printf(&path, "%s/postmaster.pid", buf_cstr(&c->data));
    AUTO_CLOSE int fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC);
    char text[64];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n <= 0)
        return 0;
    struct str rest = str_of(text, (size_t)n);
    uint64_t pid;
    return str_to_u64(str_cut(&rest, '\n'), &pid) && pid > 1 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static bool is_server(struct db_cluster *c, pid_t pid)
{
    struct stat st;
    return pid && stat(buf_cstr(&c->data), &st) == 0 && lives_in(pid, &st);
}

static pid_t running_server(struct db_cluster *c)
{
    pid_t pid = noted_server(c);
    return is_server(c, pid) ? pid : 0;
}

static void remove_file(const struct buf *dir, const char *name)
{
    AUTO_BUF struct buf path = {0};
    buf_append_str(&path, buf_str(dir));
    buf_append_str(&path, str_from(name));
    (void)unlink(buf_cstr(&path)); /* if that fails, the server's own message in the log says why it does not start */
}

/* PostgreSQL refuses to start while the process named in its lock files lives, if it is of the same user: another cluster's after a reboot,
 * say. A number that is free it copes with itself, by looking for shared memory still in use; a living stranger is made forgotten here. */
static void forget_stranger(struct db_cluster *c)
{
    pid_t pid = noted_server(c);
    if (pid && kill(pid, 0) == 0)
        remove_file(&c->data, "/postmaster.pid");
    remove_file(&c->run, "/.s.PGSQL.5432.lock"); /* the directory is this cluster's alone */
}

static bool has_ended(struct db_cluster *c, pid_t pid, int *ret_status)
{
    if (waitpid(pid, ret_status, WNOHANG) == pid)
        return true;
    return pid != c->child && !is_server(c, pid);
}

enum fate { DIES_WITH_US, OUTLIVES_US };

/* In the child: its own session and user, output to the log, then the program. */
static _Noreturn void become(const struct db_cluster *c, const char *log, const char *const argv[], enum fate fate, pid_t parent)
{
    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    if (c->n_groups && (setgroups((size_t)c->n_groups, c->groups) < 0 || setgid(c->gid) < 0 || setuid(c->uid) < 0))
        _exit(EXIT_UNREACHABLE);
    if (fate == DIES_WITH_US && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)) /* after setuid, which clears it */
        _exit(EXIT_UNREACHABLE);
    int null = open("/dev/null", O_RDONLY), out = open(log, O_CREAT | O_APPEND | O_WRONLY, 0600);
    if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir("/") < 0)
        _exit(EXIT_UNREACHABLE);
    if (close_range(3, ~0U, 0) < 0 &&
        errno != ENOSYS) /* a listener that is inherited would keep its port; all are made close-on-exec, too */
        _exit(EXIT_UNREACHABLE);
    (void)signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], (char *const *)argv); /* execv's prototype predates const; it changes nothing */
    _exit(EXIT_UNREACHABLE);
}

static int spawn(struct db_cluster *c, const char *log, const char *const argv[], enum fate fate, pid_t *ret)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        become(c, log, argv, fate, parent);
    *ret = pid;
    return 0;
}

/* To its end; its exit status as of waitpid(). */
static int run_program(struct db_cluster *c, const char *log, const char *const argv[], int *ret_status)
{
    pid_t pid = 0;
    int r = spawn(c, log, argv, DIES_WITH_US, &pid);
    if (r < 0)
        return r;
    while (waitpid(pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static const char why_unreachable[] =
    "the user of the private PostgreSQL cannot reach its directory: the directories above DATA_DIR must let it pass (mode 0711 or 0755)";

/* ---- making the cluster */

static int run_initdb(struct db_cluster *c)
{
    AUTO_BUF struct buf program = {0};
    buf_printf(&program, "%s/initdb", buf_cstr(&c->bin));
    const char *const argv[] = {buf_cstr(&program),
                                "-D",
                                buf_cstr(&c->data_new),
                                "-U",
                                "picket",
                                "-E",
                                "UTF8",
                                "--locale=C.UTF-8",
                                "--auth-local=trust",
                                "--auth-host=reject",
                                "--data-checksums",
                                NULL};
    int status, r = run_program(c, buf_cstr(&c->log), argv, &status);
    if (r < 0)
        return r;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNREACHABLE)
        return -EACCES;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int make_cluster(struct db_cluster *c, int64_t until_us, const char **ret_why)
{
    *ret_why = "an unfinished cluster (data.new) cannot be removed from the directory of the private PostgreSQL";
    while (anyone_lives_in(buf_cstr(&c->data_new)) && !is_late(c, until_us))
        pause_ms(STEP_MS); /* children of an initdb that was killed with its Picket: they end by themselves */
    int r = remove_tree(buf_cstr(&c->data_new));
    if (r < 0)
        return r;
    *ret_why = "initdb failed: see its output in the data directory (postgres/log)";
    r = run_initdb(c);
    if (r == -EACCES)
        *ret_why = why_unreachable;
    if (r < 0)
        return r;
    *ret_why = "the new cluster cannot be put in its place: is there a directory postgres/data that is not a cluster?";
    if (rename(buf_cstr(&c->data_new), buf_cstr(&c->data)) < 0)
        return -errno;
    c->created = true;
    return sync_dir(buf_cstr(&c->dir));
}

/* ---- starting and stopping the server */

static bool answers(struct db_cluster *c)
{
    return PQping(buf_cstr(&c->conninfo)) == PQPING_OK;
}

/* After a checkpoint each page that changes goes to the WAL whole, and packing it is work of who changed it: a flood of new issues, at random places, was
 * digested at a fifth of its pace for ten seconds then. LZ4 is several times as fast as PostgreSQL's own method; a server from before 15, or one built
 * without it, does not know the word. */
static const char *wal_compression(struct db_cluster *c, const char *postgres)
{
    static const char lz4[] = "wal_compression=lz4";
    const char *const argv[] = {postgres, "-D", buf_cstr(&c->data), "-c", lz4, "-C", "wal_compression", NULL};
    int status;
    return run_program(c, "/dev/null", argv, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? lz4 : "wal_compression=on";
}

static int spawn_server(struct db_cluster *c)
{
    AUTO_BUF struct buf program = {0}, sockets = {0}, connections = {0}, buffers = {0}, wal = {0};
    const struct db_tuning tuning = db_tune(buf_cstr(&c->dir));
    buf_printf(&program, "%s/postgres", buf_cstr(&c->bin));
    buf_printf(&connections, "max_connections=%u", c->connections);
    buf_printf(&sockets, "unix_socket_directories=%s", buf_cstr(&c->run));
    buf_printf(&buffers, "shared_buffers=%" PRIu64 "MB", tuning.shared_buffers_mb);
    buf_printf(&wal, "max_wal_size=%" PRIu64 "MB", tuning.max_wal_size_mb);
    /* What it logs about failed statements never shows values: an error tracker stores other people's secrets. */
    static const char *const settings[] = {
        "listen_addresses=",
        "port=5432",
        "fsync=on",
        "checkpoint_timeout=15min",
        "logging_collector=off",
        "log_destination=stderr",
        "log_timezone=UTC",
        "log_checkpoints=off",
        "log_error_verbosity=terse",
        "log_min_error_statement=panic",
    };
    const char *const made[] = {wal_compression(c, buf_cstr(&program)), buf_cstr(&sockets), buf_cstr(&connections), buf_cstr(&buffers),
                                buf_cstr(&wal)};
    const char *argv[3 + 2 * (ARRAY_LEN(settings) + ARRAY_LEN(made)) + 1] = {buf_cstr(&program), "-D", buf_cstr(&c->data)};
    size_t n = 3;
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        argv[n++] = "-c";
        argv[n++] = made[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        argv[n++] = "-c";
        argv[n++] = settings[i];
    }
    rotate_log(c);
    forget_stranger(c);
    return spawn(c, buf_cstr(&c->log), argv, OUTLIVES_US, &c->child);
}

/* Our server ended before it answered. That is no failure when it lost against another: one which a Picket that was killed had just begun to
 * start, and that could not be seen yet. */
static int lost_child(struct db_cluster *c, int status, const char **ret_why)
{
    c->child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNREACHABLE) {
        *ret_why = why_unreachable;
        return -ECHILD;
    }
    if (anyone_lives_in(buf_cstr(&c->data)))
        return 0;
    *ret_why = "the private PostgreSQL ended at once: see its log in the data directory (postgres/log)";
    return -ECHILD;
}

/* Waits for the server, whoever started it, and starts one when there is none: neither a server (perhaps just shutting down) nor a child of
 * one that was killed. */
static int start_server(struct db_cluster *c, int64_t until_us, const char **ret_why)
{
    for (;;) {
        pid_t server = running_server(c);
        int r = 0, status = 0;
        if (server && answers(c)) {
            if (c->child != server)
                c->child = 0; /* none, or one that lost: lost_child() */
            return 0;
        }
        if (is_late(c, until_us)) {
            *ret_why = "the private PostgreSQL does not answer: see its log in the data directory (postgres/log)";
            r = -ETIMEDOUT;
        } else if (c->child && has_ended(c, c->child, &status)) {
            r = lost_child(c, status, ret_why);
        } else if (!server && !c->child && !anyone_lives_in(buf_cstr(&c->data))) {
            *ret_why = "the private PostgreSQL cannot be started";
            r = spawn_server(c);
        } else {
            pause_ms(STEP_MS);
        }
        if (r < 0)
            return r;
    }
}

/* Fast shutdown: ends sessions, writes a checkpoint. A server that cannot finish in time is left to finish on its own. */
static void stop_server(struct db_cluster *c, pid_t server)
{
    int64_t until_us = clock_mono_us() + c->stop_ms * INT64_C(1000);
    int status;
    (void)kill(server, SIGINT); /* gone already is fine */
    while (!has_ended(c, server, &status) && !is_late(c, until_us))
        pause_ms(STEP_MS);
}

static int identify(struct db_cluster *c, const char **ret_why)
{
    c->uid = geteuid();
    c->gid = getegid();
    if (c->uid != 0)
        return 0;
    const struct passwd *pw = getpwnam("postgres");
    if (!pw) {
        *ret_why = "started as root, but there is no user postgres to run the private PostgreSQL as: apt-get install postgresql, or set "
                   "DATABASE_URL";
        return -ENOENT;
    }
    c->uid = pw->pw_uid;
    c->gid = pw->pw_gid;
    c->n_groups = GROUPS_MAX;
    if (getgrouplist("postgres", c->gid, c->groups, &c->n_groups) < 0) {
        *ret_why = "user postgres is in too many groups";
        return -E2BIG;
    }
    return 0;
}

/* A socket's directory goes through lists and quotes of two programs: plain characters only. */
static bool is_plain(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (strchr(",'\"\\", path.p[i]))
            return false;
    return path.n <= SOCKET_DIR_MAX;
}

static void name_paths(struct db_cluster *c, const char *dir)
{
    buf_append_str(&c->dir, str_from(dir));
    (void)buf_cstr(&c->dir);
    buf_printf(&c->data, "%s/data", dir);
    buf_printf(&c->data_new, "%s/data.new", dir);
    buf_printf(&c->log, "%s/log", dir);
    (void)buf_cstr(&c->log);
    buf_printf(&c->run, "%s/run", dir);
    if (!is_plain(buf_str(&c->run))) {
        buf_clear(&c->run);
        buf_printf(&c->run, "/tmp/picket-%u-%016lx", (unsigned)c->uid, (unsigned long)hash64(dir, strlen(dir)));
    }
    /* Port and address are said so that PGPORT and PGHOSTADDR do not. */
    buf_printf(&c->conninfo, "host='%s' hostaddr='' port=5432 user=picket dbname=postgres connect_timeout=10", buf_cstr(&c->run));
    (void)buf_cstr(&c->conninfo);
}

/* The directory itself may be reached through links, and `dir` may be relative, which a child in / could not follow. */
static int find_dir(struct db_cluster *c, const char *dir)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    AUTO_FREE char *real = realpath(dir, NULL);
    if (!real)
        return -errno;
    name_paths(c, real);
    return 0;
}

static const char why_unusable[] = "the directory of the private PostgreSQL cannot be used: look at its owner and mode",
                  why_busy[] = "another Picket starts or stops the private PostgreSQL and does not get done";

static int own_dirs(struct db_cluster *c, const char **ret_why)
{
    *ret_why = why_unusable;
    int r = own_dir(c, buf_cstr(&c->dir));
    return r < 0 ? r : own_dir(c, buf_cstr(&c->run));
}

/* Who and where, and nothing that could be put right later. */
static int find(struct db_cluster *c, const char *dir, const char **ret_why)
{
    int r = identify(c, ret_why);
    if (r < 0)
        return r;
    *ret_why = why_unusable;
    return find_dir(c, dir);
}

static int start(struct db_cluster *c, const struct db_cluster_config *config, const char **ret_why)
{
    int64_t until_us = clock_mono_us() + config->start_ms * INT64_C(1000);
    int r = find(c, config->dir, ret_why);
    if (r == 0)
        r = own_dirs(c, ret_why);
    if (r < 0)
        return r;
    *ret_why = why_busy;
    AUTO_CLOSE int lock = lock_start(c, until_us);
    if (lock < 0)
        return lock;
    r = lock_users(c);
    if (r < 0)
        return r;
    r = find_bin(c, ret_why);
    if (r == 0 && major_of(c) == 0)
        r = make_cluster(c, until_us, ret_why);
    return r < 0 ? r : start_server(c, until_us, ret_why);
}

static struct db_cluster *cluster_new(const struct db_cluster_config *config)
{
    struct db_cluster *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->users_fd = -1;
    c->bin_dir = config->bin_dir;
    c->stop_ms = config->stop_ms ? config->stop_ms : STOP_MS;
    c->connections = config->connections > CONNECTIONS_MIN ? config->connections : CONNECTIONS_MIN;
    return c;
}

int db_cluster_open(const struct db_cluster_config *config, struct db_cluster **ret, const char **ret_why)
{
    *ret_why = "";
    struct db_cluster *c = cluster_new(config);
    if (!c)
        return -ENOMEM;
    int r = find(c, config->dir, ret_why);
    if (r < 0) {
        cluster_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int db_cluster_start(const struct db_cluster_config *config, struct db_cluster **ret, const char **ret_why)
{
    *ret_why = "";
    struct db_cluster *c = cluster_new(config);
    if (!c)
        return -ENOMEM;
    int r = start(c, config, ret_why);
    if (r < 0) {
        if (c->child) /* it did not answer in time: do not leave it behind */
            stop_server(c, c->child);
        cluster_free(c);
        return r;
    }
    *ret_why = "";
    *ret = c;
    return 0;
}

const char *db_cluster_conninfo(const struct db_cluster *c)
{
    return c->conninfo.p; /* NUL-terminated by name_paths */
}

bool db_cluster_created(const struct db_cluster *c)
{
    return c->created;
}

bool db_cluster_started(const struct db_cluster *c)
{
    return c->child != 0;
}

const char *db_cluster_log(const struct db_cluster *c)
{
    return c->log.p; /* NUL-terminated by name_paths */
}

bool db_cluster_runs(struct db_cluster *c)
{
    return running_server(c) != 0;
}

/* The server that ended must not be taken for one that fails to start. It has left its directory a moment before it can be waited for; one that was
 * started and gave its caller up before it had got there is left alone. */
static void forget_ended(struct db_cluster *c, int64_t until_us)
{
    int status;
    while (c->child && !is_server(c, c->child) && !is_late(c, until_us)) {
        if (has_ended(c, c->child, &status))
            c->child = 0;
        else
            pause_ms(STEP_MS);
    }
}

int db_cluster_restart(struct db_cluster *c, unsigned wait_ms, const char **ret_why)
{
    int64_t until_us = clock_mono_us() + wait_ms * INT64_C(1000);
    int r = own_dirs(c, ret_why);
    if (r < 0)
        return r;
    *ret_why = why_busy;
    AUTO_CLOSE int lock = lock_start(c, until_us);
    if (lock < 0)
        return lock;
    r = lock_users(c);
    if (r < 0)
        return r;
    forget_ended(c, until_us);
    *ret_why = "the directory of the private PostgreSQL has no cluster any more";
    if (major_of(c) == 0)
        return -ENOENT;
    r = c->bin.n ? 0 : find_bin(c, ret_why);
    return r < 0 ? r : start_server(c, until_us, ret_why);
}

void db_cluster_give_up(struct db_cluster *c)
{
    atomic_store(&c->give_up, true);
}

/* Nobody can begin to use it while start.lock is held, and nobody uses it if users.lock can be had alone. One that was never started here may yet have
 * been used: by whoever asked the server of another Picket. */
static bool is_last_user(struct db_cluster *c)
{
    return lock_users(c) == 0 && flock(c->users_fd, LOCK_EX | LOCK_NB) == 0;
}

void db_cluster_stop(struct db_cluster *c)
{
    if (!c)
        return;
    atomic_store(&c->give_up, false); /* what it meant is over */
    AUTO_CLOSE int lock = lock_start(c, clock_mono_us() + c->stop_ms * INT64_C(1000));
    pid_t server = running_server(c); /* it may be another than at the start, or one that has noted nothing yet */
    if (!server)
        server = c->child;
    if (lock >= 0 && server && is_last_user(c))
        stop_server(c, server);
    cluster_free(c);
}

void db_cluster_leave(struct db_cluster *c)
{
    if (c)
        cluster_free(c);
}
