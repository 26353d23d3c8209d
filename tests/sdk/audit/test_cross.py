"""Two companies' ledgers side by side: one entry differs, and the audit of both says which rule is broken where."""

from collections.abc import Callable
from pathlib import Path

import pytest
from logs import digest, identifier, plain_entries, publish
from story import (
    BUDGET_MINOR,
    FEE_MINOR,
    START_S,
    Ledger,
    acceptance,
    disclosure,
    erase,
    program,
    receipt,
    tell,
    transfer,
)

from tallystick.audit import DirectorySource, Report, audit
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_ledger.opening import Carried, Opening
from tallystick_ledger.times import DAY_S
from tallystick_ledger.tlog.head import Checkpoint

Spoil = Callable[[Ledger, Ledger], None]


def both(tmp_path: Path, gym: Ledger, insurer: Ledger) -> Report:
    logs = [publish(tmp_path / each.host, each.raws(), origin=each.origin) for each in (gym, insurer)]
    return audit([DirectorySource(str(log)) for log in logs])


def accept_more(gym: Ledger, insurer: Ledger) -> None:
    leaves = {"receipt_leaf": insurer.index("live"), "disclosure_leaf": gym.index("fee")}
    insurer.add("more", "acceptance", acceptance("more", **leaves))


def forget_the_acceptance(_: Ledger, insurer: Ledger) -> None:
    insurer.cut("live")
    insurer.add("fee", "transfer", fee_of_nothing())


def fee_of_nothing() -> dict[str, object]:
    """Return the insurer's half of the fee, as the story has it, that follows from nothing."""
    _, insurer = tell()
    return {**insurer["fee"].body, "cause": ""}


def accept_another_nullifier(_: Ledger, insurer: Ledger) -> None:
    insurer.spoil("accepted", nullifier=digest("another"))


def name_another_leaf(gym: Ledger, insurer: Ledger) -> None:
    insurer.spoil("accepted", disclosure_leaf=gym.index("live"))


def name_another_log(_: Ledger, insurer: Ledger) -> None:
    insurer.spoil("accepted", log="bank.example/log/2027")


def accept_another_month_in_flight(gym: Ledger, insurer: Ledger) -> None:
    gym.cut("issued")
    insurer.spoil("accepted", nullifier=digest("another"))


def withhold_what_was_accepted(gym: Ledger, insurer: Ledger) -> None:
    gym.spoil("delivered", state="withheld", acceptance="")
    del insurer.drafts[insurer.index("fee")]
    del gym.drafts[gym.index("fee")]


def read_other_terms(_: Ledger, insurer: Ledger) -> None:
    for step in ("requested", "live"):
        insurer.spoil(step, terms=digest("other terms"))


def read_a_longer_range(_: Ledger, insurer: Ledger) -> None:
    """The terms' digest is the same; what the entry says of them in the open is not."""
    for step in ("requested", "live"):
        insurer.spoil(step, events_from=0)


def owe_nothing(_: Ledger, insurer: Ledger) -> None:
    del insurer.drafts[insurer.index("fee")]


def earn_nothing(gym: Ledger, _: Ledger) -> None:
    del gym.drafts[gym.index("fee")]


def earn_more(gym: Ledger, _: Ledger) -> None:
    gym.spoil("fee", amount=FEE_MINOR + 1)


def earn_from_another(gym: Ledger, _: Ledger) -> None:
    gym.spoil("fee", counterparty="bank.example")


def void_what_the_other_posted(gym: Ledger, _: Ledger) -> None:
    earned = dict(gym["fee"].body)
    gym.spoil("fee", state="reserved")
    gym.add("voided", "transfer", {**earned, "state": "voided"})


def sign_otherwise(_: Ledger, insurer: Ledger) -> None:
    insurer.spoil("live", acknowledgement={"at": START_S, "digest": digest("another")})


def withdraw(gym: Ledger, insurer: Ledger, **changes: object) -> None:
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    gym.add("acknowledged", "receipt", receipt("withdrawn", acknowledged=True))
    insurer.add("withdrawn", "receipt", {**receipt("withdrawn", acknowledged=True), **changes})


def settle_what_is_dropped(gym: Ledger, insurer: Ledger) -> None:
    """What Ana signed says that nothing is settled, and the gym's ledger that it is: so it could deliver for long."""
    withdraw(gym, insurer, earned="drop")
    for step in ("withdrawn", "acknowledged"):
        gym.spoil(step, earned="settle_earned")


