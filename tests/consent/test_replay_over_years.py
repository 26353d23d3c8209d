"""Consent goes on over the turn of a year: what one log leads to, the next one's opening carries, and no more."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from logs import digest, entry_of, identifier
from story import GYM, INSURER, TERMS, Ledger, acceptance, disclosure, erase, erasure, receipt, tell

from tallystick_consent.receipts.receipt import VALIDITY_MAX_S
from tallystick_consent.replay import TIME_SLACK_S, ConsentReplay, count_receipts, without_leaves
from tallystick_ledger.opening import REMEMBERED_S, Carried, OpeningDraft
from tallystick_ledger.times import DAY_S
from tallystick_ledger.tlog.head import Checkpoint

NEW_YEAR_S = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())


def replayed(ledger: Ledger) -> ConsentReplay:
    replay = ConsentReplay(ledger.host)
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    assert replay.findings == []
    return replay


def opened(host: str, records: list[Carried], *, leaf: int = 0) -> ConsentReplay:
    """Return the host's log of 2028, opened with these records; disclosures name the receipt's new place."""
    draft = OpeningDraft(f"{host}/log/2028", Checkpoint(f"{host}/log/2027", 1, bytes(32)))
    for each in without_leaves(records):
        if each.kind == "disclosure":
            body = {**each.body, "disclosure": {**each.body["disclosure"], "receipt_leaf": leaf}}
            each = Carried("disclosure", body)
        draft.add(each)
    replay = ConsentReplay(host)
    for part in draft.parts():
        replay.take(entry_of("opening", part.body(), name=f"{part.part}", at_s=NEW_YEAR_S), part.part)
    return replay


def continued(old: ConsentReplay) -> ConsentReplay:
    records = list(old.carries(NEW_YEAR_S))
    new = opened(old.host, records)
    assert new.findings == []
    assert list(without_leaves(new.carries(NEW_YEAR_S))) == list(without_leaves(records))
    return new


def gym(cut: str, *then: tuple[str, str, dict[str, object]]) -> ConsentReplay:
    """Return the gym's year, cut behind an entry, with more behind it."""
    ledger, _ = tell()
    ledger.cut(cut)
    for name, kind, body in then:
        ledger.add(name, kind, body)
    return continued(replayed(ledger))


def insurer(cut: str) -> ConsentReplay:
    _, ledger = tell()
    ledger.cut(cut)
    return continued(replayed(ledger))


def rules(replay: ConsentReplay, kind: str, body: dict[str, object]) -> list[str]:
    replay.take(entry_of(kind, body, name=f"{kind} in the new year", at_s=NEW_YEAR_S + 60), 1)
    return [finding.rule for finding in replay.findings]


APRIL = {**disclosure("april", "issued", receipt_leaf=0, use=2), "period": "2027-04"}
WITHDRAWN = receipt("withdrawn", deliverable=(digest("claim march"),))


def signed_now(body: dict[str, object]) -> dict[str, object]:
    return {**body, "acknowledgement": {"at": NEW_YEAR_S + 60, "digest": digest("acknowledgement")}}


@pytest.mark.parametrize(
    ("before", "kind", "body"),
    [
        (lambda: gym("requested"), "receipt", receipt("given")),
        (lambda: gym("given"), "receipt", receipt("given", acknowledged=True)),
        (lambda: gym("live"), "disclosure", APRIL),
        (lambda: gym("live"), "receipt", receipt("withdrawn")),
        (lambda: gym("issued"), "disclosure", disclosure("march", "delivered", receipt_leaf=0)),
        (lambda: gym("issued"), "disclosure", disclosure("march", "withheld", receipt_leaf=0)),
        (lambda: gym("delivered"), "disclosure", APRIL),
        (
            lambda: gym("issued", ("w", "receipt", WITHDRAWN)),
            "disclosure",
            disclosure("march", "delivered", receipt_leaf=0),
        ),
        (
            lambda: gym("live", ("w", "receipt", receipt("withdrawn"))),
            "receipt",
            receipt("withdrawn", acknowledged=True),
        ),
        (lambda: insurer("live"), "acceptance", acceptance("march", receipt_leaf=0, disclosure_leaf=5)),
        (lambda: insurer("requested"), "receipt", signed_now(receipt("given"))),
    ],
)
def test_what_was_begun_last_year_is_ended_this_year(
    before: Callable[[], ConsentReplay], kind: str, body: dict[str, object]
) -> None:
    assert rules(before(), kind, body) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"earned": "drop"}, ["P4.after_withdrawal"]),
        ({"state": "paused"}, ["P4.after_withdrawal"]),
        ({"earned": "settle_earned"}, []),
    ],
    ids=["withdrawn", "paused", "settled"],
)
def test_what_a_stop_of_last_year_lists_comes_within_a_day_of_this_years_beginning(
    changes: dict[str, object], found: list[str]
) -> None:
    for late_s, expected in ((86_400, []), (86_401, found)):
        year = gym("issued", ("stop", "receipt", {**WITHDRAWN, **changes}))
        delivered = disclosure("march", "delivered", receipt_leaf=0)
        year.take(entry_of("disclosure", delivered, name="late", at_s=NEW_YEAR_S + late_s), 1)
        assert [finding.rule for finding in year.findings] == expected


