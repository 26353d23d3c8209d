"""What a ledger says of signatures, numbers, programs and sums of answers: one entry is wrong, and one rule says so."""

from collections.abc import Callable

import pytest
from logs import digest, identifier
from story import GYM, INSURER, START_S, TERMS, Ledger, acceptance, disclosure, erasure, program, receipt, tell

from tallystick_consent.receipts.retention import DISCHARGE_WITHIN_S
from tallystick_consent.replay import TIME_SLACK_S, ConsentReplay
from tallystick_ledger.times import DAY_S

Spoil = Callable[[Ledger], None]

PLUS = {"receipt": identifier("rcp", "ana plus"), "program": "ins-plus"}
"""A second receipt, for another program of the same insurer."""


def rules(ledger: Ledger) -> list[str]:
    replay = ConsentReplay(ledger.host)
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    replay.finish(newest_s=max(draft.at_s for draft in ledger.drafts))
    return [finding.rule for finding in replay.findings]


def number_two_without_a_first(ledger: Ledger) -> None:
    ledger.cut("issued")
    ledger.spoil("issued", use=2)


def pass_over_a_number(ledger: Ledger) -> None:
    ledger.add("april", "disclosure", {**april(ledger), "use": 3})


def give_a_number_twice(ledger: Ledger) -> None:
    ledger.add("april", "disclosure", {**april(ledger), "use": 1})


def april(ledger: Ledger) -> dict[str, object]:
    return {**disclosure("april", "issued", receipt_leaf=ledger.index("live"), use=2), "period": "2027-04"}


def withdraw(ledger: Ledger, **changes: object) -> None:
    ledger.add("withdrawn", "receipt", {**receipt("withdrawn"), **changes})


def sign_for_another_withdrawal(ledger: Ledger) -> None:
    withdraw(ledger)
    ledger.add("acknowledged", "receipt", {**receipt("withdrawn", acknowledged=True), "signed": digest("another")})


def replace_what_never_was(ledger: Ledger) -> None:
    ledger.cut("issued")
    ledger.spoil("issued", supersedes=digest("a claim of nobody"))


def replace_march_by_april(ledger: Ledger) -> None:
    ledger.cut("issued")
    march = ledger["issued"].body
    ledger.again("issued", state="withheld")
    changes = {"claim": digest("april"), "period": "2027-04", "use": 2, "supersedes": march["claim"]}
    ledger.again("issued", **changes)


def sign_at(ledger: Ledger, at_s: int) -> None:
    ledger.spoil("live", acknowledgement={"at": at_s, "digest": digest("acknowledgement")})


def sign_before_it_was_given(ledger: Ledger) -> None:
    sign_at(ledger, ledger["given"].at_s - TIME_SLACK_S - 1)


def sign_after_it_was_logged(ledger: Ledger) -> None:
    sign_at(ledger, ledger["live"].at_s + TIME_SLACK_S + 1)


def overdue(ledger: Ledger) -> None:
    withdraw(ledger, acknowledge_by=START_S + 60)
    ledger.add("visit later", "event", {"commitment": digest("later")})
    ledger["visit later"].at_s = START_S + 60 + TIME_SLACK_S + 1


DEADLINE_MAX_S = 30 * DAY_S + TIME_SLACK_S


def due_in_years(ledger: Ledger) -> None:
    """The gym gives itself a deadline that no log will ever be past."""
    withdraw(ledger)
    ledger.spoil("withdrawn", acknowledge_by=ledger["withdrawn"].at_s + DEADLINE_MAX_S + 1)


def due_in_a_month(ledger: Ledger) -> None:
    due_in_years(ledger)
    ledger["withdrawn"].at_s += 1


def stop_another(ledger: Ledger, name: str, **changes: object) -> None:
    """Somebody else gives the same, and the gym stops that."""
    other = {"receipt": identifier("rcp", name)}
    for step, body in (
        ("requested", receipt("requested")),
        ("given", receipt("given")),
        ("paused", {**receipt("paused"), **changes}),
    ):
        ledger.add(f"{step} {name}", "receipt", {**body, **other})


