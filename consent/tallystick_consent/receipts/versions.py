"""Versions of a receipt: each follows one, names it by its digest, and differs from it in ways that can be read.

Pure. Permitting less is the subject's to do, at once and alone; permitting more is asked for by the recipient, and
needs the subject. Which of the two a new version does is decided here, for nodes and auditors alike.

Source: API section 6 (`version`, `previous`), DESIGN section 4; CDR standards-maintenance 333 (say what left).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.receipt import DAY_S, RUNG_HEIGHT, Limits, Rung, Terms, parse_terms
from tallystick_consent.receipts.retention import Retention, keeps_more


class Extent(NamedTuple):
    """What a version permits, side by side; terms and ledger entries both have it."""

    program: tuple[str, int]
    purposes: frozenset[str]
    data_classes: frozenset[str]
    rung: str
    events_from_s: int
    events_until_s: int
    valid_until_s: int
    retention_s: int
    limits: Limits
    retention: tuple[Retention, ...]


def extent_of(terms: Terms) -> Extent:
    """Return what terms permit."""
    return Extent(
        program=(terms.program, terms.program_version),
        purposes=frozenset(terms.purposes),
        data_classes=frozenset(terms.data_classes),
        rung=terms.rung,
        events_from_s=terms.events_from_s,
        events_until_s=terms.events_until_s,
        valid_until_s=terms.valid_until_s,
        retention_s=terms.retention_s,
        limits=terms.limits,
        retention=terms.retention,
    )


def widens(before: Extent, after: Extent) -> bool:
    """Return whether a version permits anything that the one before did not."""
    return (
        before.program != after.program
        or not after.purposes <= before.purposes
        or not after.data_classes <= before.data_classes
        or RUNG_HEIGHT[after.rung] > RUNG_HEIGHT[before.rung]
        or after.events_from_s < before.events_from_s
        or after.events_until_s > before.events_until_s
        or after.valid_until_s > before.valid_until_s
        or after.retention_s > before.retention_s
        or keeps_more(before.retention, after.retention)
        or any(_is_looser(*pair) for pair in _limits(before.limits, after.limits))
    )


def check_follows(before: Terms, after: Terms) -> None:
    """Return quietly if `after` is the next version of `before`, whatever it permits.

    Raises:
        ReceiptRejected: it is not: another receipt's, not the next number, or it follows other terms.
    """
    same = ("receipt", "issuer", "recipient", "link", "program")
    is_next = after.version == before.version + 1 and after.previous == before.digest()
    if not is_next or any(getattr(before, name) != getattr(after, name) for name in same):
        raise ReceiptRejected(
            "version_forked",
            "A version of a receipt does not follow the one that is in force.",
            remedy="Read the receipt again, and make the next version of what it is now.",
        )


def narrowed(
    terms: Terms,
    *,
    without_classes: frozenset[str] = frozenset(),
    rung: Rung | None = None,
    events_until_s: int | None = None,
) -> Terms:
    """Return the next version of terms, which permits less.

    Args:
        terms: those in force.
        without_classes: data classes to take out.
        rung: the most revealing answer from now on; as before where it is None.
        events_until_s: the end of the range of event times, exclusive; as before where it is None.

    Raises:
        ReceiptRejected: nothing would be left, or nothing less, or more would be permitted.
    """
    document = terms.document() | {"version": terms.version + 1, "previous": terms.digest()}
    document["data_classes"] = [each for each in terms.data_classes if each not in without_classes]
    if rung is not None:
        document["rung"] = rung
    if events_until_s is not None:
        document["events_until_s"] = events_until_s
        document["valid_until_s"] = terms.valid_until_s - (terms.events_until_s - events_until_s)
    after = parse_terms(document)
    if widens(extent_of(terms), extent_of(after)) or extent_of(terms) == extent_of(after):
        raise ReceiptRejected(
            "version_widens",
            "What was asked for does not permit less than before.",
            remedy="Name what is to be taken out; more is for the recipient to ask for.",
        )
    return after


def difference(before: Terms, after: Terms) -> tuple[str, ...]:
    """Return what changes from one version to the next, a plain sentence each; nothing where nothing does."""
    return tuple(_differences(extent_of(before), extent_of(after)))


def _differences(before: Extent, after: Extent) -> Iterator[str]:
    if before.program != after.program:
        yield f"It is for {_named(after.program)} instead of {_named(before.program)}."
    for what, was, now in (
        ("purpose", before.purposes, after.purposes),
        ("data class", before.data_classes, after.data_classes),
    ):
        yield from (f"No longer: {what} {each}." for each in sorted(was - now))
        yield from (f"New: {what} {each}." for each in sorted(now - was))
    if before.rung != after.rung:
        more = "more" if RUNG_HEIGHT[after.rung] > RUNG_HEIGHT[before.rung] else "less"
        yield f"Answers may reveal {more}: a {after.rung} at most, until now a {before.rung}."
    for what, was_s, now_s in (
        ("Events count from", before.events_from_s, after.events_from_s),
        ("Events count until", before.events_until_s, after.events_until_s),
        ("Answers are given until", before.valid_until_s, after.valid_until_s),
    ):
        if was_s != now_s:
            yield f"{what} {_day(now_s)}, until now {_day(was_s)}."
    if before.retention_s != after.retention_s:
        yield f"Answers are kept {after.retention_s // DAY_S} days, until now {before.retention_s // DAY_S}."
    if before.retention != after.retention:
        for each in after.retention:
            if each.field != "answers" and each not in before.retention:
                yield f"Kept for {each.until_days} days after the end ({each.ground}): {each.field}."
        for field in sorted({each.field for each in before.retention} - {each.field for each in after.retention}):
            yield f"No longer said until when it is kept: {field}."
    for name, words in _LIMIT_WORDS.items():
        was_limited, is_limited = getattr(before.limits, name), getattr(after.limits, name)
        if was_limited != is_limited:
            yield f"{words}: {is_limited or 'no limit'}, until now {was_limited or 'no limit'}."


_LIMIT_WORDS = {
    "duration": "Duration",
    "reconfirm_days": "Days until you are asked again",
    "uses_max": "Answers in all",
    "staleness_days": "Days that an event may be old",
}


def _limits(before: Limits, after: Limits) -> list[tuple[int | None, int | None]]:
    names = ("reconfirm_days", "uses_max", "staleness_days")
    return [(getattr(before, name), getattr(after, name)) for name in names]


def _is_looser(before: int | None, after: int | None) -> bool:
    return before is not None and (after is None or after > before)


def _named(program: tuple[str, int]) -> str:
    return f"{program[0]}@{program[1]}"


def _day(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