@pytest.mark.parametrize(
    ("rung", "found"), [("token", ["P4.taken_back"]), ("predicate", [])], ids=["taken back", "still covered"]
)
def test_what_was_taken_back_last_year_comes_within_a_day_of_this_years_beginning(rung: str, found: list[str]) -> None:
    """Which of the answers that are still to come had left before the narrower version, the opening does not tell."""
    ledger, _ = tell()
    ledger.cut("issued")
    narrower = {"version": 2, "terms": digest("second"), "previous": TERMS.digest(), "rung": rung}
    listed = {"deliverable": [digest("claim march")]}
    ledger.add("narrowed", "receipt", {**receipt("renewed"), **narrower, **listed})
    ledger.add("narrowed live", "receipt", {**receipt("renewed", acknowledged=True), **narrower})
    for late_s, expected in ((86_400, []), (86_401, found)):
        year = continued(replayed(ledger))
        delivered = disclosure("march", "delivered", receipt_leaf=0)
        year.take(entry_of("disclosure", delivered, name="late", at_s=NEW_YEAR_S + late_s), 1)
        assert [finding.rule for finding in year.findings] == expected


@pytest.mark.parametrize(
    ("before", "kind", "body", "rule"),
    [
        (lambda: gym("given"), "disclosure", APRIL, "P4.not_live"),
        (lambda: gym("live"), "disclosure", {**APRIL, "receipt_leaf": 4}, "P4.receipt_leaf"),
        (lambda: gym("live", ("w", "receipt", receipt("withdrawn"))), "disclosure", APRIL, "P4.not_live"),
        (
            lambda: gym(
                "live",
                ("w", "receipt", receipt("withdrawn")),
                ("a", "receipt", receipt("withdrawn", acknowledged=True)),
            ),
            "disclosure",
            APRIL,
            "P4.no_receipt",
        ),
        (lambda: gym("live"), "receipt", {**receipt("withdrawn"), "rung": "band"}, "P4.terms"),
        (
            lambda: gym("issued", ("w", "receipt", receipt("withdrawn"))),
            "disclosure",
            disclosure("march", "delivered", receipt_leaf=0),
            "P4.after_withdrawal",
        ),
        (
            lambda: gym("issued"),
            "disclosure",
            {**disclosure("march", "issued", receipt_leaf=0, use=2), "claim": digest("another")},
            "P7.nullifier",
        ),
        (
            lambda: gym("delivered"),
            "disclosure",
            {**disclosure("march", "issued", receipt_leaf=0, use=2), "claim": digest("another")},
            "P7.nullifier",
        ),
        (
            lambda: gym("delivered"),
            "disclosure",
            {
                **disclosure("march", "issued", receipt_leaf=0, use=2),
                "claim": digest("another"),
                "supersedes": digest("claim march"),
            },
            "P7.nullifier",
        ),
        (
            lambda: gym("delivered"),
            "disclosure",
            {**disclosure("march", "issued", receipt_leaf=0), "nullifier": digest("fresh")},
            "P7.claim_twice",
        ),
        (
            lambda: insurer("accepted"),
            "acceptance",
            {**acceptance("march", receipt_leaf=0, disclosure_leaf=5), "claim": digest("another")},
            "P7.nullifier",
        ),
        (
            lambda: insurer("accepted"),
            "acceptance",
            {**acceptance("march", receipt_leaf=0, disclosure_leaf=5), "nullifier": digest("fresh")},
            "P7.claim_twice",
        ),
        (
            lambda: insurer("accepted"),
            "program",
            {**tell()[1]["program"].body, "reward": 1},
            "P8.program",
        ),
    ],
)
def test_what_last_year_forbids_is_forbidden_this_year(
    before: Callable[[], ConsentReplay], kind: str, body: dict[str, object], rule: str
) -> None:
    assert rules(before(), kind, body) == [rule]