def name_no_deadline(ledger: Ledger) -> None:
    stop_another(ledger, "bob", acknowledge_by=START_S + 7 * DAY_S)
    withdraw(ledger)


def name_none_until_then(ledger: Ledger) -> None:
    """What version 0.1 logged names none; the node is brought up to date, and what it logs from then on does."""
    withdraw(ledger)
    stop_another(ledger, "bob", acknowledge_by=START_S + 7 * DAY_S)


def sign_without_a_deadline(ledger: Ledger) -> None:
    """Who was told signs at once, and has nothing to wait for."""
    stop_another(ledger, "bob", acknowledge_by=START_S + 7 * DAY_S)
    ledger.add("withdrawn", "receipt", receipt("withdrawn", acknowledged=True))


def cross(ledger: Ledger, name: str = "crossed", **changes: object) -> None:
    """The gym's withdrawal meets a receipt that the insurer had revoked: it is signed for, and changes nothing."""
    body = receipt("withdrawn", acknowledged=True)
    ledger.add(name, "receipt", {**body, "crossed": True, **changes})


def revoke(ledger: Ledger) -> None:
    ledger.add("revoked", "receipt", receipt("revoked"))


def cross_an_end(ledger: Ledger, **changes: object) -> None:
    revoke(ledger)
    cross(ledger, **changes)


def cross_twice(ledger: Ledger) -> None:
    cross_an_end(ledger)
    cross(ledger, "again")


def sign_again_for_what_ended_it(ledger: Ledger) -> None:
    ledger.add("withdrawn", "receipt", receipt("withdrawn", acknowledged=True))
    cross(ledger)


def end_by_erasure(ledger: Ledger, attestation: str) -> None:
    """The insurer's customer asked the insurer to be erased; the gym signs for that once, by its attestation."""
    signed = {"acknowledgement": {"at": START_S, "digest": digest(attestation)}, "signed": digest("request ana")}
    ledger.add("withdrawn", "receipt", {**receipt("withdrawn"), **signed})
    ledger.add("attested", "erasure", erasure("attested", origin=INSURER, partner=ledger.host))


KEPT = [
    {"field": "answers", "ground": "consent", "until_days": 1},
    {"field": "evidence", "ground": "legal_claims", "until_days": 30},
]


def keep(insurer: Ledger) -> None:
    """The insurer may keep an answer for a day, and how consent was seen for a month after the end."""
    for step in ("requested", "live"):
        insurer.spoil(step, retention=KEPT)


def end_it(insurer: Ledger) -> None:
    insurer.add("withdrawn", "receipt", {**receipt("withdrawn", acknowledged=True), "retention": KEPT})


def discharge(insurer: Ledger, field: str, *claims: str, name: str = "") -> None:
    named = {"claims": [digest(f"claim {claim}") for claim in claims]} if claims else {}
    insurer.add(f"discharged {field}{name}", "discharge", {"receipt": TERMS.receipt, "field": field, **named})


def wait_until(insurer: Ledger, at_s: int) -> None:
    insurer.add("visit later", "event", {"commitment": digest("later")})
    insurer["visit later"].at_s = at_s


def keep_an_answer(insurer: Ledger, *, more_s: int = 1) -> None:
    keep(insurer)
    late_s = insurer["accepted"].at_s + DAY_S + DISCHARGE_WITHIN_S + TIME_SLACK_S
    wait_until(insurer, late_s + more_s)


def keep_an_answer_after_the_end(insurer: Ledger, *, more_s: int = 1) -> None:
    """It is kept on consent, and so ends with it, a day early."""
    keep(insurer)
    end_it(insurer)
    wait_until(insurer, insurer["withdrawn"].at_s + DISCHARGE_WITHIN_S + TIME_SLACK_S + more_s)


