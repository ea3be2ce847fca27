/* scrub_places.c: what is looked for where in an event (protocol §5.15, with the structure of §5.1 and §5.7–5.12).
 *
 * A place is a part of an event in which the same is looked for. What a table of turns names is part of the protocol's own structure; every
 * other key is a name that somebody chose and may mean a secret.
 *
 * The protocol exempts debug_meta, the paths of frames and the User-Agent from everything, and the message and the value of an exception from
 * losing all of their text for a part of it. What is exempt here beyond that, and from what:
 *
 *   Names do not count, patterns do (PLACE_LABEL): fingerprint, checksum, culprit, logger, server_name, site, the type of an exception, names of
 *   threads, categories of breadcrumbs, the id of a user. People and programs write these, so a card number, a key, a credential may stand in
 *   them, and with drop_ip an address; but "auth" or "token=x" is a word there, by which events are told apart, and takes nothing along. What
 *   stands behind "Bearer" has to look like a token. An event without such a secret keeps its group. The id of a user may be any number
 *   (PLACE_USER_ID): of random ones of sixteen digits one in sixty is a valid card number, and those users would be one.
 *   Contexts whose members the protocol knows (PLACE_KNOWN), likewise; names that it does not know count, and numbers do not, because sizes of
 *   memory and disks may be any number. Versions are no addresses (PLACE_VERSION): 1.2.3.4 is both.
 *   transaction_info as the transaction that it explains: pairs count, so that a token in the original URL goes (PLACE_TRANSACTION).
 *   Nothing counts (PLACE_QUIET) in what has a form that no secret has: ids, times, addresses in memory, registers, hashes, flags, words of a
 *   fixed list (platform, level, types of breadcrumbs, states of threads); in names of code (function, module, package, symbol) and modules, which
 *   are the same in every event; and in release, dist and environment, which have to equal what sessions and check-ins say (names.h).
 *   Nothing counts either in what makes an event what it is (PLACE_IDENTITY), and not even a project's own names take that out. */
#include "scrub_places.h"

static const struct scrub_turn event_turns[] = {{STR("event_id"), PLACE_IDENTITY},
                                                {STR("type"), PLACE_IDENTITY},
                                                {STR("timestamp"), PLACE_IDENTITY},
                                                {STR("start_timestamp"), PLACE_QUIET},
                                                {STR("received"), PLACE_QUIET},
                                                {STR("platform"), PLACE_IDENTITY},
                                                {STR("level"), PLACE_IDENTITY},
                                                {STR("logger"), PLACE_LABEL},
                                                {STR("release"), PLACE_QUIET},
                                                {STR("dist"), PLACE_QUIET},
                                                {STR("environment"), PLACE_QUIET},
                                                {STR("server_name"), PLACE_LABEL},
                                                {STR("site"), PLACE_LABEL},
                                                {STR("modules"), PLACE_QUIET},
                                                {STR("fingerprint"), PLACE_LABEL},
                                                {STR("culprit"), PLACE_LABEL},
                                                {STR("checksum"), PLACE_LABEL},
                                                {STR("debug_meta"), PLACE_QUIET},
                                                {STR("measurements"), PLACE_QUIET},
                                                {STR("transaction_info"), PLACE_TRANSACTION},
                                                {STR("transaction"), PLACE_VALUE},
                                                {STR("sdk"), PLACE_SDK},
                                                {STR("_meta"), PLACE_META},
                                                {STR("message"), PLACE_LOGENTRY},
                                                {STR("logentry"), PLACE_LOGENTRY},
                                                {STR("exception"), PLACE_EXCEPTION},
                                                {STR("stacktrace"), PLACE_STACK},
                                                {STR("threads"), PLACE_THREAD},
                                                {STR("breadcrumbs"), PLACE_CRUMB},
                                                {STR("request"), PLACE_REQUEST},
                                                {STR("user"), PLACE_USER},
                                                {STR("contexts"), PLACE_CONTEXTS},
                                                {STR("template"), PLACE_FRAME},
                                                {STR("sentry.interfaces.Message"), PLACE_LOGENTRY},
                                                {STR("sentry.interfaces.Exception"), PLACE_EXCEPTION},
                                                {STR("sentry.interfaces.Stacktrace"), PLACE_STACK},
                                                {STR("sentry.interfaces.Http"), PLACE_REQUEST},
                                                {STR("sentry.interfaces.User"), PLACE_USER},
                                                {STR("sentry.interfaces.Breadcrumbs"), PLACE_CRUMB},
                                                {STR("sentry.interfaces.Contexts"), PLACE_CONTEXTS},
                                                {STR("sentry.interfaces.Template"), PLACE_FRAME}};