def test_an_answer_that_was_replaced_stays_replaced() -> None:
    march = digest("claim march")
    second = {"claim": digest("second"), "supersedes": march, "use": 2}
    before = gym(
        "issued",
        ("withheld", "disclosure", disclosure("march", "withheld", receipt_leaf=5)),
        ("again", "disclosure", {**disclosure("march", "issued", receipt_leaf=5), **second}),
    )
    assert before.issued == {digest("nullifier march"): digest("second")}
    third = {"claim": digest("third"), "supersedes": digest("second"), "use": 3}
    assert rules(before, "disclosure", {**disclosure("march", "issued", receipt_leaf=0), **third}) == []


def test_an_answer_of_last_year_that_is_given_again_is_no_other_use() -> None:
    ledger, _ = tell()
    ledger.cut("issued")
    for step in ("requested", "given", "live"):
        ledger.spoil(step, limits={"uses_max": 1})
    year = continued(replayed(ledger))
    withheld = disclosure("march", "withheld", receipt_leaf=0)
    year.take(entry_of("disclosure", withheld, name="withheld", at_s=NEW_YEAR_S), 1)
    again = {**disclosure("march", "issued", receipt_leaf=0), "claim": digest("2"), "supersedes": digest("claim march")}
    year.take(entry_of("disclosure", again, name="again", at_s=NEW_YEAR_S), 2)
    assert (year.findings, year.receipts[TERMS.receipt].so_far.uses) == ([], 1)
    year.take(entry_of("disclosure", APRIL, name="april", at_s=NEW_YEAR_S), 3)
    assert [finding.rule for finding in year.findings] == ["P4.uses"]


def test_an_opening_behind_other_entries_carries_nothing() -> None:
    """The ledger floor says that it is misplaced."""
    year = gym("live")
    invented = {"claim": digest("invented"), "nullifier": digest("invented"), "state": "delivered", "at": NEW_YEAR_S}
    draft = OpeningDraft(f"{GYM}/log/2028", Checkpoint(f"{GYM}/log/2027", 1, bytes(32)))
    draft.add(Carried("answer", invented))
    (late,) = draft.parts()
    year.take(entry_of("event", {"commitment": digest("visit")}, name="visit", at_s=NEW_YEAR_S), 1)
    year.take(entry_of("opening", late.body(), name="late", at_s=NEW_YEAR_S), 2)
    assert digest("invented") not in year.before


def test_what_can_be_corrected_is_remembered() -> None:
    """As long as the receipt under which it was answered may be open, and then a claim may live: 366 days."""
    assert REMEMBERED_S > VALIDITY_MAX_S + 366 * DAY_S


def test_what_has_ended_is_not_carried() -> None:
    ledger, _ = tell()
    ledger.add("w", "receipt", receipt("withdrawn"))
    ledger.add("a", "receipt", receipt("withdrawn", acknowledged=True))
    assert [record.kind for record in replayed(ledger).carries(NEW_YEAR_S)] == ["program", "answer"]
    long_after_s = ledger["issued"].at_s + REMEMBERED_S
    assert [record.kind for record in replayed(ledger).carries(long_after_s - 1)] == ["program", "answer"]
    assert [record.kind for record in replayed(ledger).carries(long_after_s)] == ["program"]


def test_an_answer_that_never_arrived_holds_its_receipt_only_as_long_as_it_counts() -> None:
    ledger, _ = tell()
    ledger.cut("issued")
    ledger.add("expired", "receipt", receipt("expired", deliverable=(digest("claim march"),)))
    replay = replayed(ledger)
    assert [record.kind for record in replay.carries(NEW_YEAR_S)] == ["program", "receipt", "disclosure"]
    assert [record.kind for record in replay.carries(ledger["issued"].at_s + REMEMBERED_S)] == ["program"]


