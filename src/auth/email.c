/* email.c: see the header. */
#include "picket/auth/email.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool local_ok(struct str s)
{
    if (s.n == 0 || s.n > 64 || s.p[0] == '.' || s.p[s.n - 1] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && s.p[i + 1] == '.')
            return false;
        if (!is_alnum(s.p[i]) && str_find(STR("._+-'"), s.p[i]) == 5)
            return false;
    }
    return true;
}

static bool label_ok(struct str s)
{
    if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool letters_only(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) || (s.p[i] >= '0' && s.p[i] <= '9'))
            return false;
    return true;
}

bool email_is_valid(struct str email)
{
    if (email.n > EMAIL_MAX)
        return false;
    struct str domain = email, local = str_cut(&domain, '@'), label = {0};
    unsigned labels = 0;
    if (!domain.p || !local_ok(local))
        return false;
    while (domain.p) {
        label = str_cut(&domain, '.');
        if (!label_ok(label))
            return false;
        labels++;
    }
    return labels >= 2 && label.n >= 2 && letters_only(label);
}
