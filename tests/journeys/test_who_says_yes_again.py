"""Every later step of a receipt: who takes it for a subject, how that was seen, and that each yes is a fresh one."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hostile import nothing_changes, partner
from signers import ed25519_key
from sqlalchemy import select
from town import Company, Membership, Town, at, evidence, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict
from tallystick.wire import PeerSigned, Receipt
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.evidence import Evidence, Testimony, evidence_message
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.receipts.versions import narrowed
from tallystick_consent.signed import GivenReceipt, RenewedReceipt, signed_digest
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_node.storage.tables import RECEIPTS

CLERK = Testimony(grade="clerk", login="aal2", channel="desk", agent="staff-12", read_back=True)
CLUB = Authority(kind="joint", needed=2)
RECONFIRM_DAYS = 90
_people = count(1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gym and an insurer that have agreed on a program whose consent is confirmed every 90 days."""
    with town(tmp_path_factory.mktemp("town")) as made:
        insurer, gym = made.company("insurer.example"), made.company("gym.example")
        insurer.app().programs.publish({**fitness_program(), "limits": {"reconfirm_days": RECONFIRM_DAYS}})
        made.settle()
        gym.app().programs.accept("ins-fit", 1)
        made.settle()
        yield made
        report = audit([DirectorySource(str(company.log)) for company in made.companies.values()])
        assert report.holds, report.findings


class Person:
    """Somebody new whom the insurer has asked for consent, and the calls of the gym's app."""

    def __init__(self, story: Town, kind: str = "own", speakers: tuple[str, ...] = (), **asked: Any) -> None:
        gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
        number = next(_people)
        self.story = story
        self.who: Membership = link(
            gym, insurer, at_gym=f"{kind}-{number}-at-gym", at_insurer=f"{kind}-{number}-at-ins", town=story
        )
        self.calls = gym.app().receipts
        if kind != "own":
            more = {"needed": 2} if kind == "joint" else {"of_age_from": OF_AGE_S} if kind == "minor" else {}
            gym.office().standings.record(self.who.at_gym, kind=kind, speakers=speakers, **more)  # type: ignore[arg-type]
        self.who.receipt = insurer.app().receipts.request(self.who.link, **asked).receipt
        story.settle()

    def does(self, call: Callable[..., Receipt], **how: Any) -> Receipt:
        """Take a step at the gym, and let the insurer hear of it."""
        done = call(self.who.receipt, subject=self.who.at_gym, **how)
        self.story.settle()
        return done

    def refused(self, call: Callable[..., Receipt], **how: Any) -> str:
        """Try a step that must leave everything as it was; return why it was refused."""
        with nothing_changes(self.who.gym, self.who.insurer), pytest.raises(Conflict) as refused:
            call(self.who.receipt, subject=self.who.at_gym, **how)
        return refused.value.code

    def sent(self, step: str, token: str) -> str:
        """Send what the gym signed; return why the insurer refuses it, and changes nothing."""
        with nothing_changes(self.who.insurer):
            path = f"/peer/v1/receipts/{step}"
            answer = partner(self.who.gym, self.who.insurer, path, PeerSigned(token=token))
        return str(answer.json()["code"])

    def shown(self) -> tuple[str, int]:
        """Return what both ends hold: state and version."""
        (one,) = {(each.state, each.version) for each in (self.at(self.who.gym), self.at(self.who.insurer))}
        return one

    def at(self, company: Company) -> Receipt:
        return company.app().receipts.get(self.who.receipt)

    def evidence_at_insurer(self) -> dict[str, Any]:
        mine = RECEIPTS.c.id == self.who.receipt
        (row,) = self.who.insurer.node.rows(select(RECEIPTS.c.evidence).where(mine))
        kept: dict[str, Any] = json.loads(row.evidence)
        return kept

    def records(self) -> list[dict[str, Any]]:
        """Return what was sealed of this person's acts."""
        acts = self.who.gym.app().acts.find(self.who.at_gym).acts
        return [json.loads(from_base64url(each.opening.payload)) for each in acts]


OF_AGE_S = at("2027-09-01 00:00")
YES = evidence()


def club(story: Town) -> Person:
    """Ana, Ben and Dov hold one account, and two of them have given."""
    made = Person(story, "joint", ("ana", "ben", "dov"), authority=CLUB)
    made.does(made.calls.approve, evidence=YES, by="ana")
    made.does(made.calls.give, evidence=YES, by="ben")
    return made


