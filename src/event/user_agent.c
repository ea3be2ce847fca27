/* user_agent.c: tables of what to look for in a User-Agent, in the order in which it decides: programs pretend to be older ones and put
 * their own name behind ("Chrome/… Safari/… Edg/…"), so the rarer name comes first. A name's version is the number that follows it.
 *
 * Client hints (Sec-CH-UA…) are newer than the frozen text of the header and win over it: Chromium says "Android 10; K" and "Windows NT 10.0"
 * for ever, the hints say which. Only crawlers are believed by their header alone. All is done in one pass per table over a text that is cut
 * at HEADER_MAX. */
#include "user_agent.h"

enum { HEADER_MAX = 1024, VERSION_PARTS = 3 };

/* ---- tables */

struct program {
    struct str token, name;
    struct str version_after; /* token that the version follows; "": the same; "-": it has none */
};

#define PROGRAM(token, name) \
    { \
        STR(token), STR(name), \
        { \
            "", 0 \
        } \
    }
#define PROGRAM_BY(token, name, version) \
    { \
        STR(token), STR(name), STR(version) \
    }

/* Crawlers and previews: device "Spider". */
static const struct program bots[] = {
    PROGRAM("Googlebot-Image/", "Googlebot-Image"),
    PROGRAM("Googlebot/", "Googlebot"),
    PROGRAM("AdsBot-Google", "AdsBot-Google"),
    PROGRAM("Mediapartners-Google", "Mediapartners-Google"),
    PROGRAM("GoogleOther", "GoogleOther"),
    PROGRAM("bingbot/", "bingbot"),
    PROGRAM("BingPreview/", "BingPreview"),
    PROGRAM("YandexBot/", "YandexBot"),
    PROGRAM("DuckDuckBot", "DuckDuckBot"),
    PROGRAM("Baiduspider", "Baiduspider"),
    PROGRAM("Applebot", "Applebot"),
    PROGRAM("facebookexternalhit/", "FacebookBot"),
    PROGRAM("meta-externalagent/", "FacebookBot"),
    PROGRAM("Twitterbot/", "Twitterbot"),
    PROGRAM("LinkedInBot/", "LinkedInBot"),
    PROGRAM("Slackbot", "Slackbot"),
    PROGRAM("Discordbot/", "Discordbot"),
    PROGRAM("TelegramBot", "TelegramBot"),
    PROGRAM("WhatsApp/", "WhatsApp"),
    PROGRAM("AhrefsBot/", "AhrefsBot"),
    PROGRAM("SemrushBot", "SemrushBot"),
    PROGRAM("MJ12bot/", "MJ12bot"),
    PROGRAM("DotBot/", "DotBot"),
    PROGRAM("PetalBot", "PetalBot"),
    PROGRAM("Bytespider", "Bytespider"),
    PROGRAM("GPTBot/", "GPTBot"),
    PROGRAM("ChatGPT-User", "ChatGPT-User"),
    PROGRAM("OAI-SearchBot", "OAI-SearchBot"),
    PROGRAM("PerplexityBot/", "PerplexityBot"),
    PROGRAM("CCBot/", "CCBot"),
    PROGRAM("Amazonbot/", "Amazonbot"),
    PROGRAM("UptimeRobot/", "UptimeRobot"),
    PROGRAM("Pingdom", "Pingdom"),
    PROGRAM("GoogleHC/", "GoogleHC"),
    PROGRAM("kube-probe/", "kube-probe"),
    PROGRAM("ELB-HealthChecker/", "ELB-HealthChecker"),
};

