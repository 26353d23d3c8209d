"""Versions of a receipt: less is the subject's alone, more is asked for; and what changes can be read."""

from collections.abc import Callable

import pytest
from logs import digest
from story import TERMS, Ledger, receipt, tell

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_consent.receipts.versions import check_follows, difference, extent_of, narrowed, widens
from tallystick_consent.replay import ConsentReplay

DAY_S = 86_400


def replayed(ledger: Ledger) -> ConsentReplay:
    replay = ConsentReplay(ledger.host)
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    return replay


def rules(ledger: Ledger) -> list[str]:
    return [finding.rule for finding in replayed(ledger).findings]


WIDE = parse_terms({**TERMS.document(), "data_classes": ["visit", "membership"], "limits": {"uses_max": 5}})


def after(before: Terms = WIDE, **changes: object) -> Terms:
    """Return the next version, changed."""
    return parse_terms({**before.document(), "version": before.version + 1, "previous": before.digest(), **changes})


WIDER: dict[str, dict[str, object]] = {
    "another program version": {"program_version": 2},
    "another purpose": {"purposes": ["dpv:Marketing"]},
    "one more data class": {"data_classes": ["visit", "membership", "steps"]},
    "another data class": {"data_classes": ["steps"]},
    "more revealing answers": {"rung": "band"},
    "earlier events": {"events_from_s": WIDE.events_from_s - 1},
    "later events": {"events_until_s": WIDE.events_until_s + 1},
    "longer validity": {"valid_until_s": WIDE.valid_until_s + 1},
    "longer retention": {"retention_s": WIDE.retention_s + 1},
    "more answers": {"limits": {"uses_max": 6}},
    "no limit any more": {"limits": {}},
}
NARROWER: dict[str, dict[str, object]] = {
    "the same": {},
    "one data class less": {"data_classes": ["visit"]},
    "less revealing answers": {"rung": "token"},
    "later first events": {"events_from_s": WIDE.events_from_s + 1},
    "an earlier end": {"events_until_s": WIDE.events_until_s - 1},
    "shorter validity": {"valid_until_s": WIDE.valid_until_s - 1},
    "shorter retention": {"retention_s": WIDE.retention_s - 1},
    "fewer answers": {"limits": {"uses_max": 4}},
    "one limit more": {"limits": {"uses_max": 5, "reconfirm_days": 90}},
}


@pytest.mark.parametrize("case", WIDER)
def test_what_permits_anything_more_widens(case: str) -> None:
    assert widens(extent_of(WIDE), extent_of(after(**WIDER[case])))


@pytest.mark.parametrize("case", NARROWER)
def test_what_permits_nothing_more_does_not(case: str) -> None:
    assert not widens(extent_of(WIDE), extent_of(after(**NARROWER[case])))


@pytest.mark.parametrize("case", [*WIDER, *list(NARROWER)[1:]])
def test_every_change_can_be_read_and_is_one_sentence(case: str) -> None:
    lines = difference(WIDE, after(**(WIDER | NARROWER)[case]))
    assert lines
    assert all(line.endswith(".") for line in lines)


def test_the_same_terms_in_another_version_differ_in_nothing() -> None:
    assert difference(WIDE, after()) == ()


def test_a_difference_says_what_left_and_what_came() -> None:
    changed = after(data_classes=["visit", "steps"], rung="band", limits={})
    assert difference(WIDE, changed) == (
        "No longer: data class membership.",
        "New: data class steps.",
        "Answers may reveal more: a band at most, until now a predicate.",
        "Answers in all: no limit, until now 5.",
    )


def test_a_subject_takes_out_a_data_class_and_shortens_the_rest() -> None:
    until_s = WIDE.events_until_s - 30 * DAY_S
    less = narrowed(WIDE, without_classes=frozenset({"membership"}), rung="token", events_until_s=until_s)
    assert (less.version, less.previous) == (2, WIDE.digest())
    assert (less.data_classes, less.rung, less.events_until_s) == (("visit",), "token", until_s)
    assert less.valid_until_s == WIDE.valid_until_s - 30 * DAY_S
    check_follows(WIDE, less)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "version_widens"),
        ({"without_classes": frozenset({"steps"})}, "version_widens"),
        ({"rung": "raw"}, "version_widens"),
        ({"events_until_s": WIDE.events_until_s + 1}, "version_widens"),
        ({"without_classes": frozenset({"visit", "membership"})}, "receipt_malformed"),
        ({"events_until_s": WIDE.events_from_s}, "receipt_malformed"),
    ],
)
def test_what_leaves_nothing_or_takes_nothing_away_is_refused(asked: dict[str, object], code: str) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        narrowed(WIDE, **asked)  # type: ignore[arg-type]
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 3},
        {"previous": digest("another version")},
        {"receipt": "rcp_" + "a" * 26},
        {"link": "lnk_" + "a" * 26},
        {"program": "other"},
        {"recipient": "cafe.example"},
        {"issuer": "cafe.example"},
    ],
)
def test_a_version_that_follows_another_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        check_follows(WIDE, after(**changes))
    assert refused.value.code == "version_forked"


