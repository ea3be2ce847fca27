/* scrub_patterns.c: what shows by itself that it is private. Lengths, issuers and check digits are all looked at, because identifiers and
 * quantities in events are full of digits: one number in a hundred thousand may be taken by mistake, not one in ten. */
#include "scrub_parts.h"

#include <arpa/inet.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* Not what is beyond ASCII: scripts without blanks between words write numbers right behind them. */
static bool is_word(char c)
{
    return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z') || c == '_';
}

/* Nothing before `i` belongs to what starts there; a number behind a decimal point does not start there. */
static bool starts_at(struct str s, size_t i)
{
    return i == 0 || (!is_word(s.p[i - 1]) && !(s.p[i - 1] == '.' && i > 1 && is_digit(s.p[i - 2])));
}

static bool ends_at(struct str s, size_t i)
{
    return i == s.n || (!is_word(s.p[i]) && !(s.p[i] == '.' && i + 1 < s.n && is_digit(s.p[i + 1])));
}

/* ---- payment cards: ISO/IEC 7812 */

enum { CARD_MAX = 16 };

/* Issuers by first digits (protocol §5.15); the number's length follows. */
static bool is_issued(const uint8_t *digits, size_t n)
{
    unsigned two = digits[0] * 10u + digits[1], four = two * 100 + digits[2] * 10u + digits[3];
    if (two == 34 || two == 37)
        return n == 15;
    if (digits[0] == 4)
        return n == 13 || n == 16;
    return n == 16 && ((two >= 51 && two <= 55) || two == 65 || four == 6011);
}

static bool luhn(const uint8_t *digits, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned d = digits[n - 1 - i] * (i % 2 + 1u);
        sum += d > 9 ? d - 9 : d;
    }
    return sum % 10 == 0;
}

/* Without separators, or 4-4-4-4, or 4-6-5 with blanks or hyphens between. */
static bool is_grouped(const uint8_t *groups, size_t n)
{
    return n == 1 || (n == 4 && groups[0] == 4 && groups[1] == 4 && groups[2] == 4 && groups[3] == 4) ||
           (n == 3 && groups[0] == 4 && groups[1] == 6 && groups[2] == 5);
}

size_t scrub_card(struct str s, size_t i)
{
    uint8_t digits[CARD_MAX], groups[CARD_MAX] = {0};
    size_t n = 0, n_groups = 1, at = i;
    if (!starts_at(s, i))
        return 0;
    for (; at < s.n && n < CARD_MAX; at++) {
        if (is_digit(s.p[at])) {
            digits[n++] = (uint8_t)(s.p[at] - '0');
            groups[n_groups - 1]++;
        } else if ((s.p[at] == ' ' || s.p[at] == '-') && at + 1 < s.n && is_digit(s.p[at + 1]) &&
                   (groups[n_groups - 1] == 4 || groups[n_groups - 1] == 6) && n_groups < 4 && n < 15) {
            groups[n_groups++] = 0;
        } else {
            break;
        }
    }
    if (n < 13 || !ends_at(s, at) || !is_grouped(groups, n_groups) || !is_issued(digits, n) || !luhn(digits, n))
        return 0;
    return at - i;
}

/* ---- US social security numbers: nnn-nn-nnnn, of the ranges that are given out */

size_t scrub_ssn(struct str s, size_t i)
{
    static const char form[] = "ddd-dd-dddd";
    enum { LEN = sizeof form - 1 };
    if (s.n - i < LEN || !starts_at(s, i) || (i > 0 && s.p[i - 1] == '-') || !ends_at(s, i + LEN) || (i + LEN < s.n && s.p[i + LEN] == '-'))
        return 0;
    const char *p = s.p + i;
    for (size_t k = 0; k < LEN; k++)
        if (form[k] == 'd' ? !is_digit(p[k]) : p[k] != '-')
            return 0;
    bool area = p[0] != '9' && memcmp(p, "000", 3) != 0 && memcmp(p, "666", 3) != 0;
    return area && memcmp(p + 4, "00", 2) != 0 && memcmp(p + 7, "0000", 4) != 0 ? LEN : 0;
}

/* ---- IBAN: ISO 13616 */

enum { IBAN_MIN = 15, IBAN_GROUP = 4 };