static const struct program browsers[] = {
    PROGRAM("Edg/", "Edge"),
    PROGRAM("EdgA/", "Edge"),
    PROGRAM("EdgiOS/", "Edge"),
    PROGRAM("Edge/", "Edge"),
    PROGRAM("OPR/", "Opera"),
    PROGRAM("OPX/", "Opera"),
    PROGRAM("OPT/", "Opera"),
    PROGRAM_BY("Opera Mini/", "Opera Mini", "Opera Mini/"),
    PROGRAM_BY("Opera/", "Opera", "Version/"),
    PROGRAM("SamsungBrowser/", "Samsung Internet"),
    PROGRAM("YaBrowser/", "Yandex Browser"),
    PROGRAM("Vivaldi/", "Vivaldi"),
    PROGRAM("UCBrowser/", "UC Browser"),
    PROGRAM("DuckDuckGo/", "DuckDuckGo"),
    PROGRAM("MiuiBrowser/", "MiuiBrowser"),
    PROGRAM("HuaweiBrowser/", "Huawei Browser"),
    PROGRAM("Electron/", "Electron"),
    PROGRAM("FBAV/", "Facebook"),
    PROGRAM("Instagram ", "Instagram"),
    PROGRAM("FxiOS/", "Firefox"),
    PROGRAM("CriOS/", "Chrome"),
    PROGRAM("GSA/", "Google"),
    PROGRAM("Seamonkey/", "SeaMonkey"),
    PROGRAM("Firefox/", "Firefox"),
    PROGRAM("MSIE ", "IE"),
    PROGRAM_BY("Trident/7", "IE", "rv:"),
    PROGRAM("HeadlessChrome/", "HeadlessChrome"),
    PROGRAM_BY("; wv)", "Chrome WebView", "Chrome/"),
    PROGRAM("Chrome/", "Chrome"),
    PROGRAM("Chromium/", "Chromium"),
    PROGRAM_BY("Android", "Android Browser", "Version/"),
    PROGRAM_BY("Safari/", "Safari", "Version/"),
    PROGRAM_BY("AppleWebKit/", "Safari", "Version/"),
};

/* Libraries and tools; the whole name stands at the beginning or behind a blank. */
static const struct program clients[] = {
    PROGRAM("curl/", "curl"),
    PROGRAM("Wget/", "Wget"),
    PROGRAM("python-requests/", "Python Requests"),
    PROGRAM("python-httpx/", "HTTPX"),
    PROGRAM("aiohttp/", "aiohttp"),
    PROGRAM("Python-urllib/", "Python-urllib"),
    PROGRAM("python-urllib3/", "urllib3"),
    PROGRAM("Go-http-client/", "Go-http-client"),
    PROGRAM("okhttp/", "okhttp"),
    PROGRAM("Apache-HttpClient/", "Apache-HttpClient"),
    PROGRAM("Java-http-client/", "Java"),
    PROGRAM("Java/", "Java"),
    PROGRAM("axios/", "axios"),
    PROGRAM("node-fetch/", "node-fetch"),
    PROGRAM("undici", "undici"),
    PROGRAM("got ", "got"),
    PROGRAM("PostmanRuntime/", "Postman"),
    PROGRAM("insomnia/", "Insomnia"),
    PROGRAM("HTTPie/", "HTTPie"),
    PROGRAM("Dart/", "Dart"),
    PROGRAM("CFNetwork/", "CFNetwork"),
    PROGRAM("GuzzleHttp/", "Guzzle"),
    PROGRAM("Ruby", "Ruby"),
    PROGRAM("libwww-perl/", "libwww-perl"),
    PROGRAM("reqwest/", "reqwest"),
    PROGRAM("Faraday v", "Faraday"),
    PROGRAM("k6/", "k6"),
};

static const struct {
    struct str nt, version;
} windows[] = {
    {STR("10.0"), STR("10")},   {STR("6.3"), STR("8.1")}, {STR("6.2"), STR("8")},  {STR("6.1"), STR("7")},
    {STR("6.0"), STR("Vista")}, {STR("5.2"), STR("XP")},  {STR("5.1"), STR("XP")},
};

/* Beginnings of Android models. */
static const struct {
    struct str prefix, brand;
} brands[] = {
    {STR("SM-"), STR("Samsung")},     {STR("GT-"), STR("Samsung")},   {STR("SAMSUNG"), STR("Samsung")}, {STR("Pixel"), STR("Google")},
    {STR("Nexus"), STR("Google")},    {STR("Redmi"), STR("Xiaomi")},  {STR("POCO"), STR("Xiaomi")},     {STR("Mi "), STR("Xiaomi")},
    {STR("M20"), STR("Xiaomi")},      {STR("moto"), STR("Motorola")}, {STR("Moto"), STR("Motorola")},   {STR("XT"), STR("Motorola")},
    {STR("ONEPLUS"), STR("OnePlus")}, {STR("CPH"), STR("OPPO")},      {STR("RMX"), STR("Realme")},      {STR("vivo"), STR("vivo")},
    {STR("HUAWEI"), STR("Huawei")},   {STR("LG-"), STR("LG")},        {STR("LM-"), STR("LG")},          {STR("Nokia"), STR("Nokia")},
    {STR("HTC"), STR("HTC")},         {STR("KF"), STR("Amazon")},     {STR("TECNO"), STR("Tecno")},     {STR("Infinix"), STR("Infinix")},
};