static const struct scrub_turn logentry_turns[] = {{STR("message"), PLACE_PROSE},
                                                   {STR("formatted"), PLACE_PROSE},
                                                   {STR("params"), PLACE_PARAMS}};
static const struct scrub_turn exception_turns[] = {{STR("values"), PLACE_EXCEPTION}, {STR("type"), PLACE_LABEL},
                                                    {STR("value"), PLACE_VALUE},      {STR("module"), PLACE_QUIET},
                                                    {STR("stacktrace"), PLACE_STACK}, {STR("raw_stacktrace"), PLACE_STACK},
                                                    {STR("thread_id"), PLACE_QUIET}};
static const struct scrub_turn stack_turns[] = {{STR("frames"), PLACE_FRAME},
                                                {STR("registers"), PLACE_QUIET},
                                                {STR("lang"), PLACE_QUIET},
                                                {STR("instruction_addr_adjustment"), PLACE_QUIET},
                                                {STR("snapshot"), PLACE_QUIET}};
static const struct scrub_turn frame_turns[] = {{STR("filename"), PLACE_QUIET},
                                                {STR("function"), PLACE_QUIET},
                                                {STR("module"), PLACE_QUIET},
                                                {STR("lineno"), PLACE_QUIET},
                                                {STR("colno"), PLACE_QUIET},
                                                {STR("abs_path"), PLACE_QUIET},
                                                {STR("in_app"), PLACE_QUIET},
                                                {STR("vars"), PLACE_DATA},
                                                {STR("context_line"), PLACE_CODE},
                                                {STR("pre_context"), PLACE_CODE},
                                                {STR("post_context"), PLACE_CODE},
                                                {STR("raw_function"), PLACE_QUIET},
                                                {STR("symbol"), PLACE_QUIET},
                                                {STR("package"), PLACE_QUIET},
                                                {STR("platform"), PLACE_QUIET},
                                                {STR("image_addr"), PLACE_QUIET},
                                                {STR("instruction_addr"), PLACE_QUIET},
                                                {STR("addr_mode"), PLACE_QUIET},
                                                {STR("function_id"), PLACE_QUIET},
                                                {STR("symbol_addr"), PLACE_QUIET},
                                                {STR("trust"), PLACE_QUIET},
                                                {STR("lang"), PLACE_QUIET},
                                                {STR("stack_start"), PLACE_QUIET},
                                                {STR("lock"), PLACE_QUIET}};
static const struct scrub_turn thread_turns[] = {{STR("values"), PLACE_THREAD},    {STR("id"), PLACE_QUIET},
                                                 {STR("name"), PLACE_LABEL},       {STR("crashed"), PLACE_QUIET},
                                                 {STR("current"), PLACE_QUIET},    {STR("main"), PLACE_QUIET},
                                                 {STR("state"), PLACE_QUIET},      {STR("held_locks"), PLACE_QUIET},
                                                 {STR("stacktrace"), PLACE_STACK}, {STR("raw_stacktrace"), PLACE_STACK}};
static const struct scrub_turn crumb_turns[] = {{STR("values"), PLACE_CRUMB}, {STR("timestamp"), PLACE_QUIET},
                                                {STR("type"), PLACE_QUIET},   {STR("category"), PLACE_LABEL},
                                                {STR("level"), PLACE_QUIET},  {STR("event_id"), PLACE_QUIET},
                                                {STR("origin"), PLACE_QUIET}, {STR("message"), PLACE_DATA},
                                                {STR("data"), PLACE_DATA}};