def test_the_first_version_follows_nothing() -> None:
    with pytest.raises(ReceiptRejected):
        parse_terms({**TERMS.document(), "previous": digest("before")})


LESS = parse_terms(
    {**TERMS.document(), "version": 2, "previous": TERMS.digest(), "events_until_s": TERMS.events_until_s - DAY_S}
)
MORE = parse_terms({**TERMS.document(), "version": 2, "previous": TERMS.digest(), "rung": "band"})


def renew(ledger: Ledger, terms: Terms, **changes: object) -> None:
    for name, acknowledged in (("renewed", False), ("renewed live", True)):
        ledger.add(name, "receipt", {**receipt("renewed", acknowledged=acknowledged, terms=terms), **changes})


def ask(ledger: Ledger, terms: Terms) -> None:
    ledger.add("asked", "receipt", receipt("requested", terms=terms))


def test_less_needs_nobody_and_more_is_asked_for() -> None:
    for story in (
        lambda gym: renew(gym, LESS),
        lambda gym: (ask(gym, MORE), renew(gym, MORE)),
        lambda gym: (ask(gym, MORE), gym.add("no", "receipt", receipt("refused", terms=MORE)), renew(gym, LESS)),
        lambda gym: (ask(gym, MORE), gym.add("withdrawn", "receipt", receipt("withdrawn"))),
    ):
        gym, _ = tell()
        story(gym)
        assert rules(gym) == []


def test_what_was_asked_for_is_carried_into_the_next_log_unless_the_receipt_has_ended() -> None:
    carried = []
    for ends in (False, True):
        gym, _ = tell()
        ask(gym, MORE)
        if ends:
            gym.add("withdrawn", "receipt", receipt("withdrawn"))
        replay = replayed(gym)
        records = [each.body for each in replay.carries(gym.drafts[-1].at_s + 1) if each.kind == "receipt"]
        carried.append([(each["version"], each["state"]) for each in records])
    assert carried == [[(1, "given"), (2, "requested")], [(1, "withdrawn")]]


def skip_a_version(gym: Ledger) -> None:
    renew(gym, parse_terms({**LESS.document(), "version": 3}))


def fork_what_is_asked(gym: Ledger) -> None:
    ask(gym, MORE)
    gym.add("asked too", "receipt", receipt("deferred", terms=LESS))


def go_on_after_the_end(gym: Ledger) -> None:
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    gym.add("asked", "receipt", receipt("requested", terms=MORE))


def begin_with_the_second(gym: Ledger) -> None:
    gym.cut("opening")
    gym.add("asked", "receipt", receipt("requested", terms=LESS))


CASES: dict[str, tuple[str, Callable[[Ledger], None]]] = {
    "more than before, and nobody asked": ("P4.widened", lambda gym: renew(gym, MORE)),
    "more after less was asked for": ("P4.widened", lambda gym: (ask(gym, LESS), renew(gym, MORE))[0]),
    "a version left out": ("P4.version", skip_a_version),
    "after other terms": ("P4.version", lambda gym: renew(gym, LESS, previous=digest("another"))),
    "two next versions": ("P4.version", fork_what_is_asked),
    "a version after the end": ("P4.version", go_on_after_the_end),
    "no first version": ("P4.version", begin_with_the_second),
    "refused, and never asked": ("P4.transition", lambda gym: gym.add("no", "receipt", receipt("refused", terms=MORE))),
    "another version of the same number": ("P4.terms", lambda gym: (renew(gym, LESS), again(gym, MORE))[0]),
}


def again(gym: Ledger, terms: Terms) -> None:
    gym.add("renewed again", "receipt", receipt("renewed", terms=terms))


@pytest.mark.parametrize("case", CASES)
def test_one_wrong_version_breaks_one_rule(case: str) -> None:
    rule, spoil = CASES[case]
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == [rule]