/* ---- texts */

static size_t find(struct str s, struct str token)
{
    const char *at = s.p && s.n ? memmem(s.p, s.n, token.p, token.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

static bool has(struct str s, struct str token)
{
    return find(s, token) < s.n;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number that `s` begins with: 120.0.6099.109 is 120.0.6099, and 10_15_7 is 10.15.7. */
static struct str version_at(struct str s, struct arena *a)
{
    char text[USER_AGENT_TEXT_MAX];
    size_t n = 0;
    unsigned parts = 1;
    for (size_t i = 0; i < s.n && n < sizeof text; i++) {
        bool point = s.p[i] == '.' || s.p[i] == '_';
        if (!is_digit(s.p[i]) && !(point && n > 0 && i + 1 < s.n && is_digit(s.p[i + 1])))
            break;
        if (point && parts++ == VERSION_PARTS)
            break;
        text[n] = s.p[i];
        if (point)
            text[n] = '.';
        n++;
    }
    return n == 0 ? STR("") : arena_str(a, str_of(text, n));
}

/* Behind `token`, which may lack its slash or blank: "Baiduspider/2.0", "Ruby". */
static struct str version_after(struct str s, struct str token, struct arena *a)
{
    struct str rest = str_drop(s, find(s, token) + token.n);
    if (rest.n > 0 && (rest.p[0] == '/' || rest.p[0] == ' '))
        rest = str_drop(rest, 1);
    return has(s, token) ? version_at(rest, a) : STR("");
}

static uint64_t major(struct str version)
{
    uint64_t n = 0;
    return str_to_u64(str_take(version, str_find(version, '.')), &n) ? n : 0;
}

/* A text of the client's own: bounded, printable and not empty, or "". */
static struct str own_text(struct str s, struct arena *a)
{
    s = str_trim(s);
    if (s.n == 0 || s.n > USER_AGENT_TEXT_MAX || !str_is_utf8(s))
        return STR("");
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return STR("");
    return arena_str(a, s);
}

/* The value of a hint without its quotes. */
static struct str unquoted(struct str s)
{
    s = str_trim(str_take(s, HEADER_MAX));
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = str_of(s.p + 1, s.n - 2);
    return s;
}

/* ---- programs */

static bool find_program(struct str s, const struct program *table, size_t n, struct arena *a, struct user_agent_part *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (!has(s, table[i].token))
            continue;
        ret->name = table[i].name;
        ret->version = version_after(s, table[i].version_after.n ? table[i].version_after : table[i].token, a);
        return true;
    }
    return false;
}

static bool find_client(struct str s, struct arena *a, struct user_agent_part *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        size_t at = find(s, clients[i].token);
        if (at == s.n || (at > 0 && s.p[at - 1] != ' '))
            continue;
        ret->name = clients[i].name;
        ret->version = version_after(s, clients[i].token, a);
        return true;
    }
    return false;
}

static bool ends_word(struct str s, size_t at)
{
    return at >= s.n || s.p[at] == '/' || s.p[at] == ' ' || s.p[at] == ';' || s.p[at] == ')' || s.p[at] == '-';
}

static bool begins_word(char before)
{
    return before == ' ' || before == ';' || before == '(' || before == '/' || before == '+';
}

/* A crawler that no table knows says so before it says where to complain: "SomethingBot/1.0 (+http://…/bot)". */
static bool is_some_bot(struct str s, struct arena *a, struct user_agent_part *ret)
{
    static const struct str words[] = {STR("bot"), STR("crawler"), STR("spider")};
    s = str_take(s, find(s, STR("://")));
    for (size_t at = 0; at < s.n; at++)
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
            size_t end = at + words[i].n, start = at;
            if (!str_starts_nocase(str_drop(s, at), words[i]) || !ends_word(s, end))
                continue;
            while (start > 0 && !begins_word(s.p[start - 1]))
                start--;
            ret->name = own_text(str_of(s.p + start, end - start), a);
            ret->version = ret->name.n > 0 ? version_at(str_drop(s, end + 1), a) : STR("");
            return ret->name.n > 0;
        }
    return false;
}