def hear_of_no_withdrawal(gym: Ledger, insurer: Ledger) -> None:
    withdraw(gym, insurer)
    del insurer.drafts[insurer.index("withdrawn")]


def hear_of_another_withdrawal(gym: Ledger, insurer: Ledger) -> None:
    withdraw(gym, insurer, acknowledgement={"at": START_S, "digest": digest("another")})


def cross(gym: Ledger, insurer: Ledger) -> None:
    """Ana withdraws at the gym while the insurer revokes: each signs for the other's, and logs that it did."""
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    insurer.add("revoked", "receipt", receipt("revoked"))
    for ledger, own, other in ((gym, "withdrawn", "revoked"), (insurer, "revoked", "withdrawn")):
        ledger.add("crossed", "receipt", {**receipt(other, acknowledged=True), "crossed": True})
        ledger.add("acknowledged", "receipt", receipt(own, acknowledged=True))


def forget_what_crossed(gym: Ledger, insurer: Ledger) -> None:
    cross(gym, insurer)
    del insurer.drafts[insurer.index("crossed")]


def forget_what_the_insurer_revoked(gym: Ledger, insurer: Ledger) -> None:
    cross(gym, insurer)
    del gym.drafts[gym.index("crossed")]


def sign_otherwise_for_what_crossed(gym: Ledger, insurer: Ledger) -> None:
    cross(gym, insurer)
    insurer.spoil("crossed", acknowledgement={"at": START_S, "digest": digest("another")})


def invent_a_signature_after_an_end(gym: Ledger, insurer: Ledger) -> None:
    """It ended at the insurer by itself, which is no excuse: the insurer was never told of the withdrawal."""
    insurer.add("expired", "receipt", receipt("expired"))
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    gym.add("acknowledged", "receipt", receipt("withdrawn", acknowledged=True))


def invent_a_signature_for_who_was_erased(gym: Ledger, insurer: Ledger) -> None:
    erase(gym, insurer)
    gym.spoil("withdrawal acknowledged", acknowledgement={"at": START_S, "digest": digest("another")})


def price_it_otherwise(gym: Ledger, _: Ledger) -> None:
    gym.spoil("program", reward=1)


def say_that_it_tells_less(_: Ledger, insurer: Ledger) -> None:
    insurer.spoil("program", tells={"alone": "token", "figures": []})


def say_that_it_was_seen_better(gym: Ledger, _: Ledger) -> None:
    for step in ("given", "live"):
        gym.spoil(step, grade="wallet_key")


def retract_what_stands(_: Ledger, insurer: Ledger) -> None:
    taken = insurer["accepted"].body
    body = {name: taken[name] for name in ("issuer", "receipt", "claim", "nullifier")}
    insurer.add("retracted", "retraction", {**body, "signed": digest("retraction")})


def retract_what_still_stands_later(gym: Ledger, insurer: Ledger) -> None:
    """The gym's ledger goes on for longer than the insurer's, and says nothing of it."""
    retract_what_stands(gym, insurer)
    gym.add("later", "event", {"commitment": digest("later")})
    gym["later"].at_s = insurer["retracted"].at_s + 2 * TIME_SLACK_S + 1


def revoke(gym: Ledger, insurer: Ledger, *, after: str) -> None:
    """The visit was somebody else's: the gym takes its answer back, and a week and a half goes by at the insurer."""
    wrong = {"log": gym.origin, "leaf": gym.index("visit")}
    gym.add("correction", "correction", {"wrong": wrong, "right": None, "signed": digest("correction")}, after=after)
    revoked = {**gym["issued"].body, "state": "revoked", "correction": gym.entry_id("correction")}
    gym.add("revoked", "disclosure", revoked, after="correction")
    insurer.add("later", "event", {"commitment": digest("later")})
    insurer["later"].at_s += 10 * DAY_S


