"""Versions of a receipt: each follows one, names it by its digest, and differs from it in ways that can be read.

Pure. Permitting less is the subject's to do, at once and alone; permitting more is asked for by the recipient, and
needs the subject. Which of the two a new version does is decided here, for nodes and auditors alike.

Source: API section 6 (`version`, `previous`), DESIGN section 4; CDR standards-maintenance 333 (say what left).
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.fields import RUNG_HEIGHT, Rung
from tallystick_consent.receipts.receipt import Limits, Terms, in_order, parse_terms
from tallystick_consent.receipts.resources import Resource
from tallystick_consent.receipts.retention import Retention, keeps_more
from tallystick_ledger.times import DAY_S


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
    resources: frozenset[Resource] | None = None
    retention: tuple[Retention, ...] = ()


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
        resources=None if terms.resources is None else frozenset(terms.resources),
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
        or (before.resources is not None and (after.resources is None or not after.resources <= before.resources))
        or any(_is_looser(*pair) for pair in _limits(before.limits, after.limits))
    )


_MAY_NARROW = (
    *("version", "previous", "purposes", "data_classes", "resources", "rung", "events_from_s", "events_until_s"),
    *("valid_until_s", "retention_s", "retention", "limits"),
)
"""Members of terms in which a version may permit less than the one before; in all others both are alike."""


def narrows(before: Terms, after: Terms) -> bool:
    """Return whether a version is one that nobody has to be asked for: it permits nothing more, and of what it is no
    permit of, on whose word it stands or what was shown for it, it says nothing else."""
    alike = before.model_copy(update={name: getattr(after, name) for name in _MAY_NARROW})
    lasts_alike = before.limits.duration == after.limits.duration
    return alike == after and lasts_alike and not widens(extent_of(before), extent_of(after))


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


def picked(terms: Terms, resources: Iterable[Resource]) -> Terms:
    """Return terms that were asked for, about these resources alone: which they are is the subject's to pick.

    Raises:
        ReceiptRejected: none is picked, or another than was asked about.
    """
    after = parse_terms(terms.document() | {"resources": [each.model_dump() for each in in_order(resources)]})
    if not answers(asked=terms, given=after):
        raise ReceiptRejected(
            "version_widens", "A resource was picked that was not asked about.", remedy="Pick from those that were."
        )
    return after


def answers(*, asked: Terms, given: Terms) -> bool:
    """Return whether what was given is what was asked for: word for word, or about fewer resources."""
    same = given.model_copy(update={"resources": asked.resources})
    return same == asked and not widens(extent_of(asked), extent_of(given))


def narrowed(
    terms: Terms,
    *,
    without_classes: frozenset[str] = frozenset(),
    without_resources: frozenset[str] = frozenset(),
    resources: Iterable[Resource] | None = None,
    rung: Rung | None = None,
    events_until_s: int | None = None,
) -> Terms:
    """Return the next version of terms, which permits less.

    Args:
        terms: those in force.
        without_classes: data classes to take out.
        without_resources: ids of resources to take out, of terms that name theirs.
        resources: what alone it is about from now on; as before where it is None.
        rung: the most revealing answer from now on; as before where it is None.
        events_until_s: the end of the range of event times, exclusive; as before where it is None.

    Raises:
        ReceiptRejected: nothing would be left, or nothing less, or more would be permitted.
    """
    document = terms.document() | {"version": terms.version + 1, "previous": terms.digest()}
    document["data_classes"] = [each for each in terms.data_classes if each not in without_classes]
    if without_resources and terms.resources is None:
        raise ReceiptRejected(
            "resources_unnamed",
            "The receipt is about all there is, so nothing can be taken out of it by name.",
            remedy="Name the resources that stay.",
        )
    left = terms.resources if resources is None else in_order(resources)
    if left is not None:
        document["resources"] = [each.model_dump() for each in left if each.id not in without_resources]
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
    yield from _resource_differences(before.resources, after.resources)
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


def _resource_differences(was: frozenset[Resource] | None, now: frozenset[Resource] | None) -> Iterator[str]:
    if was == now:
        return
    if now is None:
        yield "New: all there is, and no longer single resources alone."
    elif was is None:
        yield f"Only: {', '.join(f'{each.kind} {each.id}' for each in in_order(now))}."
    else:
        yield from (f"No longer: {each.kind} {each.id}." for each in in_order(was - now))
        yield from (f"New: {each.kind} {each.id}." for each in in_order(now - was))


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
