/* crash.c: crashes, and lets Crashpad's handler look at it:   crash HANDLER ARGUMENT...
 *
 * The signal handler starts the crash handler as its child with the address of what the kernel told of the signal, as Crashpad's client library
 * does, waits for it, and ends. A second thread with a name idles meanwhile. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 30 };

static struct { /* as Crashpad reads it: ExceptionInformation */
    uint64_t siginfo, context;
    int32_t thread;
    uint32_t padding;
} seen;
static char *arguments[MAX_ARGUMENTS + 2], seen_argument[64];
static pthread_barrier_t started;

static void on_signal(int number, siginfo_t *siginfo, void *context)
{
    (void)number;
    seen.siginfo = (uint64_t)siginfo;
    seen.context = (uint64_t)context;
    seen.thread = (int32_t)syscall(SYS_gettid);
    pid_t child = fork();
    if (child == 0) {
        execv(arguments[0], arguments);
        _exit(127);
    }
    int status = 127 << 8;
    if (child > 0)
        waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void *idle(void *unused)
{
    pthread_setname_np(pthread_self(), "idle worker");
    pthread_barrier_wait(&started);
    for (;;)
        pause();
    return unused;
}

__attribute__((noinline)) static int read_number(volatile int *at)
{
    return *at + 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    if (argc < 2 || argc - 1 > MAX_ARGUMENTS)
        return 2;
    for (int i = 1; i < argc; i++)
        arguments[i - 1] = argv[i];
    snprintf(seen_argument, sizeof seen_argument, "--trace-parent-with-exception=0x%llx", (unsigned long long)(uintptr_t)&seen);
    arguments[argc - 1] = seen_argument;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    pthread_barrier_init(&started, NULL, 2);
    if (pthread_create(&thread, NULL, idle, NULL) || sigaction(SIGSEGV, &action, NULL))
        return 2;
    pthread_barrier_wait(&started);
    return read_number((volatile int *)0x10);
}