def keep_evidence(insurer: Ledger, *, more_s: int = 1) -> None:
    keep(insurer)
    end_it(insurer)
    discharge(insurer, "answers", "march")
    wait_until(insurer, insurer["withdrawn"].at_s + 30 * DAY_S + DISCHARGE_WITHIN_S + TIME_SLACK_S + more_s)


def discharge_what_is_in_use(insurer: Ledger) -> None:
    keep(insurer)
    discharge(insurer, "evidence")


def discharge_twice(insurer: Ledger) -> None:
    keep(insurer)
    for name in ("", " again"):
        discharge(insurer, "answers", "march", name=name)


def discharge_another_answer(insurer: Ledger) -> None:
    keep(insurer)
    discharge(insurer, "answers", "april")


def discharge_one_answer_as_two(insurer: Ledger) -> None:
    keep(insurer)
    discharge(insurer, "answers", "march", "march")


def tell_more_by_the_reward(ledger: Ledger) -> None:
    ledger.spoil("program", tells={"alone": "aggregate", "figures": []})


def answer_each_day(ledger: Ledger) -> None:
    """The program's entry is one of version 0.1, and does not say what its answers tell."""
    ledger.cut("live")
    del ledger["program"].body["tells"]
    for use, day in enumerate(("2027-03-05", "2027-03-06"), start=1):
        ledger.add(day, "disclosure", {**disclosure(day, "issued", receipt_leaf=5, use=use), "period": day})


def ask_more_beside_it(ledger: Ledger, *, cut: int = 8, version: int = 1) -> None:
    """Add a second program of the insurer, its receipt, and an answer about the same month."""
    other = {**program("ins-plus", cuts=(cut,)), "program_version": version}
    ledger.add("plus", "program", other)
    for name, body in (
        ("requested plus", receipt("requested")),
        ("given plus", receipt("given")),
        ("live plus", receipt("given", acknowledged=True)),
    ):
        ledger.add(name, "receipt", {**body, **PLUS, "program_version": version})
    leaf = ledger.index("live plus")
    if ledger.host == INSURER:
        body = acceptance("plus", receipt_leaf=leaf, disclosure_leaf=40)
        ledger.add("accepted plus", "acceptance", {**body, **PLUS, "program_version": version})
    else:
        body = disclosure("plus", "issued", receipt_leaf=leaf)
        ledger.add("issued plus", "disclosure", {**body, **PLUS, "program_version": version})


def test_programs_together_may_tell_what_the_highest_rung_among_them_permits() -> None:
    """As the node holds them before anybody is asked for the second: an answer of the first breaks nothing by it."""
    gym, insurer = tell()
    for ledger in (gym, insurer):
        ask_more_beside_it(ledger)
        for name in ("plus", "requested plus", "given plus", "live plus"):
            ledger.spoil(name, rung="band")
        april = {"claim": digest("april"), "nullifier": digest("april")}
        last = "issued" if ledger is gym else "accepted"
        ledger.add("first again", ledger[last].kind, {**ledger[last].body, **april, "supersedes": "", "use": 2})
        if ledger is insurer:
            for name in ("supersedes", "use"):
                del ledger["first again"].body[name]
    assert rules(gym) == rules(insurer) == []


def add_version_two(ledger: Ledger, *, after: str) -> None:
    ledger.add("plus again", "program", {**program("ins-plus", cuts=(12,)), "program_version": 2}, after=after)
    for step in ("", " plus"):
        live = ledger.index(f"live{step}")
        for answer in ("issued", "delivered", "accepted"):
            if any(draft.name == answer + step for draft in ledger.drafts):
                ledger.spoil(answer + step, receipt_leaf=live)


@pytest.mark.parametrize("host", [GYM, INSURER])
def test_an_older_version_is_not_held_against_a_program_for_which_the_new_one_made_room(host: str) -> None:
    """Its receipts live on while the other program is given by others."""
    ledger = next(each for each in tell() if each.host == host)
    ask_more_beside_it(ledger)
    ledger.drafts.insert(ledger.index("program"), ledger.drafts.pop(ledger.index("plus")))
    add_version_two(ledger, after="plus")
    assert rules(ledger) == []
    ledger.drafts.insert(ledger.index("plus"), ledger.drafts.pop(ledger.index("plus again")))  # agreed to in that order
    assert rules(ledger) == []