CASES: dict[str, tuple[str, str, str, Spoil]] = {
    "an acceptance that is not there": ("X.acceptance_missing", "gym", "issued", forget_the_acceptance),
    "an acceptance of another nullifier": ("X.acceptance_differs", "gym", "issued", accept_another_nullifier),
    "a claim nobody issued": ("X.disclosure_missing", "insurer", "more", accept_more),
    "a claim issued elsewhere in the log": ("X.disclosure_differs", "insurer", "accepted", name_another_leaf),
    "a claim of another company's log": ("X.disclosure_differs", "insurer", "accepted", name_another_log),
    "another claim than the one in flight": (
        "X.disclosure_differs",
        "insurer",
        "accepted",
        accept_another_month_in_flight,
    ),
    "a claim its issuer says it withheld": ("X.withheld", "insurer", "accepted", withhold_what_was_accepted),
    "a claim retracted that its issuer stands by": (
        "X.retracted",
        "insurer",
        "accepted",
        retract_what_still_stands_later,
    ),
    "a receipt with other terms": ("X.receipt_differs", "insurer", "", read_other_terms),
    "a receipt that reads otherwise": ("X.receipt_differs", "insurer", "", read_a_longer_range),
    "a withdrawal that settles otherwise": ("X.receipt_differs", "insurer", "", settle_what_is_dropped),
    "a receipt signed otherwise": ("P4.acknowledgement", "gym", "live", sign_otherwise),
    "a withdrawal nobody heard of": ("P5.acknowledgement", "gym", "acknowledged", hear_of_no_withdrawal),
    "a withdrawal signed otherwise": ("P5.acknowledgement", "gym", "acknowledged", hear_of_another_withdrawal),
    "a withdrawal that crossed, and was not logged": (
        "P5.acknowledgement",
        "gym",
        "acknowledged",
        forget_what_crossed,
    ),
    "a revocation that crossed, and was not logged": (
        "P5.acknowledgement",
        "insurer",
        "acknowledged",
        forget_what_the_insurer_revoked,
    ),
    "a withdrawal that crossed, signed otherwise": (
        "P5.acknowledgement",
        "gym",
        "acknowledged",
        sign_otherwise_for_what_crossed,
    ),
    "a signature made up after an end": (
        "P5.acknowledgement",
        "gym",
        "acknowledged",
        invent_a_signature_after_an_end,
    ),
    "a signature made up for who was erased": (
        "P5.acknowledgement",
        "gym",
        "withdrawal acknowledged",
        invent_a_signature_for_who_was_erased,
    ),
    "a program of another price": ("X.program_differs", "gym", "", price_it_otherwise),
    "a program that tells less": ("X.program_differs", "gym", "", say_that_it_tells_less),
    "a giving that was seen better": ("X.receipt_differs", "insurer", "", say_that_it_was_seen_better),
    "a fee that is not owed": ("X.half_missing", "gym", "fee", owe_nothing),
    "a fee that is not earned": ("X.half_missing", "insurer", "fee", earn_nothing),
    "a fee of another amount": ("X.half_differs", "gym", "fee", earn_more),
    "a fee from another": ("X.half_differs", "insurer", "fee", earn_from_another),
    "a fee that was voided": ("X.half_differs", "gym", "voided", void_what_the_other_posted),
}


@pytest.mark.parametrize("case", CASES)
def test_one_difference_is_one_finding(tmp_path: Path, case: str) -> None:
    rule, side, name, spoil = CASES[case]
    gym, insurer = tell()
    spoil(gym, insurer)
    report = both(tmp_path, gym, insurer)
    ledger = gym if side == "gym" else insurer
    (finding,) = report.findings
    assert finding.rule == rule
    assert finding.where.startswith(f"{tmp_path / ledger.host / 'log'}: ")
    if name:
        assert finding.where.endswith(f": entry {ledger.index(name)}")


def test_a_claim_that_was_revoked_long_ago_and_stands_is_said_and_not_blamed(tmp_path: Path) -> None:
    """The gym may have told nobody, or be away since: no ledger tells."""
    gym, insurer = tell()
    revoke(gym, insurer, after="delivered")
    stands = both(tmp_path / "stands", gym, insurer)
    (said,) = stands.notes
    assert stands.holds
    assert said.endswith("1 claims that gym.example revoked long ago stand; nothing tells if it said so.")
    retract_what_stands(gym, insurer)
    insurer["retracted"].at_s = insurer["later"].at_s
    assert both(tmp_path / "retracted", gym, insurer).notes == ()
    gym, insurer = tell()
    revoke(gym, insurer, after="delivered")
    insurer["later"].at_s -= 2 * DAY_S
    assert both(tmp_path / "not yet", gym, insurer).notes == ()