/* "Chromium";v="124", "Google Chrome";v="124.0.1.2", "Not-A.Brand";v="99": the brand that is neither made up nor the engine. */
static void read_brands(struct str list, struct arena *a, struct user_agent_part *ret)
{
    static const struct {
        struct str brand, name;
    } names[] = {{STR("Google Chrome"), STR("Chrome")},
                 {STR("Microsoft Edge"), STR("Edge")},
                 {STR("Android WebView"), STR("Chrome WebView")}};
    struct user_agent_part engine = {0};
    for (struct str rest = str_take(list, HEADER_MAX); rest.p;) {
        struct str version = str_cut(&rest, ',');
        struct str name = unquoted(str_cut(&version, ';'));
        version = str_trim(version);
        if (name.n == 0 || has(name, STR("\"")) || str_starts_nocase(name, STR("Not")) || has(name, STR("Brand")) ||
            !str_starts(version, STR("v=")))
            continue;
        version = version_at(unquoted(str_drop(version, 2)), a);
        if (str_eq(name, STR("Chromium"))) {
            engine = (struct user_agent_part){.name = STR("Chromium"), .version = version};
            continue;
        }
        name = own_text(name, a);
        if (name.n == 0)
            continue;
        *ret = (struct user_agent_part){.name = name, .version = version};
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (str_eq(names[i].brand, name))
                ret->name = names[i].name;
        return;
    }
    *ret = engine;
}

/* ---- systems */

static void read_windows(struct str s, struct arena *a, struct user_agent_part *ret)
{
    struct str nt = version_after(s, STR("Windows NT "), a);
    ret->name = STR("Windows");
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        if (str_eq(windows[i].nt, nt))
            ret->version = windows[i].version;
}

/* "CPU iPhone OS 17_2 like Mac OS X", "CPU OS 17_2 like Mac OS X" */
static void read_ios(struct str s, struct arena *a, struct user_agent_part *ret)
{
    enum { FIRST_IPADOS = 13 };
    ret->version = version_after(s, STR(" OS "), a);
    ret->name = has(s, STR("iPad")) && major(ret->version) >= FIRST_IPADOS ? STR("iPadOS") : STR("iOS");
}

static void read_system(struct str s, struct arena *a, struct user_agent_part *ret)
{
    if (has(s, STR("Windows Phone"))) {
        ret->name = STR("Windows Phone");
        ret->version = version_after(s, STR("Windows Phone "), a);
    } else if (has(s, STR("Windows"))) {
        read_windows(s, a, ret);
    } else if (has(s, STR("iPhone")) || has(s, STR("iPad")) || has(s, STR("iPod"))) {
        read_ios(s, a, ret);
    } else if (has(s, STR("Android"))) {
        ret->name = STR("Android");
        ret->version = version_after(s, STR("Android "), a);
    } else if (has(s, STR("CrOS "))) {
        struct str rest = str_drop(s, find(s, STR("CrOS ")) + 5); /* the architecture, then the version */
        ret->name = STR("ChromeOS");
        ret->version = version_at(str_drop(rest, str_find(rest, ' ') + 1), a);
    } else if (has(s, STR("Macintosh")) || has(s, STR("Mac OS X"))) {
        ret->name = STR("macOS");
        ret->version = version_after(s, STR("Mac OS X "), a);
    } else if (has(s, STR("Linux")) || has(s, STR("linux")) || has(s, STR("X11"))) {
        ret->name = has(s, STR("FreeBSD")) ? STR("FreeBSD") : has(s, STR("OpenBSD")) ? STR("OpenBSD") : STR("Linux");
    }
}