def make_room_too_late(ledger: Ledger) -> None:
    """The next version tells no more, and is asked of nobody: who was asked for both goes on answering the first."""
    ask_more_beside_it(ledger)
    add_version_two(ledger, after="plus")


def keep_quiet_of_the_second(ledger: Ledger) -> None:
    """As an entry of version 0.1 would, in a log of a node that knows better."""
    ask_more_beside_it(ledger)
    del ledger["plus"].body["tells"]


def unsigned(state: str) -> dict[str, object]:
    return {**receipt(state), "signed": ""}


def hide_behind_a_higher_rung(ledger: Ledger, *, before: bool = True) -> None:
    """The payer's man of straw is answered about, under a program whose rung permits nearly everything."""
    straw = {"program": "ins-straw", "rung": "field"}
    ask_more_beside_it(ledger)
    names = [draft.name for draft in ledger.drafts if draft.name.endswith("plus")]
    for name in names:
        mine = {"receipt": identifier("rcp", "straw")} if ledger[name].kind != "program" else {}
        ledger.again(name, **straw, **mine)
    if before:
        ledger.drafts.sort(key=lambda draft: draft.name in names)
    ledger.spoil("plus again", tells={"alone": "field", "figures": []})
    for index, draft in enumerate(ledger.drafts):
        draft.at_s = START_S + index
    for name in ("issued plus", "accepted plus"):
        if name in names:
            claim = {"claim": digest("straw"), "nullifier": digest("straw")}
            ledger.spoil(f"{name} again", **claim, receipt_leaf=ledger.index("live plus again"))
            ledger.spoil(name, receipt_leaf=ledger.index("live plus"))


def answer_another_of_a_higher_rung(ledger: Ledger) -> None:
    """What it tells is what was agreed, whatever was told before it."""
    hide_behind_a_higher_rung(ledger, before=False)


GYM_CASES: dict[str, tuple[str, Spoil]] = {
    "a first answer that is the second": ("P4.number", number_two_without_a_first),
    "a number passed over": ("P4.number", pass_over_a_number),
    "a number given twice": ("P4.number", give_a_number_twice),
    "a signature for another receipt": ("P4.acknowledgement", lambda gym: gym.spoil("live", signed=digest("another"))),
    "a withdrawal that nobody signed": ("P5.unsigned", lambda gym: withdraw(gym, signed="")),
    "a pause that nobody signed": ("P5.unsigned", lambda gym: gym.add("paused", "receipt", unsigned("paused"))),
    "a revocation that nobody signed": ("P5.unsigned", lambda gym: gym.add("revoked", "receipt", unsigned("revoked"))),
    "a signature for another withdrawal": ("P5.acknowledgement", sign_for_another_withdrawal),
    "in place of a claim that never was": ("P7.supersedes", replace_what_never_was),
    "one nullifier for two months": ("P7.slot", replace_march_by_april),
    "a program nobody logged": ("P14.program", lambda gym: gym.spoil("program", program_version=2)),
    "signed before it was given": ("P16.signed", sign_before_it_was_given),
    "signed after it was logged": ("P16.signed", sign_after_it_was_logged),
    "a withdrawal overdue": ("P16.acknowledged", overdue),
    "a deadline of years": ("P16.acknowledged", due_in_years),
    "a withdrawal with no deadline": ("P16.acknowledged", name_no_deadline),
    "a reward that tells the figure": ("P17.alone", tell_more_by_the_reward),
    "an answer for each day": ("P17.dates", answer_each_day),
    "two thresholds of one figure": ("P17.together", ask_more_beside_it),
    "two thresholds, and one is not told": ("P17.alone", keep_quiet_of_the_second),
    "two thresholds, a straw man's answer before": ("P17.together", hide_behind_a_higher_rung),
    "two thresholds, and an answer of a higher rung after": ("P17.together", answer_another_of_a_higher_rung),
    "two thresholds, a harmless version after": ("P17.together", make_room_too_late),
    "an erasure signed for twice": ("P5.acknowledgement", lambda gym: end_by_erasure(gym, "another")),
}


