"""The replay of consent, against ledgers in which exactly one entry is wrong: exactly one rule says so."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from logs import digest
from story import (
    GYM,
    INSURER,
    START_S,
    TERMS,
    Ledger,
    acceptance,
    disclosure,
    erase,
    erasure,
    receipt,
    tell,
)

from tallystick_consent.entries import parse_body
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.entry import make_entry
from tallystick_ledger.errors import EntryMalformed

Spoil = Callable[[Ledger], None]


def replayed(ledger: Ledger) -> ConsentReplay:
    replay = ConsentReplay(ledger.host, "2027")
    for index, entry in enumerate(ledger.entries()):
        replay.take(entry, index)
    return replay


def rules(ledger: Ledger) -> list[str]:
    return [finding.rule for finding in replayed(ledger).findings]


def only(last: str, **changes: object) -> Spoil:
    """Return what ends the story with the entry `last`, changed."""

    def spoil(ledger: Ledger) -> None:
        ledger.cut(last)
        ledger.spoil(last, **changes)

    return spoil


def about_a_part(*, whole: bool = True, **less: object) -> Spoil:
    """Return what lets the receipt cover a part of March, whose answer must rest on all of it."""

    def spoil(ledger: Ledger) -> None:
        ledger.spoil("program", tells={**ledger["program"].body["tells"], "whole": whole})
        for step in ("requested", "given", "live"):
            ledger.spoil(step, **less)

    return spoil


LATE_IN_MARCH = int(datetime(2027, 3, 21, tzinfo=UTC).timestamp())


def issue_again(ledger: Ledger) -> None:
    ledger.again("issued")


def issue_another(ledger: Ledger) -> None:
    ledger.again("issued", claim=digest("another"), use=2)


def replace_a_delivered_one(ledger: Ledger) -> None:
    march = ledger["issued"].body["claim"]
    ledger.again("issued", claim=digest("another"), use=2, supersedes=march)


def deliver_both(ledger: Ledger) -> None:
    """Issue a second claim in place of the first while that is on its way, and deliver both."""
    delivered = ledger["delivered"].body
    ledger.cut("issued")
    march = ledger["issued"].body["claim"]
    ledger.again("issued", claim=digest("another"), use=2, supersedes=march)
    ledger.add("delivered", "disclosure", delivered)
    ledger.again("delivered", claim=digest("another"), use=2, supersedes=march)


def deliver_another(ledger: Ledger) -> None:
    ledger.spoil("delivered", claim=digest("another"))


def deliver_twice(ledger: Ledger) -> None:
    ledger.again("delivered")


def deliver_another_period(ledger: Ledger) -> None:
    ledger.spoil("delivered", period="2027-04")


def withdraw_before_delivery(ledger: Ledger) -> None:
    ledger.add("withdrawn", "receipt", receipt("withdrawn"), after="issued")


def withdraw_before_issue(ledger: Ledger) -> None:
    ledger.cut("issued")
    ledger.add("withdrawn", "receipt", receipt("withdrawn"), after="live")


def too_late(ledger: Ledger) -> None:
    ledger.cut("issued")
    ledger["issued"].at_s = TERMS.valid_until_s


def unacknowledged(ledger: Ledger) -> None:
    ledger.cut("issued")
    del ledger.drafts[ledger.index("live")]
    ledger.spoil("issued", receipt_leaf=ledger.index("given"))


def change_terms(ledger: Ledger) -> None:
    ledger.spoil("live", valid_until=TERMS.valid_until_s + 1)


def give_again(ledger: Ledger) -> None:
    ledger.add("given again", "receipt", receipt("given"), after="delivered")


def step_before(last: str, state: str) -> Spoil:
    """Return what takes a step of the receipt right before the entry `last`, which ends the story."""

    def spoil(ledger: Ledger) -> None:
        ledger.cut(last)
        at = ledger.drafts[ledger.index(last) - 1].name
        ledger.add(state, "receipt", receipt(state), after=at)

    return spoil


def acknowledge_again(ledger: Ledger) -> None:
    ledger.add("live again", "receipt", receipt("given", acknowledged=True), after="delivered")


def resume_as_given(ledger: Ledger) -> None:
    """A receipt that was paused is renewed, and never given a second time."""
    ledger.add("paused", "receipt", receipt("paused"))
    ledger.add("resumed", "receipt", receipt("given"))


def revive(ledger: Ledger) -> None:
    ledger.add("revoked", "receipt", receipt("revoked"))
    ledger.add("renewed", "receipt", receipt("renewed"))


def nothing_more(_ledger: Ledger) -> None:
    pass


def limited(spoil: Spoil = nothing_more, *, days: int = 0, **limits: object) -> Spoil:
    """Return what gives the receipt limits from its first step on, lets days pass, and then does more.

    Args:
        days: how many days later than it was the claim is issued.
    """

    def with_limits(ledger: Ledger) -> None:
        ledger.cut("issued")
        for step in ("requested", "given", "live"):
            ledger.spoil(step, limits=limits)
        ledger["issued"].at_s += days * 86_400
        spoil(ledger)

    return with_limits


def issue_for_april(ledger: Ledger) -> None:
    ledger.again("issued", claim=digest("april"), nullifier=digest("april"), period="2027-04", use=2)


def correct(ledger: Ledger, name: str = "correction", *, wrong: int | None = None, **changes: object) -> str:
    """Let the gym say that its visit was wrong; return the id of the entry."""
    place = {"log": ledger.origin, "leaf": ledger.index("visit") if wrong is None else wrong}
    ledger.add(name, "correction", {"wrong": place, "right": None, "signed": digest("correction"), **changes})
    return ledger.entry_id(name)


def revoke(ledger: Ledger, **changes: object) -> None:
    """Let the gym revoke the claim of March because of a correction."""
    cause = correct(ledger)
    body = {**ledger["delivered"].body, "state": "revoked", "correction": cause, **changes}
    ledger.add("revoked", "disclosure", body)


def revoke_twice(ledger: Ledger) -> None:
    revoke(ledger)
    ledger.again("revoked")


def correct_only(ledger: Ledger, **changes: Any) -> None:
    correct(ledger, **changes)


def correct_nothing(ledger: Ledger) -> None:
    correct(ledger)
    ledger.spoil("correction", wrong=None)


def correct_twice(ledger: Ledger) -> None:
    correct(ledger)
    correct(ledger, "once more")


def retraction(ledger: Ledger, **changes: object) -> None:
    """Let the insurer log that the gym retracted the claim of March."""
    taken = ledger["accepted"].body
    body = {name: taken[name] for name in ("issuer", "receipt", "claim", "nullifier")}
    ledger.add("retracted", "retraction", {**body, "signed": digest("retraction"), **changes})


def retract_twice(ledger: Ledger) -> None:
    retraction(ledger)
    ledger.again("retracted")


ELSEWHERE = {"log": "track.example/log/2027", "leaf": 1}


def delivered_after(wait_s: int, *, earned: str = "drop") -> Spoil:
    """Return what withdraws between issue and delivery, lists the claim, and delivers it so much later."""

    def spoil(gym: Ledger) -> None:
        listed = {**receipt("withdrawn", deliverable=[digest("claim march")]), "earned": earned}
        gym.add("withdrawn", "receipt", listed, after="issued")
        acknowledged = {**listed, "deliverable": [], "acknowledgement": receipt_acknowledgement()}
        gym.add("withdrawal acknowledged", "receipt", acknowledged, after="withdrawn")
        gym["delivered"].at_s = gym["withdrawn"].at_s + wait_s

    return spoil


def delivered_after_a_stop(wait_s: int, *, state: str, earned: str = "") -> Spoil:
    """Return what stops the receipt between issue and delivery, lists the claim, and delivers it so much later."""

    def spoil(gym: Ledger) -> None:
        body = {**receipt(state, deliverable=[digest("claim march")]), "earned": earned}
        gym.add("stopped", "receipt", body, after="issued")
        if state != "expired":
            gym.add("stop acknowledged", "receipt", receipt(state, acknowledged=True), after="stopped")
        gym["delivered"].at_s = gym["stopped"].at_s + wait_s

    return spoil


def settle_in_the_acknowledgement(gym: Ledger) -> None:
    """Nothing is settled, as the withdrawal says; what records that it was signed for says otherwise."""
    delivered_after(86_401)(gym)
    gym.spoil("withdrawal acknowledged", earned="settle_earned")


def narrow_long_before_delivery(wait_s: int, **less: object) -> Spoil:
    """Return what gives the receipt again with less, lists the claim, and delivers it so much later."""

    def spoil(gym: Ledger) -> None:
        narrow_before_delivery(deliverable=[digest("claim march")], **less)(gym)
        gym["delivered"].at_s = gym["renewed"].at_s + wait_s

    return spoil


def narrow_before_delivery(*, deliverable: Sequence[str] = (), **less: object) -> Spoil:
    """Return what gives the receipt again, as a version that permits less, between issue and delivery."""

    def spoil(gym: Ledger) -> None:
        for step in ("requested", "given", "live"):
            gym.spoil(step, data_classes=["membership", "visit"])
        second = {"version": 2, "terms": digest("second"), "previous": TERMS.digest()}
        renewed = {**receipt("renewed"), "data_classes": ["membership", "visit"], **second, **less}
        gym.add("renewed", "receipt", {**renewed, "deliverable": list(deliverable)}, after="issued")
        gym.add("renewed live", "receipt", {**renewed, "acknowledgement": receipt_acknowledgement()}, after="renewed")

    return spoil


GYM_CASES: dict[str, tuple[str, Spoil]] = {
    "between two others": ("P4.party", only("requested", issuer="other.example", recipient="third.example")),
    "withdrawn before it was asked for": ("P4.transition", only("requested", state="withdrawn")),
    "given twice": ("P4.transition", give_again),
    "acknowledged twice": ("P4.transition", acknowledge_again),
    "paused, then given as if it were new": ("P4.transition", resume_as_given),
    "renewed after it was revoked": ("P4.transition", revive),
    "given, and nobody saw how": ("P4.grade", only("given", grade="")),
    "delivered, and nobody signed for it": ("P4.disclosure", only("delivered", acceptance="")),
    "paused before it was given": ("P4.transition", only("given", state="paused")),
    "an answer while it is paused": ("P4.not_live", step_before("issued", "paused")),
    "an answer after it was revoked": ("P4.not_live", step_before("issued", "revoked")),
    "an answer after it was invalidated": ("P4.not_live", step_before("issued", "invalidated")),
    "an answer before the renewal is acknowledged": ("P4.not_live", step_before("issued", "renewed")),
    "delivered while it is paused": ("P4.after_withdrawal", step_before("delivered", "paused")),
    "terms that change": ("P4.terms", change_terms),
    "a receipt nobody knows": ("P4.no_receipt", only("issued", receipt="rcp_" + "a" * 26)),
    "a receipt that is over": ("P4.not_live", too_late),
    "a receipt that was withdrawn": ("P4.not_live", withdraw_before_issue),
    "a receipt that nobody acknowledged": ("P4.not_live", unacknowledged),
    "another entry of the receipt": ("P4.receipt_leaf", only("issued", receipt_leaf=2)),
    "another recipient": ("P4.recipient", only("issued", recipient="bank.example")),
    "another purpose": ("P4.purpose", only("issued", purpose="dpv:Marketing")),
    "a purpose above the one consented to": ("P4.purpose", only("issued", purpose="dpv:ServiceProvision")),
    "more than a predicate": ("P4.rung", only("issued", rung="band")),
    "another program": ("P4.program", only("issued", program="other")),
    "another version": ("P4.program", only("issued", program_version=2)),
    "a period before consent": ("P4.period", only("issued", period="2026-12")),
    "a period that is to come": ("P4.period", only("issued", period="2027-05")),
    "a period that is none": ("P4.period", only("issued", period="2027-13")),
    "one more than may be given": ("P4.uses", limited(issue_for_april, uses_max=1)),
    "limits that change": ("P4.terms", only("live", limits={"uses_max": 2})),
    "too long after the last yes": ("P4.reconfirm", limited(days=30, reconfirm_days=30)),
    "evidence that is too old": ("P4.stale", limited(days=40, staleness_days=30)),
    "a month of which the first days are not covered": ("P4.whole", about_a_part(events_from=LATE_IN_MARCH)),
    "a month of which the last days are not covered": ("P4.whole", about_a_part(events_until=LATE_IN_MARCH)),
    "a month whose first days are too old": ("P4.whole", about_a_part(limits={"staleness_days": 20})),
    "never issued": ("P4.not_issued", deliver_another),
    "delivered twice": ("P4.disclosure", deliver_twice),
    "delivered as something else": ("P4.disclosure", deliver_another_period),
    "delivered after the withdrawal": ("P4.after_withdrawal", withdraw_before_delivery),
    "delivered long after a withdrawal that settles nothing": ("P4.after_withdrawal", delivered_after(86_401)),
    "delivered long after a withdrawal that does not say": (
        "P4.after_withdrawal",
        delivered_after_a_stop(86_401, state="withdrawn"),
    ),
    "delivered long into a pause": ("P4.after_withdrawal", delivered_after_a_stop(86_401, state="paused")),
    "delivered long into a pause that says it settles": (
        "P4.after_withdrawal",
        delivered_after_a_stop(86_401, state="paused", earned="settle_earned"),
    ),
    "delivered long after it was revoked": ("P4.after_withdrawal", delivered_after_a_stop(86_401, state="revoked")),
    "delivered long after it ran out": ("P4.after_withdrawal", delivered_after_a_stop(86_401, state="expired")),
    "settled by what acknowledges a withdrawal": ("P4.after_withdrawal", settle_in_the_acknowledgement),
    "delivered long after it was taken back": (
        "P4.taken_back",
        narrow_long_before_delivery(86_401, data_classes=["membership"]),
    ),
    "delivered from events that were taken back": (
        "P4.taken_back",
        narrow_before_delivery(data_classes=["membership"]),
    ),
    "delivered from an account that was taken out": (
        "P4.taken_back",
        narrow_before_delivery(resources=[{"kind": "source", "id": "res_" + "a" * 26}]),
    ),
    "delivered above the rung that is left": ("P4.taken_back", narrow_before_delivery(rung="token")),
    "issued twice": ("P7.claim_twice", issue_again),
    "two claims for one month": ("P7.nullifier", issue_another),
    "in place of one that counted": ("P7.nullifier", replace_a_delivered_one),
    "both delivered": ("P7.nullifier", deliver_both),
    "a body of another form": ("entry.malformed", only("issued", note="a free text")),
    "a correction of no event": ("P14.correction", lambda ledger: correct_only(ledger, wrong=ledger.index("given"))),
    "a correction of an event to come": ("P14.correction", lambda ledger: correct_only(ledger, wrong=500)),
    "a correction of others' events": ("P14.correction", lambda ledger: correct_only(ledger, right=ELSEWHERE)),
    "a correction of nothing": ("P14.correction", correct_nothing),
    "corrected twice": ("P14.correction", correct_twice),
    "revoked for no reason": ("P14.revoked", lambda ledger: revoke(ledger, correction="")),
    "revoked for a correction that is not there": (
        "P14.revoked",
        lambda ledger: revoke(ledger, correction="cor_" + "a" * 26),
    ),
    "revoked twice": ("P4.disclosure", revoke_twice),
    "revoked as something else": ("P4.disclosure", lambda ledger: revoke(ledger, use=7)),
    "revoked without being issued": ("P4.not_issued", lambda ledger: revoke(ledger, claim=digest("another"))),
    "issued for a correction that is not there": ("P14.revoked", only("issued", correction="cor_" + "a" * 26)),
}


@pytest.mark.parametrize("case", GYM_CASES)
def test_one_wrong_entry_of_the_issuer_breaks_one_rule(case: str) -> None:
    rule, spoil = GYM_CASES[case]
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == [rule]


def test_a_yes_that_a_part_of_the_month_proves_needs_no_more_than_that_part() -> None:
    gym, _ = tell()
    about_a_part(whole=False, events_from=LATE_IN_MARCH)(gym)
    assert rules(gym) == []


INSURER_CASES: dict[str, tuple[str, Spoil]] = {
    "accepted without a receipt": ("P4.no_receipt", only("accepted", receipt="rcp_" + "a" * 26)),
    "accepted for another purpose": ("P4.purpose", only("accepted", purpose="dpv:Marketing")),
    "accepted under another entry": ("P4.receipt_leaf", only("accepted", receipt_leaf=3)),
    "accepted twice": ("P7.claim_twice", lambda ledger: ledger.again("accepted")),
    "two for one month": ("P7.nullifier", lambda ledger: ledger.again("accepted", claim=digest("another"))),
    "retracted without being accepted": ("P14.retraction", lambda ledger: retraction(ledger, claim=digest("another"))),
    "retracted as another": ("P14.retraction", lambda ledger: retraction(ledger, nullifier=digest("another"))),
    "retracted twice": ("P14.retraction", retract_twice),
}


@pytest.mark.parametrize("case", INSURER_CASES)
def test_one_wrong_entry_of_the_recipient_breaks_one_rule(case: str) -> None:
    rule, spoil = INSURER_CASES[case]
    _, insurer = tell()
    spoil(insurer)
    assert rules(insurer) == [rule]


def issue_for_the_erased(gym: Ledger) -> None:
    gym.add("more", "disclosure", disclosure("april", "issued", receipt_leaf=gym.index("live"), use=2))


def deliver_for_the_erased(gym: Ledger) -> None:
    delivered = gym.drafts.pop(gym.index("delivered"))
    gym.spoil("withdrawn", deliverable=[gym["issued"].body["claim"]])
    gym.spoil("withdrawal acknowledged", deliverable=[gym["issued"].body["claim"]])
    gym.add("late", "disclosure", delivered.body)


def accept_for_the_erased(insurer: Ledger) -> None:
    insurer.add("more", "acceptance", acceptance("april", receipt_leaf=insurer.index("live"), disclosure_leaf=40))


def erase_a_live_link(gym: Ledger) -> None:
    gym.cut("delivered")
    gym.add("erased", "erasure", erasure("erased"))


def attest_to_what_nobody_asked(gym: Ledger) -> None:
    gym.add("other", "erasure", erasure("attested", of="ben"))


def erase_in_anothers_name(gym: Ledger) -> None:
    gym.add("other", "erasure", erasure("erased", of="ben", origin=INSURER, partner=GYM))


ERASED_CASES: dict[str, tuple[str, str, Spoil]] = {
    "issued after the erasure": ("gym", "P9.after", issue_for_the_erased),
    "delivered after the erasure": ("gym", "P9.after", deliver_for_the_erased),
    "accepted after the erasure": ("insurer", "P9.after", accept_for_the_erased),
    "erased while a receipt is live": ("gym", "P9.still_live", erase_a_live_link),
    "erased twice": ("gym", "P9.step", lambda ledger: ledger.again("erased")),
    "attested twice": ("insurer", "P9.step", lambda ledger: ledger.again("attested")),
    "attested as another": ("gym", "P9.step", lambda ledger: ledger.spoil("attested", request=digest("another"))),
    "attested and not erased": ("gym", "P9.step", attest_to_what_nobody_asked),
    "erased in another's name": ("gym", "P9.step", erase_in_anothers_name),
    "between two others": (
        "gym",
        "P9.party",
        lambda ledger: ledger.add("x", "erasure", erasure("erased", of="ben", origin="bank.example")),
    ),
    "attested without a signature": (
        "gym",
        "entry.malformed",
        lambda ledger: ledger.spoil("attested", attestation=None),
    ),
}


@pytest.mark.parametrize("case", ERASED_CASES)
def test_one_wrong_entry_about_an_erasure_breaks_one_rule(case: str) -> None:
    whose, rule, spoil = ERASED_CASES[case]
    gym, insurer = tell()
    erase(gym, insurer)
    spoil(gym if whose == "gym" else insurer)
    assert rules(gym) + rules(insurer) == [rule]


def test_an_erasure_told_right_breaks_none() -> None:
    """The acknowledgement of the withdrawal may come back after the erasure, and an attestation much later."""
    gym, insurer = tell()
    erase(gym, insurer)
    assert rules(gym) == rules(insurer) == []
    gym.cut("erased")
    assert rules(gym) == []


def test_an_erasure_between_others_or_of_what_is_not_here_ends_no_receipt() -> None:
    """Whoever asks for an erasure names the receipts; what is between others, or comes later, goes on."""
    _, insurer = tell()
    asked = erasure("attested", of="ben", origin="track.example", partner=INSURER)
    insurer.add("attested", "erasure", {**asked, "receipts": [TERMS.receipt]}, after="live")
    assert rules(insurer) == []
    gym, _ = tell()
    early = erasure("attested", of="ben", origin=INSURER, partner=GYM)
    gym.add("attested", "erasure", {**early, "receipts": [TERMS.receipt]}, after="opening")
    for name in ("issued", "delivered"):
        gym.spoil(name, receipt_leaf=gym.index("live"))
    assert rules(gym) == []


def test_a_story_told_right_breaks_none() -> None:
    gym, insurer = tell()
    assert rules(gym) == rules(insurer) == []


def test_what_stays_within_its_limits_breaks_none() -> None:
    for within in (
        limited(issue_for_april, uses_max=2),
        limited(days=29, reconfirm_days=30),
        limited(days=20, staleness_days=30),
    ):
        gym, _ = tell()
        within(gym)
        assert rules(gym) == []


def test_the_same_answer_in_another_claim_is_no_other_use() -> None:
    gym, _ = tell()
    limited(uses_max=1)(gym)
    gym.again("issued", state="withheld")
    gym.again("issued", claim=digest("another"), supersedes=gym["issued"].body["claim"])
    assert rules(gym) == []


@pytest.mark.parametrize(("after_s", "found"), [(30 * 86_400 - 1, []), (30 * 86_400, ["P4.reconfirm"])])
def test_the_days_are_counted_from_the_yes_and_not_from_its_acknowledgement(after_s: int, found: list[str]) -> None:
    gym, _ = tell()
    limited(reconfirm_days=30)(gym)
    gym["live"].at_s = gym["given"].at_s + 86_400
    gym["issued"].at_s = gym["given"].at_s + after_s
    assert rules(gym) == found


def test_a_renewal_begins_the_days_anew() -> None:
    gym, _ = tell()
    limited(reconfirm_days=30)(gym)
    gym.cut("live")
    renewed = {**receipt("renewed"), "limits": {"reconfirm_days": 30}}
    gym.add("renewed", "receipt", renewed)
    acknowledged = {**receipt("renewed", acknowledged=True), "limits": {"reconfirm_days": 30}}
    gym.add("renewed live", "receipt", acknowledged)
    gym.add("issued", "disclosure", disclosure("march", "issued", receipt_leaf=gym.index("renewed live")))
    for name in ("renewed", "renewed live", "issued"):
        gym[name].at_s += 29 * 86_400
    gym["issued"].at_s += 29 * 86_400
    gym.spoil("renewed live", acknowledgement={"at": gym["renewed"].at_s, "digest": digest("renewed")})
    assert rules(gym) == []


@pytest.mark.parametrize(("days", "found"), [(29, []), (30, ["P4.reconfirm"])])
def test_a_narrower_version_is_no_yes_that_begins_the_days_anew(days: int, found: list[str]) -> None:
    """Who may only stop, a child or one of two holders, may narrow as well."""
    gym, _ = tell()
    narrow_before_delivery(data_classes=["visit"])(gym)
    gym.cut("renewed live")
    gym.drafts.append(gym.drafts.pop(gym.index("issued")))
    for step in ("requested", "given", "live", "renewed", "renewed live"):
        gym.spoil(step, limits={"reconfirm_days": 30})
    gym.spoil("issued", receipt_leaf=gym.index("renewed live"))
    for step in ("renewed", "renewed live"):
        gym[step].at_s = gym["given"].at_s + 20 * 86_400
    gym.spoil("renewed live", acknowledgement={"at": gym["renewed"].at_s, "digest": digest("renewed")})
    gym["issued"].at_s = gym["given"].at_s + days * 86_400
    assert rules(gym) == found


def test_a_finding_says_where() -> None:
    gym, _ = tell()
    only("issued", rung="raw")(gym)
    assert replayed(gym).findings[0].where == f"entry {gym.index('issued')}"


def test_what_the_withdrawal_lists_may_still_be_delivered_and_accepted() -> None:
    gym, insurer = tell()
    listed = receipt("withdrawn", deliverable=[str(gym["issued"].body["claim"])])
    gym.add("withdrawn", "receipt", listed, after="issued")
    gym.add("withdrawal acknowledged", "receipt", {**listed, "acknowledgement": receipt_acknowledgement()})
    insurer.add("withdrawn", "receipt", listed, after="live")
    assert rules(gym) == rules(insurer) == []


def test_what_the_withdrawal_lists_may_come_when_the_receipt_would_have_run_out() -> None:
    _, insurer = tell()
    listed = receipt("withdrawn", deliverable=[str(insurer["accepted"].body["claim"])])
    insurer.add("withdrawn", "receipt", {**listed, "earned": "settle_earned"}, after="live")
    for draft in insurer.drafts[insurer.index("accepted") :]:
        draft.at_s = TERMS.valid_until_s + 4 * 86_400
    assert rules(insurer) == []


def test_a_subject_who_put_off_the_answer_may_still_give_it() -> None:
    gym, _ = tell()
    gym.cut("requested")
    for state in ("deferred", "given"):
        gym.add(state, "receipt", receipt(state))
    assert rules(gym) == []


def test_a_receipt_that_was_paused_and_renewed_covers_what_comes_after() -> None:
    gym, insurer = tell()
    for ledger in (gym, insurer):
        for state in ("paused", "renewed"):
            ledger.add(state, "receipt", receipt(state, acknowledged=ledger is insurer))
            if ledger is gym:
                ledger.add(f"{state} live", "receipt", receipt(state, acknowledged=True))
    later = {"claim": digest("april"), "nullifier": digest("april"), "period": "2027-04"}
    gym.add(
        "april", "disclosure", {**disclosure("april", "issued", receipt_leaf=gym.index("renewed live"), use=2), **later}
    )
    taken = {**insurer["accepted"].body, **later, "receipt_leaf": insurer.index("renewed")}
    insurer.add("april", "acceptance", {**taken, "disclosure_leaf": gym.index("april")})
    assert rules(gym) == rules(insurer) == []
    assert replayed(gym).receipts[TERMS.receipt].live_leaf == gym.index("renewed live")


def test_what_was_on_its_way_when_the_receipt_was_paused_may_be_delivered_still() -> None:
    gym, _ = tell()
    gym.add("paused", "receipt", receipt("paused", deliverable=[str(gym["issued"].body["claim"])]), after="issued")
    assert rules(gym) == []
    gym.add("paused acknowledged", "receipt", receipt("paused", acknowledged=True), after="paused")
    assert rules(gym) == []


@pytest.mark.parametrize(
    "spoil",
    [
        delivered_after(86_400),
        delivered_after(60 * 86_400, earned="settle_earned"),
        *(delivered_after_a_stop(86_400, state=state) for state in ("withdrawn", "paused", "revoked", "expired")),
        narrow_long_before_delivery(86_400, data_classes=["membership"]),
        narrow_long_before_delivery(60 * 86_400, data_classes=["visit"]),
    ],
    ids=["on its way", "settled", "withdrawn", "paused", "revoked", "expired", "taken back", "still covered"],
)
def test_what_was_on_its_way_comes_within_a_day_and_what_is_settled_in_its_time(spoil: Spoil) -> None:
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == []


def test_a_withdrawal_by_a_node_that_could_not_say_may_have_settled_what_it_lists() -> None:
    gym, _ = tell()
    delivered_after_a_stop(60 * 86_400, state="withdrawn")(gym)
    del gym["program"].body["tells"]
    assert rules(gym) == []


def test_a_second_version_lets_through_what_it_lists_itself_and_not_what_the_one_before_listed() -> None:
    gym, _ = tell()
    narrow_long_before_delivery(2, data_classes=["membership"])(gym)
    third = {"version": 3, "terms": digest("third"), "previous": digest("second")}
    for name, body in (("third live", gym["renewed live"].body), ("third", gym["renewed"].body)):
        gym.add(name, "receipt", {**body, **third}, after="renewed live")
    gym["delivered"].at_s = gym["third"].at_s + 1
    assert rules(gym) == []
    gym.spoil("third", deliverable=[])
    assert rules(gym) == ["P4.taken_back"]


@pytest.mark.parametrize(
    "spoil",
    [
        narrow_before_delivery(data_classes=["visit"]),
        narrow_before_delivery(data_classes=["membership"], deliverable=[digest("claim march")]),
    ],
    ids=["still covered", "listed"],
)
def test_what_a_narrower_version_covers_or_lists_may_still_be_delivered(spoil: Spoil) -> None:
    gym, _ = tell()
    spoil(gym)
    assert rules(gym) == []


def test_what_a_pause_listed_ends_with_the_receipt_unless_the_ending_lists_it_too() -> None:
    gym, _ = tell()
    gym.add("paused", "receipt", receipt("paused", deliverable=[str(gym["issued"].body["claim"])]), after="issued")
    gym.add("withdrawn", "receipt", receipt("withdrawn"), after="paused")
    assert rules(gym) == ["P4.after_withdrawal"]


def test_what_the_withdrawal_does_not_list_may_not_be_accepted() -> None:
    _, insurer = tell()
    insurer.add("withdrawn", "receipt", receipt("withdrawn", deliverable=[digest("another")]), after="live")
    assert rules(insurer) == ["P4.not_live"]


def test_a_receipt_of_a_wide_purpose_covers_a_narrow_answer() -> None:
    gym, _ = tell()
    for step in ("requested", "given", "live"):
        gym.spoil(step, purposes=["dpv:ServiceProvision"])
    assert rules(gym) == []


def test_a_claim_that_never_left_may_be_replaced() -> None:
    gym, _ = tell()
    gym.cut("issued")
    march = gym["issued"].body["claim"]
    gym.again("issued", state="withheld")
    gym.again("issued", claim=digest("another"), use=2, supersedes=march)
    assert rules(gym) == []


def test_after_a_correction_the_slot_is_answered_and_taken_anew() -> None:
    gym, insurer = tell()
    revoke(gym)
    march = gym["issued"].body["claim"]
    cause = gym.entry_id("correction")
    anew = {"claim": digest("another"), "supersedes": march, "correction": cause}
    gym.again("issued", **anew)
    gym.again("delivered", **anew)
    retraction(insurer)
    insurer.again("accepted", claim=digest("another"))
    assert rules(gym) == rules(insurer) == []
    assert replayed(insurer).retracted == {march}


def test_the_events_of_a_log_are_kept_as_the_runs_they_stand_in() -> None:
    gym, _ = tell()
    for number in range(5):
        gym.add(f"visit {number}", "event", {"commitment": digest(str(number))})
    visit, first = gym.index("visit"), gym.index("visit 0")
    assert replayed(gym).events == [visit, visit + 1, first, first + 5]


def test_one_partner_may_issue_and_accept_under_one_nullifier_without_confusion() -> None:
    """The two ends of a link never share a nullifier honestly; a ledger that pretends so must not stop the replay."""
    gym, insurer = tell()
    only("accepted")(insurer)
    accepted = insurer["accepted"].body
    body = {**disclosure("march", "issued", receipt_leaf=insurer.index("live")), "nullifier": accepted["nullifier"]}
    insurer.add("issued", "disclosure", {**body, "claim": digest("another"), "supersedes": accepted["claim"]})
    assert set(rules(insurer)) <= {"P4.recipient", "P7.nullifier", "P7.supersedes"}
    assert rules(gym) == []


def test_unknown_kinds_are_counted_as_unchecked() -> None:
    gym, _ = tell()
    gym.add("spend", "privacy_spend", {"epsilon": 1})
    gym.add("spend more", "privacy_spend", {"epsilon": 1})
    replay = replayed(gym)
    assert replay.unchecked == {"privacy_spend": 2}
    assert replay.findings == []


def test_a_replay_remembers_what_other_ledgers_are_held_against() -> None:
    gym, insurer = tell()
    march = str(gym["issued"].body["claim"])
    disclosed, leaf = replayed(gym).disclosures[march]
    assert (disclosed.state, leaf) == ("delivered", gym.index("issued"))
    accepted, _ = replayed(insurer).acceptances[march]
    assert (accepted.log, accepted.disclosure_leaf) == (gym.origin, leaf)
    assert replayed(insurer).programs.keys() == {(TERMS.recipient, TERMS.program, 1)}
    assert replayed(insurer).receipts[TERMS.receipt].body.recipient == INSURER


def test_a_body_is_strict() -> None:
    entry = make_entry(
        "event", {"commitment": 7}, entry_id="evt_" + "a" * 26, blind=bytes(16), at_s=START_S
    )  # fmt: skip
    with pytest.raises(EntryMalformed):
        parse_body("event", entry.body)


def receipt_acknowledgement() -> object:
    return receipt("withdrawn", acknowledged=True)["acknowledgement"]