static const struct scrub_turn request_turns[] = {{STR("method"), PLACE_QUIET},
                                                  {STR("url"), PLACE_DATA},
                                                  {STR("headers"), PLACE_HEADERS},
                                                  {STR("cookies"), PLACE_COOKIES},
                                                  {STR("env"), PLACE_ENV}};
static const struct scrub_turn response_turns[] = {{STR("headers"), PLACE_HEADERS},
                                                   {STR("cookies"), PLACE_COOKIES},
                                                   {STR("type"), PLACE_QUIET}};
static const struct scrub_turn headers_turns[] = {{STR("user-agent"), PLACE_QUIET}};
static const struct scrub_turn env_turns[] = {{STR("REMOTE_ADDR"), PLACE_ADDRESS}};
static const struct scrub_turn user_turns[] = {{STR("id"), PLACE_USER_ID}, {STR("ip_address"), PLACE_ADDRESS}};
static const struct scrub_turn contexts_turns[] = {{STR("trace"), PLACE_TRACE},       {STR("device"), PLACE_KNOWN},
                                                   {STR("os"), PLACE_KNOWN},          {STR("runtime"), PLACE_KNOWN},
                                                   {STR("app"), PLACE_KNOWN},         {STR("browser"), PLACE_KNOWN},
                                                   {STR("gpu"), PLACE_KNOWN},         {STR("culture"), PLACE_KNOWN},
                                                   {STR("replay"), PLACE_KNOWN},      {STR("profile"), PLACE_KNOWN},
                                                   {STR("response"), PLACE_RESPONSE}, {STR("feedback"), PLACE_FEEDBACK}};
static const struct scrub_turn feedback_turns[] = {{STR("message"), PLACE_PROSE},
                                                   {STR("associated_event_id"), PLACE_QUIET},
                                                   {STR("replay_id"), PLACE_QUIET}};
static const struct scrub_turn known_turns[] = {{STR("version"), PLACE_VERSION},        {STR("build"), PLACE_VERSION},
                                                {STR("app_version"), PLACE_VERSION},    {STR("app_build"), PLACE_VERSION},
                                                {STR("kernel_version"), PLACE_VERSION}, {STR("raw_description"), PLACE_VERSION}};
static const struct scrub_turn trace_turns[] = {{STR("trace_id"), PLACE_QUIET},
                                                {STR("span_id"), PLACE_QUIET},
                                                {STR("parent_span_id"), PLACE_QUIET},
                                                {STR("data"), PLACE_DATA}};
static const struct scrub_turn sdk_turns[] = {{STR("client_ip"), PLACE_ADDRESS}};
static const struct scrub_turn meta_turns[] = {{STR("val"), PLACE_DATA}};
static const struct scrub_turn meta_secret_turns[] = {{STR("val"), PLACE_GONE}};

enum { LOOK_TEXT = LOOK_PATTERNS | LOOK_PAIRS, LOOK_NAME = LOOK_PATTERNS | LOOK_LABEL };