def test_holders_renew_as_they_gave_and_no_approval_counts_twice_or_over_a_pause(story: Town) -> None:
    held = club(story)
    calls = held.calls
    assert held.refused(calls.renew, evidence=YES) == "not_authorised"
    assert held.refused(calls.renew, evidence=YES, by="ben") == "approval_missing"
    held.does(calls.approve, evidence=YES, by="ana", step="renew")
    held.does(calls.pause, by="dov")
    assert held.refused(calls.renew, evidence=YES, by="ben") == "approval_missing"
    for _ in range(2):
        held.does(calls.approve, evidence=YES, by="ana", step="renew")
    assert held.refused(calls.renew, evidence=YES, by="ana") == "approval_missing"
    assert held.does(calls.renew, evidence=YES, by="ben").state == "renewed"
    assert held.shown() == ("renewed", 1)
    kinds = ["approve", "give", "approve", "pause", "approve", "renew"]
    assert [(each["kind"], each["by"]) for each in held.records()] == list(
        zip(kinds, ("ana", "ben", "ana", "dov", "ana", "ben"), strict=True)
    )
    kept = [each.commitment for each in held.who.gym.app().acts.find(held.who.at_gym).acts]
    seen = held.evidence_at_insurer()
    assert (seen["approvals"], seen["record"]) == ([{"grade": "app_asserted", "record": kept[4]}], kept[5])
    assert held.refused(calls.renew, evidence=YES, by="ben") == "approval_missing"


def test_holders_give_a_next_version_together_and_approve_exactly_that_one(story: Town) -> None:
    held = club(story)
    calls, insurer = held.calls, held.who.insurer.app().receipts

    def asked() -> None:
        insurer.request_version(held.who.receipt)
        story.settle()

    asked()
    held.does(calls.approve, evidence=YES, by="ana", step="renew")
    assert held.refused(calls.give_version, evidence=YES, by="ben") == "approval_missing"
    held.does(calls.approve, evidence=YES, by="ana", step="give_version")
    assert held.refused(calls.renew, evidence=YES, by="ana") == "approval_missing"
    assert held.refused(calls.refuse_version, by="eve") == "not_authorised"
    held.does(calls.refuse_version, by="dov")
    asked()  # in the same second, and so in the same words
    assert held.refused(calls.give_version, evidence=YES, by="ben") == "approval_missing"
    held.does(calls.approve, evidence=YES, by="ana", step="give_version")
    assert held.refused(calls.give_version, evidence=YES) == "not_authorised"
    assert held.does(calls.give_version, evidence=YES, by="ben").version == 2
    assert held.shown() == ("renewed", 2)
    assert len(held.evidence_at_insurer()["approvals"]) == 1


def test_one_holder_takes_a_part_back_and_does_not_confirm_or_resume_for_the_others(story: Town) -> None:
    held = club(story)
    calls = held.calls
    confirm_by = held.at(held.who.gym).confirm_by
    story.clock.at_s += 60
    assert held.refused(calls.narrow, evidence=YES, by="eve", rung="token") == "not_authorised"
    held.does(calls.narrow, evidence=YES, by="dov", rung="token")
    assert held.shown() == ("renewed", 2)
    assert held.at(held.who.gym).confirm_by == confirm_by
    held.does(calls.pause, by="ana")
    assert held.refused(calls.narrow, evidence=YES, by="dov", without_classes=["visit"]) == "approval_missing"
    assert held.shown() == ("paused", 2)


def test_an_insurer_takes_no_yes_of_fewer_holders_than_it_asked_for(story: Town) -> None:
    held = Person(story, "joint", ("ana", "ben", "dov"), authority=CLUB)
    terms = parse_terms(held.at(held.who.gym).terms)
    alone = GivenReceipt(terms=terms, evidence=YES, at=story.clock.at_s)
    assert held.sent("given", held.who.gym.node.signed(alone)) == "approval_missing"
    held.does(held.calls.approve, evidence=YES, by="ana")
    given = held.does(held.calls.give, evidence=YES, by="ben")
    again = RenewedReceipt(terms=terms, evidence=YES, renews=given.signed, at=story.clock.at_s)
    assert held.sent("renewed", held.who.gym.node.signed(again)) == "approval_missing"


