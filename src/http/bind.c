/* bind.c: the listening sockets. Every worker has one of its own on the same address (SO_REUSEPORT), so the kernel spreads connections.
 * SO_REUSEPORT would also let a second Picket of the same user take half of our connections in silence, so a socket without it is bound
 * first: that one fails when the port is taken. */
#include "internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

enum sharing { EXCLUSIVE, SHARED };

static int bind_one(const struct addrinfo *ai, enum sharing sharing, int *ret)
{
    AUTO_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -errno;
    if (sharing == SHARED && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        return -errno;
    if (ai->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        return -errno;
    *ret = TAKE_FD(fd);
    return 0;
}

static in_port_t *port_of(struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)sa)->sin6_port : &((struct sockaddr_in *)(void *)sa)->sin_port;
}

/* Probes the address; a port of 0 becomes the one that the kernel chose. */
static int claim(struct addrinfo *ai)
{
    AUTO_CLOSE int fd = -1;
    int r = bind_one(ai, EXCLUSIVE, &fd);
    if (r < 0)
        return r;
    if (listen(fd, 1) < 0) /* SO_REUSEADDR lets bind pass beside a listener; listen does not */
        return -errno;
    struct sockaddr_storage real = {0};
    socklen_t n = sizeof real;
    if (getsockname(fd, (struct sockaddr *)&real, &n) < 0)
        return -errno;
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): getsockname has filled it */
    *port_of(ai->ai_addr) = *port_of((struct sockaddr *)&real);
    return 0;
}

int bind_sockets(const char *host, unsigned port, unsigned n, int *ret_fds, unsigned *ret_port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *ai;
    int r = getaddrinfo(host, service, &hints, &ai);
    if (r != 0)
        return r == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
    r = claim(ai);
    unsigned bound = 0;
    while (r == 0 && bound < n) {
        r = bind_one(ai, SHARED, &ret_fds[bound]);
        bound += r == 0;
    }
    if (r == 0)
        *ret_port = ntohs(*port_of(ai->ai_addr));
    while (r < 0 && bound > 0)
        (void)close(ret_fds[--bound]); /* never listened: nothing to lose */
    freeaddrinfo(ai);
    return r;
}