#define TURNS(t) .turns = (t), .n_turns = ARRAY_LEN(t)
const struct scrub_place_rules scrub_places[] = {
    [PLACE_EVENT] = {.rest = PLACE_DATA, .names = WHERE_KEY, TURNS(event_turns)},
    [PLACE_DATA] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_LOOSE | LOOK_IPS, .names = WHERE_KEY},
    [PLACE_QUIET] = {.rest = PLACE_QUIET},
    [PLACE_PROSE] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_PROSE | LOOK_IPS, .names = WHERE_KEY},
    [PLACE_VALUE] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_IPS, .names = WHERE_KEY},
    [PLACE_CODE] = {.rest = PLACE_CODE, .looks = LOOK_TEXT | LOOK_LITERALS},
    [PLACE_IDENTITY] = {.rest = PLACE_QUIET, .stays = true},
    [PLACE_LABEL] = {.rest = PLACE_LABEL, .looks = LOOK_NAME | LOOK_IPS},
    [PLACE_USER_ID] = {.rest = PLACE_LABEL, .looks = LOOK_NAME | LOOK_IPS, .texts_only = true, .spares_digits = true},
    [PLACE_TRANSACTION] = {.rest = PLACE_TRANSACTION, .looks = LOOK_TEXT | LOOK_IPS},
    [PLACE_KNOWN] = {.rest = PLACE_KNOWN, .looks = LOOK_NAME | LOOK_IPS, .names = WHERE_KEY, .texts_only = true, TURNS(known_turns)},
    [PLACE_VERSION] = {.rest = PLACE_KNOWN, .looks = LOOK_NAME, .names = WHERE_KEY, .texts_only = true},
    [PLACE_LOGENTRY] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_PROSE | LOOK_IPS, .names = WHERE_KEY, TURNS(logentry_turns)},
    [PLACE_PARAMS] = {.rest = PLACE_DATA}, /* nothing stays there: scrub.c */
    [PLACE_SECRET] = {.rest = PLACE_SECRET},
    [PLACE_EXCEPTION] = {.rest = PLACE_DATA, .looks = LOOK_PATTERNS, .names = WHERE_KEY, TURNS(exception_turns)},
    [PLACE_STACK] = {.rest = PLACE_DATA, .names = WHERE_KEY, TURNS(stack_turns)},
    [PLACE_FRAME] = {.rest = PLACE_DATA, .names = WHERE_KEY, TURNS(frame_turns)},
    [PLACE_THREAD] = {.rest = PLACE_DATA, .names = WHERE_KEY, TURNS(thread_turns)},
    [PLACE_CRUMB] = {.rest = PLACE_DATA, .looks = LOOK_TEXT, .names = WHERE_KEY, TURNS(crumb_turns)},
    [PLACE_REQUEST] = {.rest = PLACE_DATA, .looks = LOOK_TEXT, .names = WHERE_KEY, TURNS(request_turns)},
    [PLACE_RESPONSE] = {.rest = PLACE_DATA, .looks = LOOK_TEXT, .names = WHERE_KEY, TURNS(response_turns)},
    [PLACE_HEADERS] =
        {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_LOOSE | LOOK_IPS, .names = WHERE_KEY, .any_case = true, TURNS(headers_turns)},
    [PLACE_COOKIES] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_COOKIES | LOOK_IPS, .names = WHERE_COOKIE},
    [PLACE_ENV] = {.rest = PLACE_DATA, .looks = LOOK_TEXT | LOOK_LOOSE, .names = WHERE_KEY, TURNS(env_turns)},
    [PLACE_USER] = {.rest = PLACE_DATA, .looks = LOOK_TEXT, .names = WHERE_KEY, TURNS(user_turns)},
    [PLACE_CONTEXTS] = {.rest = PLACE_DATA, .looks = LOOK_TEXT, .names = WHERE_KEY, TURNS(contexts_turns)},
    [PLACE_FEEDBACK] = {.rest = PLACE_VALUE, .names = WHERE_KEY, TURNS(feedback_turns)},
    [PLACE_TRACE] = {.rest = PLACE_KNOWN, .names = WHERE_KEY, TURNS(trace_turns)},
    [PLACE_SDK] = {.rest = PLACE_QUIET, TURNS(sdk_turns)},
    [PLACE_META] = {.rest = PLACE_META, .names = WHERE_KEY, .stays = true, TURNS(meta_turns)},
    [PLACE_META_SECRET] = {.rest = PLACE_META_SECRET, TURNS(meta_secret_turns)},
    [PLACE_ADDRESS] = {.rest = PLACE_DATA, .names = WHERE_KEY},
    [PLACE_GONE] = {.rest = PLACE_GONE},
};

bool scrub_turn(enum scrub_place from, struct str key, enum scrub_place *ret)
{
    const struct scrub_turn *t = scrub_places[from].turns, *end = t + scrub_places[from].n_turns;
    bool any_case = scrub_places[from].any_case;
    if (key.n == 0)
        return false;
    for (char first = *key.p; t < end; t++) {
        if (t->key.n != key.n || !(any_case ? str_eq_nocase(t->key, key) : *t->key.p == first && memcmp(t->key.p, key.p, key.n) == 0))
            continue;
        *ret = t->to;
        return true;
    }
    return false;
}

bool scrub_must_stay(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(event_turns); i++)
        if (scrub_places[event_turns[i].to].stays && str_eq_nocase(event_turns[i].key, name))
            return true;
    return false;
}