def test_a_claim_that_may_have_been_revoked_behind_what_is_here_is_said_and_not_blamed(tmp_path: Path) -> None:
    """The gym's log is here as it was before it revoked the claim, or at the time; the insurer's went on."""
    for short_s in (0, -1):
        gym, insurer = tell()
        retract_what_still_stands_later(gym, insurer)
        gym["later"].at_s += short_s
        report = both(tmp_path / str(-short_s), gym, insurer)
        assert report.holds == (short_s < 0)
        said = "1 claims are retracted that gym.example may have revoked behind what is here of it."
        assert [note.endswith(said) for note in report.notes] == [True] * -short_s
    gym, insurer = tell()
    retract_what_still_stands_later(gym, insurer)
    gym.spoil("opening", **Opening(gym.origin, Checkpoint(f"{gym.host}/log/2026", 1, bytes(32))).body())
    assert any(note.endswith(said) for note in both(tmp_path / "between", gym, insurer).notes), (
        "a log of the gym's is missing, and may be of a time after the claim was issued"
    )


def test_two_ledgers_that_agree_hold(tmp_path: Path) -> None:
    report = both(tmp_path, *tell())
    assert report.holds
    assert report.notes == ()


def test_a_claim_on_its_way_is_no_finding(tmp_path: Path) -> None:
    """The insurer has accepted, paid and booked the fee; its answer has not come back to the gym."""
    gym, insurer = tell()
    gym.cut("issued")
    assert both(tmp_path, gym, insurer).holds


def test_a_fee_whose_claim_was_revoked_before_the_answer_came_back_is_no_finding(tmp_path: Path) -> None:
    """The word of the revocation, by whose answer the gym learns of the fee, leaves at a time of its own."""
    gym, insurer = tell()
    revoke(gym, insurer, after="issued")
    gym.cut("revoked")
    insurer["later"].at_s -= 9 * DAY_S
    assert both(tmp_path, gym, insurer).findings == ()


def test_a_ledger_that_invents_the_last_claim_of_a_slot_ends_in_a_report(tmp_path: Path) -> None:
    gym, insurer = tell()
    slot = {"nullifier": digest("nullifier march"), "state": "withheld", "at": START_S}
    carried = tuple(Carried("answer", {"claim": digest(claim), **slot}) for claim in ("claim march", "invented"))
    before = Checkpoint(f"{gym.host}/log/2026", 1, bytes(32))
    gym.spoil("opening", **Opening(gym.origin, before, carried=carried).body())
    assert not both(tmp_path, gym, insurer).holds


def test_what_may_stand_in_a_partners_log_that_is_not_here_is_said_and_not_blamed(tmp_path: Path) -> None:
    gym, insurer = tell()
    insurer.cut("live")
    missing = {"X.acceptance_missing", "X.half_missing"}
    assert {each.rule for each in both(tmp_path / "whole", gym, insurer).findings} == missing
    earlier = Checkpoint(f"{insurer.host}/log/2026", 1, bytes(32))
    insurer.spoil("opening", **Opening(insurer.origin, earlier).body())
    report = both(tmp_path / "later", gym, insurer)
    said = [note.partition(": ")[2] for note in report.notes if note.endswith("among the sources.")]
    assert (report.findings, said) == (
        (),
        [
            "1 acceptances of insurer.example may be in a log of it that is not among the sources.",
            "1 halves of transfers of insurer.example may be in a log of it that is not among the sources.",
        ],
    )
    for draft in gym.drafts[gym.index("live") + 1 :]:
        draft.at_s += DAY_S
    since = both(tmp_path / "since", gym, insurer)
    assert [each.rule for each in since.findings] == ["X.acceptance_missing"]
    assert len([each for each in since.notes if " halves of " in each]) == 1, (
        "what it is owed it may have heard of long after the insurer had booked it"
    )


def test_what_is_owed_is_booked_before_it_is_heard_of_so_its_other_half_cannot_lie_before(tmp_path: Path) -> None:
    """The gym says that its log of 2027 continues another one; it has not booked what the insurer owes since."""
    gym, insurer = tell()
    del gym.drafts[gym.index("fee")]
    gym.spoil("opening", **Opening(gym.origin, Checkpoint(f"{gym.host}/log/2026", 1, bytes(32))).body())
    for draft in insurer.drafts[insurer.index("accepted") :]:
        draft.at_s += DAY_S
    (finding,) = both(tmp_path, gym, insurer).findings
    assert (finding.rule, finding.where.rpartition(" ")[2]) == ("X.half_missing", str(insurer.index("fee")))


def test_a_claim_that_was_not_sent_yet_is_no_finding(tmp_path: Path) -> None:
    gym, insurer = tell()
    gym.cut("issued")
    insurer.cut("live")
    assert both(tmp_path, gym, insurer).holds