@pytest.mark.parametrize(
    ("records", "rule"),
    [
        ([Carried("receipt", {**receipt("given"), "issuer": "other.example", "recipient": INSURER})], "P4.party"),
        ([Carried("receipt", {"receipt": TERMS.receipt})], "entry.malformed"),
        (
            [Carried("disclosure", {"disclosure": disclosure("march", "issued", receipt_leaf=0), "at": 1})],
            "P4.receipt_leaf",
        ),
    ],
)
def test_a_record_that_cannot_be_is_a_finding(records: list[Carried], rule: str) -> None:
    assert [finding.rule for finding in opened(GYM, records).findings] == [rule]


def test_a_disclosure_must_name_the_part_that_carries_its_receipt() -> None:
    ledger, _ = tell()
    ledger.cut("issued")
    records = list(replayed(ledger).carries(NEW_YEAR_S))
    assert [finding.rule for finding in opened(GYM, records, leaf=1).findings] == ["P4.receipt_leaf"]


def test_records_of_an_unknown_kind_are_counted_and_not_skipped_silently() -> None:
    replay = opened(GYM, [Carried("horoscope", {}), Carried("horoscope", {"sign": "leo"}), Carried("paid", {})])
    assert replay.unchecked == {"opening/horoscope": 2}


def test_an_erasure_that_nobody_attested_goes_on_and_one_that_is_done_does_not() -> None:
    ledger, other = tell()
    erase(ledger, other)
    done = replayed(ledger)
    assert not [each for each in done.carries(NEW_YEAR_S) if each.kind == "erasure"]
    ledger.cut("erased")
    new = continued(replayed(ledger))
    new.take(entry_of("erasure", erasure("attested"), name="attested", at_s=NEW_YEAR_S), 1)
    assert new.findings == []


KEPT = [
    {"field": "answers", "ground": "consent", "until_days": 1},
    {"field": "evidence", "ground": "legal_claims", "until_days": 400},
]


def owing() -> ConsentReplay:
    """The insurer's year: a receipt ended whose evidence may be kept for long, and an answer was not dropped."""
    _, ledger = tell()
    for step in ("requested", "live"):
        ledger.spoil(step, retention=KEPT)
    ledger.add("expired", "receipt", {**receipt("expired"), "retention": KEPT})
    return continued(replayed(ledger))


def test_what_is_owed_is_owed_in_the_next_year_too() -> None:
    new = owing()
    assert [each.field for duties in new.duties.values() for each in duties] == ["answers", "evidence"]
    new.finish(newest_s=NEW_YEAR_S)
    assert [finding.rule for finding in new.findings] == ["P9.overdue"]


def test_what_was_owed_is_discharged_in_the_next_year_once() -> None:
    new, answer = owing(), {"receipt": TERMS.receipt, "field": "answers", "claims": [digest("claim march")]}
    assert rules(new, "discharge", answer) == []
    new.finish(newest_s=NEW_YEAR_S)
    assert new.findings == []
    assert rules(new, "discharge", answer) == ["P9.discharge"]


@pytest.mark.parametrize(("more_s", "found"), [(0, []), (1, ["P16.acknowledged"])])
def test_a_deadline_that_is_carried_is_no_further_away_than_one_that_begins_then(more_s: int, found: list[str]) -> None:
    """The stop is older than the opening, so an honest deadline is nearer still."""
    due_s = NEW_YEAR_S + 30 * DAY_S + TIME_SLACK_S + more_s
    stopped = Carried("receipt", {**receipt("withdrawn"), "acknowledge_by": due_s})
    assert [finding.rule for finding in opened(GYM, [stopped]).findings] == found


def test_a_log_whose_opening_names_a_deadline_names_them_all() -> None:
    """What was stopped by version 0.1 is carried without one beside it, and accuses nobody."""
    records = [
        Carried("receipt", {**receipt("paused"), "receipt": identifier("rcp", "bob"), "acknowledge_by": NEW_YEAR_S}),
        Carried("receipt", receipt("withdrawn")),
        Carried("receipt", {**receipt("given", acknowledged=True), "receipt": identifier("rcp", "cleo")}),
    ]
    year = opened(GYM, records)
    assert (year.findings, count_receipts(year).undated) == ([], 1)
    stopped = {**receipt("paused"), "receipt": identifier("rcp", "cleo")}
    assert rules(year, "receipt", stopped) == ["P16.acknowledged"]