/* Country and length of its numbers. */
static const char iban_countries[][5] = {
    "AD24", "AE23", "AL28", "AT20", "AZ28", "BA20", "BE16", "BG22", "BH22", "BR29", "BY28", "CH21", "CR22", "CY28", "CZ24", "DE22",
    "DK18", "DO28", "EE20", "EG29", "ES24", "FI18", "FO18", "FR27", "GB22", "GE22", "GI23", "GL18", "GR27", "GT28", "HR21", "HU28",
    "IE22", "IL23", "IQ23", "IS26", "IT27", "JO30", "KW30", "KZ20", "LB28", "LC32", "LI21", "LT20", "LU20", "LV21", "LY25", "MC27",
    "MD24", "ME22", "MK19", "MR27", "MT31", "MU30", "NL18", "NO15", "PK24", "PL28", "PS29", "PT25", "QA29", "RO24", "RS22", "SA24",
    "SC31", "SE24", "SI19", "SK24", "SM27", "ST25", "SV28", "TN24", "TR26", "UA29", "VA22", "VG24", "XK20",
};

static size_t iban_length(const char *country)
{
    for (size_t k = 0; k < ARRAY_LEN(iban_countries); k++)
        if (memcmp(iban_countries[k], country, 2) == 0)
            return (size_t)(iban_countries[k][2] - '0') * 10 + (size_t)(iban_countries[k][3] - '0');
    return 0;
}

/* Remainder by 97 of the number with one more character: a letter counts as two digits. */
static unsigned iban_step(unsigned remainder, char c)
{
    return is_digit(c) ? (remainder * 10 + (unsigned)(c - '0')) % 97 : (remainder * 100 + (unsigned)(c - 'A') + 10) % 97;
}

size_t scrub_iban(struct str s, size_t i)
{
    char text[40];
    size_t n = 0, at = i;
    if (s.n - i < IBAN_MIN || !is_upper(s.p[i]) || !is_upper(s.p[i + 1]) || !is_digit(s.p[i + 2]) || !is_digit(s.p[i + 3]) ||
        !starts_at(s, i))
        return 0;
    size_t length = iban_length(s.p + i);
    for (; at < s.n && n < length; at++) {
        if (is_digit(s.p[at]) || is_upper(s.p[at]))
            text[n++] = s.p[at];
        else if (s.p[at] != ' ' || n % IBAN_GROUP != 0 || s.p[at - 1] == ' ')
            return 0;
    }
    if (n == 0 || n < length || !ends_at(s, at))
        return 0;
    unsigned remainder = 0;
    for (size_t k = 0; k < n; k++)
        remainder = iban_step(remainder, text[(k + 4) % n]); /* country and check digits go to the end */
    return remainder == 1 ? at - i : 0;
}

/* ---- IP addresses */

static size_t octet(struct str s, size_t i)
{
    unsigned value = 0;
    size_t n = 0;
    for (; i + n < s.n && n < 3 && is_digit(s.p[i + n]); n++)
        value = value * 10 + (unsigned)(s.p[i + n] - '0');
    return value <= 255 ? n : 0;
}

size_t scrub_ipv4(struct str s, size_t i)
{
    size_t at = i;
    if (!starts_at(s, i))
        return 0;
    for (unsigned part = 0; part < 4; part++) {
        if (part > 0 && (at >= s.n || s.p[at++] != '.'))
            return 0;
        size_t n = octet(s, at);
        if (n == 0)
            return 0;
        at += n;
    }
    return ends_at(s, at) ? at - i : 0;
}

static bool in_ipv6(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

size_t scrub_ipv6(struct str s, size_t i)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr ignored;
    size_t n = 0;
    while (i + n < s.n && n < sizeof text && in_ipv6(s.p[i + n]))
        n++;
    while (n > 0 && n < sizeof text && (s.p[i + n - 1] == '.' || (s.p[i + n - 1] == ':' && !(n > 1 && s.p[i + n - 2] == ':'))))
        n--; /* the end of a sentence */
    if (n < 3 || n >= sizeof text || (i > 0 && is_word(s.p[i - 1])) || (i + n < s.n && is_word(s.p[i + n])))
        return 0;
    memcpy(text, s.p + i, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &ignored) == 1 ? n : 0;
}

/* ---- credentials of HTTP's Basic scheme */

bool scrub_is_basic(struct str credentials)
{
    uint8_t decoded[3 * SCRUB_BASIC_ENOUGH / 4 + 3];
    if (credentials.n < 4)
        return false;
    ptrdiff_t n = str_base64_decode(str_take(credentials, SCRUB_BASIC_ENOUGH), decoded);
    bool colon = false;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (decoded[i] < 0x20 || decoded[i] == 0x7F)
            return false;
        colon |= decoded[i] == ':';
    }
    return n > 0 && colon;
}