@pytest.mark.long
def test_a_guardian_renews_and_the_child_is_heard_where_it_wants_less(story: Town) -> None:
    cleo = Person(story, "minor", ("ana",), authority=Authority(kind="guardian"), of_age_from=OF_AGE_S)
    calls = cleo.calls
    assert cleo.refused(calls.defer, by="eve") == "not_authorised"
    cleo.does(calls.defer)
    cleo.does(calls.give, evidence=YES, by="ana")
    cleo.does(calls.narrow, evidence=YES, rung="token")
    assert cleo.refused(calls.pause, by="eve") == "not_authorised"
    cleo.does(calls.pause)
    assert cleo.refused(calls.renew, evidence=YES) == "not_authorised"
    assert cleo.refused(calls.narrow, evidence=YES, without_classes=["visit"]) == "not_authorised"
    confirm_by = cleo.at(cleo.who.gym).confirm_by
    story.clock.at_s += 60
    cleo.does(calls.narrow, evidence=YES, by="ana", without_classes=["visit"])
    assert cleo.shown() == ("renewed", 3)
    assert cleo.at(cleo.who.gym).confirm_by == (confirm_by or 0) + 60


@pytest.mark.long
def test_a_companys_agent_acts_and_each_act_shows_who_did(story: Town) -> None:
    """SCENARIOS 2.16: every action shows agent and principal, to the company alone."""
    bakery = Person(story, "company", ("dov",), authority=Authority(kind="agent"))
    calls = bakery.calls
    bakery.does(calls.defer, by="dov")
    bakery.does(calls.give, evidence=CLERK, by="dov")
    bakery.does(calls.pause, by="dov")
    bakery.does(calls.renew, evidence=CLERK, by="dov")
    assert bakery.evidence_at_insurer()["grade"] == "clerk"
    bakery.does(calls.narrow, evidence=CLERK, by="dov", rung="token")
    bakery.who.insurer.app().receipts.request_version(bakery.who.receipt)
    story.settle()
    bakery.does(calls.give_version, evidence=CLERK, by="dov")
    bakery.does(calls.withdraw, by="dov")
    told = bakery.records()
    kinds = ["defer", "give", "pause", "renew", "narrow", "give", "stop"]
    assert [(each["kind"], each["by"]) for each in told] == [(kind, "dov") for kind in kinds]
    assert [each.get("agent") for each in told] == [None, *["staff-12" if k in GIVEN else None for k in kinds[1:]]]


GIVEN = ("give", "renew", "narrow")
ANA_KEY = ed25519_key("ana says yes again")


def by_wallet(message: bytes, key: Any = ANA_KEY) -> Evidence:
    """Return the evidence of a yes that Ana's wallet signed."""
    return Evidence(
        grade="wallet_key",
        app="app",
        login="aal2",
        public_key=to_base64url(key.public_key().public_bytes_raw()),
        signature=to_base64url(key.sign(message)),
    )


def test_a_wallet_signs_each_yes_anew_and_one_that_was_seen_is_taken_by_nobody(story: Town) -> None:
    ana = Person(story)
    calls = ana.calls
    terms = parse_terms(ana.at(ana.who.gym).terms)
    assert ana.at(ana.who.gym).signed == ""
    first = by_wallet(evidence_message(terms))
    given = ana.does(calls.give, evidence=first)
    assert ana.refused(calls.renew, evidence=first) == "signature_invalid"
    second = by_wallet(evidence_message(terms, renews=given.signed))
    renewed = ana.does(calls.renew, evidence=second)
    assert ana.shown() == ("renewed", 1)
    assert ana.refused(calls.renew, evidence=second) == "signature_invalid"

    less = narrowed(terms, rung="token")
    assert ana.refused(calls.narrow, evidence=by_wallet(evidence_message(less)), rung="token") == "signature_invalid"
    ana.does(calls.narrow, evidence=by_wallet(evidence_message(less, renews=renewed.signed)), rung="token")
    assert ana.shown() == ("renewed", 2)


@pytest.mark.parametrize("seen_before", ["the giving", pytest.param("the last renewal", marks=pytest.mark.long)])
def test_a_gym_that_shows_a_wallets_signature_again_is_refused_by_the_insurer(story: Town, seen_before: str) -> None:
    ana, key = Person(story), ed25519_key(f"wallet, {seen_before}")
    terms = parse_terms(ana.at(ana.who.gym).terms)
    seen = by_wallet(evidence_message(terms), key)
    given = ana.does(ana.calls.give, evidence=seen)
    if seen_before == "the last renewal":
        seen = by_wallet(evidence_message(terms, renews=given.signed), key)
        ana.does(ana.calls.renew, evidence=seen)
    (row,) = ana.who.gym.node.rows(select(RECEIPTS.c.signed).where(RECEIPTS.c.id == ana.who.receipt))
    again = RenewedReceipt(terms=terms, evidence=seen, renews=signed_digest(row.signed), at=story.clock.at_s)
    assert ana.sent("renewed", ana.who.gym.node.signed(again)) == "signature_invalid"
