/* cluster.c: a PostgreSQL of Picket's own.
 *
 *   <dir>/data       the cluster; made by initdb as data.new and renamed, so a half-made one is never taken for whole
 *   <dir>/run        the socket, mode 0700; a path too long for a socket's address is replaced by a private directory under /tmp
 *   <dir>/log        what initdb and the server print
 *
 * The server is a session of its own: Ctrl-C and a kill -9 of Picket leave it alone, and the next start takes it over by its postmaster.pid. It
 * speaks on the socket only, and only its own user and root can reach that: so local connections are trusted. Started as root, everything runs
 * as user postgres, because PostgreSQL refuses to run as root.
 *
 * Blocking, for start-up: waiting is done in steps of STEP_MS with PQping, libpq's own question for this. */
#include "picket/db/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <libpq-fe.h>

#include "picket/base/buf.h"
#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"

enum { STEP_MS = 20, STOP_MS = 60000, SOCKET_DIR_MAX = 90, MAJOR_MIN = 15 };

struct db_cluster {
    struct buf dir, data, data_new, run, log, bin, conninfo;
    uid_t uid;
    gid_t gid;
    const char *user; /* its name when privileges are dropped, else NULL */
    pid_t child;      /* of this process; 0: taken over */
    pid_t server;
    bool created;
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
    free(c);
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

static int find_bin(struct db_cluster *c, const char *given, const char **ret_why)
{
    unsigned wanted = major_of(c);
    if (given) {
        buf_append_str(&c->bin, str_from(given));
        if (has_programs(&c->bin))
            return 0;
        *ret_why = "POSTGRES_BIN_DIR has no initdb";
        return -ENOENT;
    }
    if (find_debian_bin(c, wanted) || (!wanted && find_path_bin(c)))
        return 0;
    *ret_why = wanted ? "the private cluster was made by another major version of PostgreSQL than is installed: install that version's server package, or "
                        "upgrade the cluster with pg_upgradecluster's steps"
                      : "no PostgreSQL 15 or newer is installed: apt-get install postgresql, or set DATABASE_URL";
    return -ENOENT;
}

/* ---- directories and processes */

static int make_dir(const struct db_cluster *c, const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return -errno;
    struct stat st;
    if (lstat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    if (st.st_uid != c->uid && (geteuid() != 0 || chown(path, c->uid, c->gid) < 0))
        return -EPERM;
    return 0;
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

/* In the child: its own session and user, output to the log, then the program. */
static _Noreturn void become(const struct db_cluster *c, const char *log, const char *const argv[])
{
    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    if (c->user && (initgroups(c->user, c->gid) < 0 || setgid(c->gid) < 0 || setuid(c->uid) < 0))
        _exit(126);
    int null = open("/dev/null", O_RDONLY), out = open(log, O_CREAT | O_APPEND | O_WRONLY, 0600);
    if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir("/") < 0)
        _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], (char *const *)argv); /* execv's prototype predates const; it changes nothing */
    _exit(127);
}

static int spawn(struct db_cluster *c, const char *const argv[], pid_t *ret)
{
    const char *log = buf_cstr(&c->log);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        become(c, log, argv);
    *ret = pid;
    return 0;
}

static int make_cluster(struct db_cluster *c)
{
    AUTO_BUF struct buf program = {0};
    buf_printf(&program, "%s/initdb", buf_cstr(&c->bin));
    int r = remove_tree(buf_cstr(&c->data_new));
    if (r < 0)
        return r;
    const char *const argv[] = {buf_cstr(&program), "-D", buf_cstr(&c->data_new), "-U", "picket", "-E", "UTF8", "--locale=C.UTF-8",
                          "--auth-local=trust", "--auth-host=reject", "--data-checksums", NULL};
    pid_t pid = 0;
    r = spawn(c, argv, &pid);
    if (r < 0)
        return r;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return -EIO;
    if (rename(buf_cstr(&c->data_new), buf_cstr(&c->data)) < 0)
        return -errno;
    c->created = true;
    return 0;
}

/* The pid in postmaster.pid, if such a process lives; whether it is our server is for PQping to say. */
static pid_t running_server(struct db_cluster *c)
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
    if (!str_to_u64(str_cut(&rest, '\n'), &pid) || pid < 2 || pid > INT32_MAX)
        return 0;
    return kill((pid_t)pid, 0) == 0 || errno == EPERM ? (pid_t)pid : 0;
}

static bool answers(struct db_cluster *c)
{
    return PQping(buf_cstr(&c->conninfo)) == PQPING_OK;
}

static bool child_ended(struct db_cluster *c)
{
    int status;
    if (!c->child || waitpid(c->child, &status, WNOHANG) != c->child)
        return false;
    c->child = 0;
    return true;
}

static int wait_for_answer(struct db_cluster *c, unsigned start_ms, const char **ret_why)
{
    int64_t until = clock_mono_us() + (int64_t)start_ms * 1000;
    for (;;) {
        pid_t server = running_server(c);
        if (server && answers(c)) {
            c->server = server;
            return 0;
        }
        if (child_ended(c)) {
            *ret_why = "the private PostgreSQL ended at once: see its log in the data directory (postgres/log)";
            return -ECHILD;
        }
        if (clock_mono_us() > until) {
            *ret_why = "the private PostgreSQL does not answer: see its log in the data directory (postgres/log)";
            return -ETIMEDOUT;
        }
        pause_ms(STEP_MS);
    }
}

