"""The form of an entry, to see at once that it is well spelled.

To parse an entry and write it again shows that it is in its one spelling, and costs more than all rules about it.
Where the members of a body are known, so is the spelling: a pattern over the bytes, the envelope's and the body's
members in their order, each with the values it may have. What matches is canonical JSON in the envelope, without being
parsed. What does not match is not refused: it is read the long way, which says what is wrong, or that nothing is.

Pure. Source: DESIGN section 4 (envelope); `encoding.canonical_json` (the one spelling).
"""

import re
from collections.abc import Mapping
from sys import intern

from tallystick_ledger import books
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES

TEXT = rb'"[ !#-\[\]-~]*"'
"""Printable ASCII that JSON writes as it is."""

INTEGER = rb"(?:0|[1-9][0-9]{0,14})"
"""From 0 on, and well below 2^53."""

Form = re.Pattern[bytes]

Spelled = tuple[bytes, str, str, int, int, int]
"""A well spelled entry: its bytes, kind, id, time (seconds since 1970-01-01 UTC), where its body begins, and ends.
Whether the body's values are in their bounds is not known yet."""

_KIND = b'","kind":"'
_END = b'","v":1}'


def object_form(members: Mapping[str, bytes], *, optional: frozenset[str] = frozenset()) -> bytes:
    """Return the pattern of an object of just these members.

    Args:
        members: the pattern of each member's value, by its name.
        optional: names of those that may be left out.
    """
    names = sorted(members)
    if optional >= members.keys():  # one after the other may be the first that is there
        rest = [
            object_form({each: members[each] for each in names[at:]}, optional=frozenset(names[at + 1 :]))
            for at in range(len(names))
        ]
        return rb"(?:\{\}|%s)" % b"|".join(rest)
    first = next(name for name in names if name not in optional)
    parts: list[bytes] = []
    for name in names:
        spelled = rb'"%s":%s' % (re.escape(name.encode()), members[name])
        if name == first:
            parts.append(spelled)
        elif name < first:
            parts.append(rb"(?:%s,)?" % spelled)
        else:
            parts.append(rb"(?:,%s)%s" % (spelled, b"?" if name in optional else b""))
    return rb"\{%s\}" % b"".join(parts)


def entry_form(kind: str, body: bytes) -> Form:
    """Return the pattern of a whole entry of a kind whose body has the pattern `body`."""
    return re.compile(
        rb'\{"at":(?P<at>%s),"blind":"[A-Za-z0-9_-]{21}[AQgw]","body":(?P<body>%s),"id":"(?P<id>[a-z]{3}_[a-z2-7]{26})%s%s%s'
        % (INTEGER, body, re.escape(_KIND), re.escape(kind.encode()), re.escape(_END))
    )


def spelled(raw: bytes, forms: Mapping[bytes, Form]) -> Spelled | None:
    """Return what a well spelled entry of a kind in `forms` says; None for any other bytes."""
    kind = raw[raw.rfind(_KIND) + len(_KIND) : -len(_END)]
    form = forms.get(kind)
    if form is None or len(raw) > ENTRY_SIZE_MAX_BYTES:
        return None
    found = form.fullmatch(raw)
    if found is None:
        return None
    begin, end = found.span("body")
    return raw, intern(kind.decode()), found["id"].decode(), int(found["at"]), begin, end


def _text_form(pattern: str) -> bytes:
    return rb'"(?:%s)"' % pattern.encode()


TRANSFER_FORM = entry_form(
    "transfer",
    object_form(
        {
            "transfer": _text_form(books.ID),
            "state": _text_form("|".join(books.TransferState)),
            "debit": _text_form(books.ACCOUNT),
            "credit": _text_form(books.ACCOUNT),
            "asset": _text_form(books.ASSET),
            "amount": INTEGER,
            "terms": _text_form(books.DIGEST),
            "cause": TEXT,
            "unique": _text_form(f"(?:{books.DIGEST})?"),
            "counterparty": TEXT,
            "reverses": _text_form(books.ID),
        },
        optional=frozenset({"reverses"}),
    ),
)
"""What a `transfer` entry looks like, each text in its bounds; `books.spelled_transfer` says whether it makes sense."""