def test_a_reservation_waits_for_its_other_half(tmp_path: Path) -> None:
    gym, insurer = tell()
    body = transfer("bonus", "expense/bonus", f"payable/{gym.host}", 7, counterparty=gym.host)
    insurer.add("bonus", "transfer", {**body, "state": "reserved"})
    assert both(tmp_path, gym, insurer).holds


def replaced(gym: Ledger) -> None:
    """Let the gym's first claim run out unanswered, and be replaced by another with the same nullifier."""
    gym.cut("issued")
    march = gym["issued"].body["claim"]
    gym.again("issued", state="withheld")
    gym.drafts[-1].name = "withheld"
    gym.again("issued", claim=digest("april"), use=2, supersedes=march)
    gym.drafts[-1].name = "replaced"


def test_an_answer_that_was_lost_counts_for_the_claim_that_replaced_it(tmp_path: Path) -> None:
    """The insurer took the first claim and answers the second like the first: paid once, and both books agree."""
    gym, insurer = tell()
    fee = gym["fee"].body
    replaced(gym)
    assert both(tmp_path / "in flight", gym, insurer).holds
    gym.again("replaced", state="delivered", acceptance=digest("acceptance"))
    gym.add("fee", "transfer", fee)
    assert both(tmp_path / "delivered", gym, insurer).holds


def replaced_under_anothers_receipt(gym: Ledger, insurer: Ledger) -> None:
    """March is answered under the guardian's receipt, and accepted; the gym hears nothing, and the receipt runs out.

    Cleo's own receipt looks back to March, for a newer version of the program. The insurer answers as the first time.
    """
    fee = gym["fee"].body
    gym.cut("issued")
    march = gym["issued"].body["claim"]
    gym.add("expired", "receipt", receipt("expired", deliverable=[str(march)]))
    insurer.add("expired", "receipt", receipt("expired"))
    own: dict[str, object] = {"receipt": identifier("rcp", "cleo's own"), "program_version": 2}
    for ledger, steps in ((gym, ("requested", "given", "own")), (insurer, ("requested", "own"))):
        ledger.add("program 2", "program", {**program(), "program_version": 2})
        for step in steps:
            body = receipt("requested" if step == "requested" else "given", acknowledged=step == "own")
            ledger.add(step if step == "own" else f"own {step}", "receipt", {**body, **own})
    answer = disclosure("march", "issued", receipt_leaf=gym.index("own"))
    gym.add("anew", "disclosure", {**answer, **own, "claim": digest("claim anew"), "supersedes": march})
    gym.again("anew", state="delivered", acceptance=digest("acceptance march"))
    gym.drafts[-1].name = "anew delivered"
    gym.add("fee", "transfer", fee)


def test_what_was_lost_under_one_receipt_counts_for_the_claim_that_replaced_it_under_another(tmp_path: Path) -> None:
    gym, insurer = tell()
    replaced_under_anothers_receipt(gym, insurer)
    assert both(tmp_path, gym, insurer).findings == ()


def accept_under_a_receipt_of_its_own(_: Ledger, insurer: Ledger) -> None:
    other = {"receipt": identifier("rcp", "nobody's")}
    insurer.add("other", "receipt", {**receipt("given", acknowledged=True), **other}, after="live")
    insurer.add("other requested", "receipt", {**receipt("requested"), **other}, after="live")
    insurer.spoil("accepted", **other, receipt_leaf=insurer.index("other"))


@pytest.mark.parametrize("spoil", [accept_under_a_receipt_of_its_own, accept_another_nullifier])
def test_what_was_accepted_of_a_replaced_claim_is_what_that_claim_was(tmp_path: Path, spoil: Spoil) -> None:
    gym, insurer = tell()
    replaced_under_anothers_receipt(gym, insurer)
    spoil(gym, insurer)
    (finding,) = both(tmp_path, gym, insurer).findings
    assert finding.rule == "X.disclosure_differs"
    assert finding.where == f"{tmp_path / insurer.host / 'log'}: entry {insurer.index('accepted')}"


def test_a_claim_that_replaces_itself_ends_the_search(tmp_path: Path) -> None:
    gym, insurer = tell()
    for step in ("issued", "delivered"):
        gym.spoil(step, supersedes=gym["issued"].body["claim"])
    forget_the_acceptance(gym, insurer)
    found = [finding.rule for finding in both(tmp_path, gym, insurer).findings]
    assert found == ["P7.supersedes", "X.acceptance_missing"]