@pytest.mark.parametrize("case", GYM_CASES)
def test_one_wrong_entry_of_the_issuer_breaks_one_rule(case: str) -> None:
    rule, spoil = GYM_CASES[case]
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == [rule]


INSURER_CASES: dict[str, tuple[str, Spoil]] = {
    "signed long before it was logged": (
        "P16.signed",
        lambda insurer: sign_at(insurer, insurer["live"].at_s - TIME_SLACK_S - 1),
    ),
    "two thresholds of one figure": ("P17.together", ask_more_beside_it),
    "two thresholds, a straw man's answer before": ("P17.together", hide_behind_a_higher_rung),
    "two thresholds, and an answer of a higher rung after": ("P17.together", answer_another_of_a_higher_rung),
    "two thresholds, a harmless version after": ("P17.together", make_room_too_late),
    "a program nobody logged": ("P14.program", lambda insurer: insurer.spoil("program", program_version=2)),
    "an answer kept too long": ("P9.overdue", keep_an_answer),
    "an answer kept after the end": ("P9.overdue", keep_an_answer_after_the_end),
    "evidence kept too long": ("P9.overdue", keep_evidence),
    "evidence discharged before the end": ("P9.discharge", discharge_what_is_in_use),
    "a discharge where nothing is owed": ("P9.discharge", lambda insurer: discharge(insurer, "answers", "march")),
    "a discharge said twice": ("P9.discharge", discharge_twice),
    "a discharge of an answer that was not taken": ("P9.discharge", discharge_another_answer),
    "a discharge of one answer as two": ("P9.discharge", discharge_one_answer_as_two),
    "a stop that crosses no end": ("P4.transition", cross),
    "a stop that crosses an end of other terms": (
        "P4.terms",
        lambda insurer: cross_an_end(insurer, terms=digest("other terms")),
    ),
    "a stop that crosses an end unsigned": (
        "P5.acknowledgement",
        lambda insurer: cross_an_end(insurer, acknowledgement=None),
    ),
    "a stop that crosses an end, of nothing": ("P5.acknowledgement", lambda insurer: cross_an_end(insurer, signed="")),
    "a giving that crosses an end": ("P5.acknowledgement", lambda insurer: cross_an_end(insurer, state="given")),
    "a stop that crosses an end, and lets through": (
        "P5.acknowledgement",
        lambda insurer: cross_an_end(insurer, deliverable=[digest("claim")]),
    ),
    "a stop that crosses an end, signed for twice": ("P5.acknowledgement", cross_twice),
    "an ending signed for twice": ("P5.acknowledgement", sign_again_for_what_ended_it),
    "a stop that crosses an end, signed before it came": (
        "P16.signed",
        lambda insurer: cross_an_end(insurer, acknowledgement={"at": 0, "digest": digest("acknowledgement")}),
    ),
    "a stop between two others": (
        "P4.party",
        lambda insurer: cross_an_end(insurer, issuer="b.example", recipient="c.example", version=2),
    ),
}


@pytest.mark.parametrize("case", INSURER_CASES)
def test_one_wrong_entry_of_the_recipient_breaks_one_rule(case: str) -> None:
    rule, spoil = INSURER_CASES[case]
    _, insurer = tell()
    spoil(insurer)
    assert rules(insurer) == [rule]


def sign_as_early_as_clocks_allow(ledger: Ledger) -> None:
    sign_at(ledger, ledger["given"].at_s - TIME_SLACK_S)


def sign_as_late_as_clocks_allow(ledger: Ledger) -> None:
    sign_at(ledger, ledger["live"].at_s + TIME_SLACK_S)