/* Sec-CH-UA-Platform. Windows 11 is what reports 13 or more; no system but macOS and Android has a version that says something. */
static void read_platform(const struct user_agent_hints *hints, struct arena *a, struct user_agent_part *ret)
{
    enum { WINDOWS_11 = 13 };
    static const struct {
        struct str platform, name;
    } names[] = {{STR("Windows"), STR("Windows")},     {STR("macOS"), STR("macOS")}, {STR("Android"), STR("Android")},
                 {STR("Linux"), STR("Linux")},         {STR("iOS"), STR("iOS")},     {STR("Chrome OS"), STR("ChromeOS")},
                 {STR("Chromium OS"), STR("ChromeOS")}};
    struct str platform = unquoted(hints->platform), version = version_at(unquoted(hints->platform_version), a);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq(names[i].platform, platform))
            continue;
        if (!str_eq(ret->name, names[i].name))
            *ret = (struct user_agent_part){.name = names[i].name};
        if (version.n == 0)
            return;
        if (i == 0)
            version = major(version) >= WINDOWS_11 ? STR("11") : major(version) > 0 ? STR("10") : ret->version;
        ret->version = version;
    }
}

/* ---- devices */

/* "(Linux; Android 13; SM-S918B Build/TP1A)": what stands behind the version; older ones have a language before it. */
static struct str android_model(struct str s)
{
    struct str rest = str_drop(s, find(s, STR("Android")));
    size_t end = str_find(rest, ')');
    if (str_find(str_take(rest, end), '(') < end) /* the model has brackets of its own */
        end += 1 + str_find(str_drop(rest, end + 1), ')');
    rest = str_take(rest, end);
    (void)str_cut(&rest, ';');
    while (rest.p) {
        struct str part = str_trim(str_cut(&rest, ';'));
        part = str_trim(str_take(part, find(part, STR("Build/"))));
        bool language = (part.n == 2 || (part.n == 5 && (part.p[2] == '-' || part.p[2] == '_'))) && part.p[0] >= 'a' && part.p[0] <= 'z';
        if (part.n > 0 && !language && !str_eq(part, STR("wv")) && !str_eq(part, STR("U")) && !str_starts(part, STR("rv:")) &&
            str_find(part, '/') == part.n)
            return part;
    }
    return STR("");
}

static void read_android(struct str s, struct str model, struct arena *a, struct user_agent *ua)
{
    if (model.n == 0)
        model = android_model(s);
    if (str_starts(model, STR("SAMSUNG ")))
        model = str_drop(model, 8);
    ua->device_family = STR("Android");
    if (str_eq(model, STR("K")) || str_eq(model, STR("Mobile")) || str_eq(model, STR("Tablet")))
        return; /* Chromium's and Firefox's words for "some device" */
    model = own_text(model, a);
    if (model.n == 0)
        return;
    ua->device_family = ua->device_model = model;
    for (size_t i = 0; i < ARRAY_LEN(brands); i++)
        if (str_starts(model, brands[i].prefix)) {
            ua->device_brand = brands[i].brand;
            return;
        }
}

static void read_device(struct str s, const struct user_agent_hints *hints, struct arena *a, struct user_agent *ua)
{
    static const struct {
        struct str token, family;
    } apple[] = {{STR("iPad"), STR("iPad")}, {STR("iPod"), STR("iPod")}, {STR("iPhone"), STR("iPhone")}, {STR("Macintosh"), STR("Mac")}};
    if (str_eq(ua->os.name, STR("Android"))) {
        read_android(s, unquoted(hints->model), a, ua);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(apple); i++)
        if (has(s, apple[i].token) && !has(s, STR("Windows"))) {
            ua->device_family = ua->device_model = apple[i].family;
            ua->device_brand = STR("Apple");
            return;
        }
}

/* ---- all */

void user_agent_read(struct str header, const struct user_agent_hints *hints, struct arena *a, struct user_agent *ret)
{
    struct user_agent ua = {0};
    struct str s = str_take(header, HEADER_MAX);
    if (find_program(s, bots, ARRAY_LEN(bots), a, &ua.browser) || is_some_bot(s, a, &ua.browser)) {
        ua.device_family = STR("Spider");
        *ret = ua;
        return;
    }
    read_brands(hints->brands, a, &ua.browser);
    if (ua.browser.name.n == 0 && !find_client(s, a, &ua.browser))
        (void)find_program(s, browsers, ARRAY_LEN(browsers), a, &ua.browser); /* unknown: stays empty */
    read_system(s, a, &ua.os);
    read_platform(hints, a, &ua.os);
    read_device(s, hints, a, &ua);
    *ret = ua;
}
