/* scope.c: names of scopes and roles, and which role gives which scopes: README has the same as a table. */
#include "picket/auth/scope.h"

#include "picket/base/macros.h"

static const struct str names[SCOPES] = {
#define X(name, text) [SCOPE_##name] = STR(text),
    SCOPE_MAP(X)
#undef X
};

enum {
    READ = 1 << SCOPE_PROJECT_READ | 1 << SCOPE_EVENT_READ | 1 << SCOPE_ALERT_READ,
    WRITE = 1 << SCOPE_PROJECT_WRITE | 1 << SCOPE_EVENT_WRITE | 1 << SCOPE_ALERT_WRITE,
    ALL = (1 << SCOPES) - 1
};

static const struct {
    struct str name;
    uint32_t scopes;
} roles[ROLES] = {
    [ROLE_VIEWER] = {STR("viewer"), READ},
    [ROLE_MEMBER] = {STR("member"), READ | WRITE},
    [ROLE_ADMIN] = {STR("admin"), ALL},
    [ROLE_OWNER] = {STR("owner"), ALL},
};

const char *scope_name(enum scope s)
{
    return names[s].p;
}

uint32_t scope_parse(struct str word)
{
    bool all = str_ends(word, STR(":*"));
    struct str prefix = all ? str_take(word, word.n - 1) : word;
    uint32_t bits = 0;
    for (unsigned i = 0; i < SCOPES; i++)
        if (all ? str_starts(names[i], prefix) : str_eq(names[i], word))
            bits |= scope_bit((enum scope)i);
    return bits;
}

void scopes_format(uint32_t scopes, const char *separator, struct buf *out)
{
    bool first = true;
    for (unsigned i = 0; i < SCOPES; i++) {
        if (!(scopes & scope_bit((enum scope)i)))
            continue;
        buf_printf(out, "%s%s", first ? "" : separator, names[i].p);
        first = false;
    }
}

uint32_t scopes_of_array(struct str array)
{
    uint32_t bits = 0;
    if (array.n < 2)
        return 0;
    for (struct str rest = str_of(array.p + 1, array.n - 2); rest.p;) {
        struct str name = str_cut(&rest, ',');
        if (!str_ends(name, STR(":*")))
            bits |= scope_parse(name);
    }
    return bits;
}

bool scope_is_open(enum scope s, enum scope_kept who)
{
    static const uint32_t open[] = {
        [SCOPE_KEPT_TOKEN] = 1 << SCOPE_PROJECT_READ | 1 << SCOPE_EVENT_READ,
        [SCOPE_KEPT_USER] = 1 << SCOPE_PROJECT_READ | 1 << SCOPE_EVENT_READ | 1 << SCOPE_PROJECT_WRITE | 1 << SCOPE_ALERT_READ,
    };
    return open[who] & scope_bit(s);
}

const char *role_name(enum role r)
{
    return roles[r].name.p;
}

bool role_parse(struct str name, enum role *ret)
{
    for (unsigned i = 0; i < ROLES; i++)
        if (str_eq(roles[i].name, name)) {
            *ret = (enum role)i;
            return true;
        }
    return false;
}

uint32_t role_scopes(enum role r)
{
    return roles[r].scopes;
}