def due_now(ledger: Ledger) -> None:
    overdue(ledger)
    ledger["visit later"].at_s -= 1


def signed_late(ledger: Ledger) -> None:
    overdue(ledger)
    ledger.add("acknowledged", "receipt", receipt("withdrawn", acknowledged=True))


def erased_and_signed_for_once(ledger: Ledger) -> None:
    end_by_erasure(ledger, "attestation")


def one_day_alone(ledger: Ledger) -> None:
    answer_each_day(ledger)
    ledger.cut("2027-03-05")


def dates_are_permitted(ledger: Ledger) -> None:
    for step in ("requested", "given", "live"):
        ledger.spoil(step, rung="field")
    answer_each_day(ledger)


def bands_are_permitted(ledger: Ledger) -> None:
    ask_more_beside_it(ledger)
    for step in ("requested plus", "given plus", "live plus"):
        ledger.spoil(step, rung="band")


def the_same_threshold_twice(ledger: Ledger) -> None:
    ask_more_beside_it(ledger, cut=12)


def another_month(ledger: Ledger) -> None:
    ask_more_beside_it(ledger)
    ledger.spoil("issued plus", period="2027-04")


def a_newer_version_for_somebody_else(ledger: Ledger) -> None:
    """One person is asked by one version of a program for a period; two versions are two persons."""
    ask_more_beside_it(ledger)
    for draft in ledger.drafts:
        if draft.body.get("program") == "ins-plus":
            draft.body.update(program=TERMS.program, program_version=2)


@pytest.mark.parametrize(
    "turn",
    [
        sign_as_early_as_clocks_allow,
        sign_as_late_as_clocks_allow,
        due_now,
        signed_late,
        due_in_a_month,
        name_none_until_then,
        sign_without_a_deadline,
        cross_an_end,
        erased_and_signed_for_once,
        one_day_alone,
        dates_are_permitted,
        bands_are_permitted,
        the_same_threshold_twice,
        another_month,
        a_newer_version_for_somebody_else,
    ],
)
def test_what_is_just_in_order_breaks_none(turn: Spoil) -> None:
    gym, _ = tell()
    turn(gym)
    assert rules(gym) == []


def test_a_stop_may_cross_an_end_that_stands_in_the_log_before() -> None:
    replay = ConsentReplay(INSURER, continues=True)
    ledger = Ledger(INSURER)
    cross(ledger)
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    assert replay.findings == []


def discharge_in_time(insurer: Ledger) -> None:
    keep(insurer)
    discharge(insurer, "answers", "march")
    end_it(insurer)
    discharge(insurer, "evidence")
    wait_until(insurer, insurer["withdrawn"].at_s + 400 * DAY_S)


def refuse_what_was_asked(insurer: Ledger) -> None:
    """Nothing was given, so nothing is held."""
    insurer.cut("requested")
    insurer.spoil("requested", retention=KEPT)
    insurer.add("refused", "receipt", {**receipt("refused"), "retention": KEPT})
    wait_until(insurer, insurer["refused"].at_s + 400 * DAY_S)


@pytest.mark.parametrize(
    "turn",
    [
        discharge_in_time,
        refuse_what_was_asked,
        lambda insurer: keep_an_answer(insurer, more_s=0),
        lambda insurer: keep_an_answer_after_the_end(insurer, more_s=0),
        lambda insurer: keep_evidence(insurer, more_s=0),
    ],
)
def test_what_is_discharged_in_time_breaks_none(turn: Spoil) -> None:
    _, insurer = tell()
    turn(insurer)
    assert rules(insurer) == []


def test_what_the_insurer_owes_is_its_own_and_none_of_the_gyms() -> None:
    gym, _ = tell()
    for step in ("requested", "given", "live"):
        gym.spoil(step, retention=KEPT)
    gym.add("withdrawn", "receipt", {**receipt("withdrawn"), "retention": KEPT})
    wait_until(gym, gym["withdrawn"].at_s + 400 * DAY_S)
    assert rules(gym) == []
