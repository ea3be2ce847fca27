"""A recorded conversation with PostgreSQL, taken apart into its messages (PostgreSQL's manual, "Message Formats"): the places where a connection
can break, statement by statement."""
import collections
import struct

from proxy import DOWN, UP

Message = collections.namedtuple("Message", "kind, body, end")  # `end`: offset behind it
# `moment`: "sent" (the server has the message), "answered in part" (the server did it and begins to say so, or says so of one of a script's
# statements), "answered".
Place = collections.namedtuple("Place", "direction, offset, statement, moment")
SENT = b"QPBDES"  # Query, Parse, Bind, Describe, Execute, Sync
COMPLETE, READY = b"C", b"Z"


def messages(record, at=0):
    """The messages from offset `at` on."""
    while at < len(record):
        kind, length = struct.unpack_from("!cI", record, at)
        end = at + 1 + length
        assert length >= 4 and end <= len(record), f"no message at byte {at} of {len(record)}"
        yield Message(kind, bytes(record[at + 5:end]), end)
        at = end


def text_of(message):
    """The SQL of a Query or Parse."""
    return message.body.split(b"\0")[0 if message.kind == b"Q" else 1].decode()


def places(link):
    """Every place at which a statement's way there or back can end, in order. What comes before the first statement (the session's start) has none,
    nor has the end of the last answer."""
    startup, = struct.unpack_from("!I", link.record[UP])  # alone without a kind
    sent = [m for m in messages(link.record[UP], startup) if m.kind in SENT]
    answers = list(messages(link.record[DOWN]))
    ready = [m.end for m in answers if m.kind == READY]
    found, statement, n = [], "", 0
    for message in sent:
        if message.kind in b"QP":
            statement = text_of(message)
        found.append(Place(UP, message.end, statement, "sent"))
        if message.kind in b"QS":  # the server answers now, and says at the end that it is ready
            begin, end = ready[n], ready[n + 1]
            ends = [begin + 1, *(m.end for m in answers if m.kind == COMPLETE and begin < m.end < end)]
            found += [Place(DOWN, offset, statement, "answered in part") for offset in ends] + [Place(DOWN, end, statement, "answered")]
            n += 1
    assert n > 0 and len(ready) == n + 1, f"{n} statements, {len(ready)} times ready"
    return found[:-1]
