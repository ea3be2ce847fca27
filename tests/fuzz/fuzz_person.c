/* fuzz_person.c: the first line is whom somebody asks for, the rest a payload. Of a list the first who is found alone is found. */
#include "fuzz.h"

#include "picket/event/person.h"

static int in_event(const struct person *persons, size_t n, struct str payload)
{
    return person_in_event(persons, n, payload, STR("192.0.2.1"));
}

static int in_feedback(const struct person *persons, size_t n, struct str payload)
{
    return person_in_feedback(persons, n, payload, STR("192.0.2.1"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int (*const looks[])(const struct person *, size_t, struct str) = {in_event, person_in_session, in_feedback, person_in_header,
                                                                       person_in_text};
    struct str rest = {(const char *)data, size}, asked = str_cut(&rest, '\n');
    struct person persons[2] = {{PERSON_ID, STR("somebody")}};
    if (!person_read(asked, &persons[1]))
        return 0;
    assert(persons[1].key.n > 0 && str_is_utf8(persons[1].key));
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        bool first = looks[i](persons, 1, rest) == 0, second = looks[i](&persons[1], 1, rest) == 0;
        assert(looks[i](persons, 2, rest) == (first ? 0 : second ? 1 : -1));
        assert(looks[i](persons, 0, rest) == -1);
    }
    return 0;
}