@pytest.mark.parametrize(("here", "there"), [("drop", "drop"), ("settle_earned", ""), ("", "drop")])
def test_a_withdrawal_that_settles_alike_agrees_and_version_01_did_not_say(
    tmp_path: Path, here: str, there: str
) -> None:
    gym, insurer = tell()
    withdraw(gym, insurer)
    for ledger, steps, earned in ((gym, ("withdrawn", "acknowledged"), here), (insurer, ("withdrawn",), there)):
        for step in steps:
            ledger.spoil(step, **({"earned": earned} if earned else {}))
    assert both(tmp_path, gym, insurer).holds


def test_two_versions_of_a_receipt_may_have_two_terms(tmp_path: Path) -> None:
    gym, insurer = tell()
    gym.cut("given")
    insurer.cut("requested")
    insurer.spoil("requested", version=2, terms=digest("other terms"))
    assert both(tmp_path, gym, insurer).holds


def test_what_a_withdrawal_ended_in_both_ledgers_agrees(tmp_path: Path) -> None:
    gym, insurer = tell()
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    insurer.add("withdrawn", "receipt", receipt("withdrawn", acknowledged=True))
    assert both(tmp_path, gym, insurer).holds


def test_endings_that_crossed_agree(tmp_path: Path) -> None:
    gym, insurer = tell()
    cross(gym, insurer)
    assert both(tmp_path, gym, insurer).holds


def test_a_log_of_last_year_that_is_not_here_is_said_and_not_blamed(tmp_path: Path) -> None:
    gym, insurer = tell()
    insurer.spoil("accepted", log=f"{gym.host}/log/2026")
    report = both(tmp_path, gym, insurer)
    assert report.holds
    assert len(report.notes) == 1


def test_a_log_that_was_not_read_whole_is_not_held_against_others(tmp_path: Path) -> None:
    gym, insurer = tell()
    logs = [publish(tmp_path / each.host, each.raws(), origin=each.origin) for each in (gym, insurer)]
    (logs[1] / "tile/entries/000.p/8").unlink()
    report = audit([DirectorySource(str(log)) for log in logs])
    assert [finding.rule for finding in report.findings] == ["log.missing_file"]
    assert len(report.notes) == 1


def test_two_copies_of_one_log_hold_and_a_fork_does_not(tmp_path: Path) -> None:
    origin = "gym.example/log/2027"
    entries = plain_entries(9, origin=origin)
    early = publish(tmp_path / "early", entries[:5], origin=origin)
    late = publish(tmp_path / "late", entries, origin=origin)
    fork = publish(tmp_path / "fork", [*entries[:4], entries[5]], origin=origin)

    def rules(*logs: Path) -> list[str]:
        return [finding.rule for finding in audit([DirectorySource(str(log)) for log in logs]).findings]

    assert rules(early, late) == rules(late, early) == rules(late, late) == []
    assert rules(late, fork) == rules(fork, late) == rules(early, fork) == ["P1.fork"]


def test_money_of_three_companies_agrees_two_by_two(tmp_path: Path) -> None:
    gym, insurer = tell()
    bank = Ledger("bank.example")
    bank.add("opening", "opening", {"log": bank.origin})
    bank.add("fee", "transfer", {**gym["fee"].body, "counterparty": insurer.host, "amount": BUDGET_MINOR})
    logs = [publish(tmp_path / each.host, each.raws(), origin=each.origin) for each in (gym, insurer, bank)]
    report = audit([DirectorySource(str(log)) for log in logs])
    assert [(finding.rule, "bank.example" in finding.where) for finding in report.findings] == [
        ("X.half_differs", True)
    ]
    assert report.sources[2].entries["transfer"] == 1


def test_both_sides_of_an_erasure_agree_and_the_partner_may_be_heard_late(tmp_path: Path) -> None:
    gym, insurer = tell()
    erase(gym, insurer)
    assert both(tmp_path / "heard", gym, insurer).holds
    gym.cut("withdrawal acknowledged")
    assert both(tmp_path / "not heard", gym, insurer).holds


def test_an_attestation_that_its_partner_never_logged_is_found(tmp_path: Path) -> None:
    gym, insurer = tell()
    erase(gym, insurer)
    insurer.cut("withdrawn")
    assert [finding.rule for finding in both(tmp_path, gym, insurer).findings] == ["X.erasure_missing"]


def test_an_attestation_of_something_else_is_found(tmp_path: Path) -> None:
    gym, insurer = tell()
    erase(gym, insurer)
    insurer.spoil("attested", receipts=[])
    assert [finding.rule for finding in both(tmp_path, gym, insurer).findings] == ["X.erasure_differs"]