static int start_server(struct db_cluster *c, unsigned start_ms, const char **ret_why)
{
    if (running_server(c) && answers(c)) { /* left by a Picket that was killed */
        c->server = running_server(c);
        return 0;
    }
    AUTO_BUF struct buf program = {0}, sockets = {0};
    buf_printf(&program, "%s/postgres", buf_cstr(&c->bin));
    buf_printf(&sockets, "unix_socket_directories=%s", buf_cstr(&c->run));
    static const char *const settings[] = {"listen_addresses=", "fsync=on", "max_connections=60", "shared_buffers=128MB", "max_wal_size=2GB",
                                     "wal_compression=on", "logging_collector=off", "log_timezone=UTC"};
    const char *argv[3 + 2 * (ARRAY_LEN(settings) + 1) + 1] = {buf_cstr(&program), "-D", buf_cstr(&c->data)};
    size_t n = 3;
    argv[n++] = "-c";
    argv[n++] = buf_cstr(&sockets);
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        argv[n++] = "-c";
        argv[n++] = settings[i];
    }
    int r = spawn(c, argv, &c->child);
    if (r < 0) {
        *ret_why = "the private PostgreSQL cannot be started: fork failed";
        return r;
    }
    return wait_for_answer(c, start_ms, ret_why);
}

static int identify(struct db_cluster *c, const char **ret_why)
{
    c->uid = geteuid();
    c->gid = getegid();
    if (c->uid != 0)
        return 0;
    const struct passwd *pw = getpwnam("postgres");
    if (!pw) {
        *ret_why = "started as root, but there is no user postgres to run the private PostgreSQL as: apt-get install postgresql, or set DATABASE_URL";
        return -ENOENT;
    }
    c->uid = pw->pw_uid;
    c->gid = pw->pw_gid;
    c->user = "postgres";
    return 0;
}

static void name_paths(struct db_cluster *c, const char *dir)
{
    buf_append_str(&c->dir, str_from(dir));
    buf_printf(&c->data, "%s/data", dir);
    buf_printf(&c->data_new, "%s/data.new", dir);
    buf_printf(&c->log, "%s/log", dir);
    buf_printf(&c->run, "%s/run", dir);
    if (c->run.n > SOCKET_DIR_MAX) {
        buf_clear(&c->run);
        buf_printf(&c->run, "/tmp/picket-%u-%016lx", (unsigned)c->uid, (unsigned long)hash64(dir, strlen(dir)));
    }
    buf_printf(&c->conninfo, "host='%s' user=picket dbname=postgres", buf_cstr(&c->run));
}

static int start(struct db_cluster *c, const struct db_cluster_config *config, const char **ret_why)
{
    int r = identify(c, ret_why);
    if (r < 0)
        return r;
    name_paths(c, config->dir);
    r = find_bin(c, config->bin_dir, ret_why);
    if (r < 0)
        return r;
    *ret_why = "the directory of the private PostgreSQL cannot be used: look at its owner and mode";
    r = make_dir(c, buf_cstr(&c->dir), 0700);
    if (r == 0)
        r = make_dir(c, buf_cstr(&c->run), 0700);
    if (r < 0)
        return r;
    *ret_why = "initdb failed: see its output in the data directory (postgres/log)";
    if (major_of(c) == 0)
        r = make_cluster(c);
    return r < 0 ? r : start_server(c, config->start_ms, ret_why);
}

int db_cluster_start(const struct db_cluster_config *config, struct db_cluster **ret, const char **ret_why)
{
    struct db_cluster *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *ret_why = "";
    int r = start(c, config, ret_why);
    if (r < 0) {
        if (c->child) { /* it did not answer in time: do not leave it behind */
            (void)kill(c->child, SIGINT);
            (void)waitpid(c->child, NULL, 0);
        }
        cluster_free(c);
        return r;
    }
    *ret_why = "";
    *ret = c;
    return 0;
}

const char *db_cluster_conninfo(const struct db_cluster *c)
{
    return c->conninfo.p; /* NUL-terminated by buf_cstr in start_server */
}

bool db_cluster_created(const struct db_cluster *c)
{
    return c->created;
}

bool db_cluster_started(const struct db_cluster *c)
{
    return c->child != 0;
}

void db_cluster_stop(struct db_cluster *c)
{
    if (!c)
        return;
    (void)kill(c->server, SIGINT); /* fast shutdown; gone already is fine */
    int64_t until = clock_mono_us() + STOP_MS * INT64_C(1000);
    while (clock_mono_us() < until && !child_ended(c) && (c->child || kill(c->server, 0) == 0))
        pause_ms(STEP_MS);
    cluster_free(c);
}

void db_cluster_leave(struct db_cluster *c)
{
    if (c)
        cluster_free(c);
}
