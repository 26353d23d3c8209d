"""One account of several, over two real nodes: a bank counts card payments for its customer's savings club; those of
which accounts is the customer's to pick, to take back, and to give again (SCENARIOS 2.10)."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hostile import nothing_changes, partner
from outside import stored_of
from rulebook import document
from signers import ed25519_key
from sqlalchemy import select
from town import Membership, Town, evidence, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import ConsentRefused, NodeProblem, NotFound
from tallystick.wire import NamedResource, PeerSigned
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.evidence import Evidence, evidence_message
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_consent.receipts.resources import Resource
from tallystick_consent.receipts.versions import picked
from tallystick_consent.signed import GivenReceipt, RenewedReceipt, signed_digest
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_node.storage.tables import RECEIPTS

CHECKING, SAVINGS, CARD = (
    NamedResource(kind="account", name=name) for name in ("checking-4821", "savings-7730", "card-9904")
)
CARD_PAYMENTS = {
    **fitness_program(),
    "title": "Fifteen card payments a month",
    "rule": document("card-purchases"),
    "data_classes": ["line"],
    "rung": "predicate",
}
YES = evidence()
_numbers = count(1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A bank and a savings club that have agreed on a program, in late February 2027; each test brings its own Ana.

    Their hosts have the names that the town knows: the bank is the gym's, the club the insurer's.
    """
    with town(tmp_path_factory.mktemp("town")) as made:
        club, bank = made.company("insurer.example"), made.company("gym.example")
        club.app().programs.publish(CARD_PAYMENTS)
        made.settle()
        bank.app().programs.accept("ins-fit", 1)
        made.settle()
        yield made
        assert_books_agree(made)


def asked(story: Town, **how: Any) -> Membership:
    """The club has asked Ana for her consent; the bank is the one that answers."""
    club, bank = story.companies["insurer.example"], story.companies["gym.example"]
    number = next(_numbers)
    ana = link(bank, club, at_gym=f"ana-{number}-at-bank", at_insurer=f"ana-{number}-at-club", town=story)
    ana.receipt = club.app().receipts.request(ana.link, **how).receipt
    story.settle()
    return ana


def given(story: Town, *resources: NamedResource) -> Membership:
    """Ana has given, of these accounts."""
    ana = asked(story)
    ana.gym.app().receipts.give(ana.receipt, subject=ana.at_gym, evidence=YES, resources=resources)
    story.settle()
    return ana


def pays(ana: Membership, account: NamedResource, day: str, *, times: int = 1) -> None:
    """Ana pays with the card of an account."""
    for _ in range(times):
        data = {
            "line": f"line-{next(_numbers)}",
            "account": account.name,
            "on": day,
            "posted_at": f"{day}T12:00:00-04:00",
            "amount": -1_200,
            "asset": "USD/2",
            "category": "card",
        }
        ana.gym.app().events.record(subject=ana.at_gym, type="line.posted", data=data)


def names(ana: Membership, *resources: NamedResource) -> tuple[Resource, ...]:
    """Return how the link calls accounts; the bank's key for such names is made the first time."""
    found = ana.gym.app().receipts.resources(ana.receipt, subject=ana.at_gym, resources=resources)
    return found.resources


def at_both_ends(ana: Membership) -> tuple[str, Terms]:
    """Return what both ends hold: state and terms."""
    shown = [end.app().receipts.get(ana.receipt) for end in (ana.gym, ana.insurer)]
    (one,) = {(each.state, each.version, parse_terms(each.terms).digest()) for each in shown}
    return one[0], parse_terms(shown[0].terms)


def about(ana: Membership) -> set[Resource]:
    return set(at_both_ends(ana)[1].resources or ())


def decisions(ana: Membership) -> list[tuple[str, str, int]]:
    found = ana.gym.app().decisions.find(ana.at_gym).decisions
    return [(each.period, each.outcome, each.counted) for each in found]


def told(ana: Membership) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return what the club reads of each version."""
    found = ana.insurer.app().receipts.versions(ana.receipt).versions
    return [(each.version, each.state, each.difference) for each in found]


def assert_books_agree(story: Town) -> None:
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def test_2_10_ana_removes_one_account_and_the_club_is_told_which_left(story: Town) -> None:
    ana = given(story, CHECKING, SAVINGS)
    checking, savings = names(ana, CHECKING, SAVINGS)
    assert about(ana) == {checking, savings}
    story.go_to("2027-04-02 10:00")
    for account in (CHECKING, SAVINGS):
        pays(ana, account, "2027-03-10", times=8)
    with pytest.raises(ConsentRefused) as refused:
        pays(ana, CARD, "2027-03-10")
    assert refused.value.code == "receipt_missing"
    story.go_past_release("2027-04-04 00:00")
    assert decisions(ana)[1:] == [("2027-03", "issued", 16)]

    for account in (CHECKING, SAVINGS):
        pays(ana, account, "2027-04-03", times=8)
    less = ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=YES, without_resources=[CHECKING])
    assert (less.state, less.version) == ("renewed", 2)
    with pytest.raises(ConsentRefused):
        pays(ana, CHECKING, "2027-04-03")
    story.settle()
    assert about(ana) == {savings}
    assert told(ana) == [(1, "superseded", ()), (2, "renewed", (f"No longer: account {checking.id}.",))]
    story.go_to("2027-05-04 00:00")
    assert decisions(ana)[2:] == [("2027-04", "not_reached", 8)]
    assert len(list(ana.insurer.app().claims.each())) == 1

    wire = b"".join(e.request + e.response for c in story.companies.values() for e in c.recorder.exchanges)
    for account in (CHECKING, SAVINGS, CARD):
        for seen in (wire, stored_of(ana.gym), stored_of(ana.insurer)):
            assert account.name.encode() not in seen


def test_an_answer_that_waits_is_not_told_once_an_account_it_may_rest_on_was_taken_out(story: Town) -> None:
    ana = given(story, CHECKING, SAVINGS)
    story.go_to("2027-06-02 10:00")
    for account in (CHECKING, SAVINGS):
        pays(ana, account, "2027-05-10", times=8)
    told_before = len(list(ana.insurer.app().claims.each()))
    story.go_to("2027-06-04 00:00")
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=YES, without_resources=[CHECKING])
    story.settle()
    story.go_past_release("2027-06-06 00:00")
    states = {claim.period: claim.state for claim in ana.gym.app().claims.each()}
    assert states["2027-05"] == "withheld"
    assert len(list(ana.insurer.app().claims.each())) == told_before
    assert_books_agree(story)


def test_an_account_comes_back_or_is_added_only_where_the_club_asks_and_ana_gives(story: Town) -> None:
    ana = given(story, CHECKING)
    bank, club = ana.gym.app().receipts, ana.insurer.app().receipts
    checking, savings = names(ana, CHECKING, SAVINGS)
    club.request_version(ana.receipt)
    story.settle()
    assert parse_terms(bank.versions(ana.receipt).versions[1].terms).resources == (checking,)
    with nothing_changes(ana.gym), pytest.raises(NodeProblem) as refused:
        bank.give_version(ana.receipt, subject=ana.at_gym, evidence=YES, resources=[CHECKING, SAVINGS])
    assert refused.value.code == "version_widens"
    bank.refuse_version(ana.receipt, subject=ana.at_gym)
    story.settle()

    club.request_version(ana.receipt, resources="any")
    story.settle()
    last = bank.versions(ana.receipt).versions[-1]
    assert last.difference == ("New: all there is, and no longer single resources alone.",)
    bank.give_version(ana.receipt, subject=ana.at_gym, evidence=YES, resources=[SAVINGS, CHECKING])
    story.settle()
    assert about(ana) == {checking, savings}
    assert told(ana)[-1] == (2, "renewed", (f"New: account {savings.id}.",))


def test_a_bank_that_adds_an_account_by_itself_or_takes_one_out_in_silence_is_refused(story: Town) -> None:
    ana = given(story, CHECKING, SAVINGS)
    _, terms = at_both_ends(ana)
    (row,) = ana.gym.node.rows(select(RECEIPTS).where(RECEIPTS.c.id == ana.receipt))

    def refused(terms: Terms) -> str:
        renewed = RenewedReceipt(terms=terms, evidence=YES, renews=signed_digest(row.signed), at=story.clock.at_s)
        return sent(ana, "renewed", ana.gym.node.signed(renewed))

    following = {**terms.document(), "version": 2, "previous": terms.digest(), "resources": None}
    everything = parse_terms(following)
    assert refused(everything) == "version_widens"
    assert refused(picked(everything, names(ana, CHECKING, SAVINGS, CARD))) == "version_widens"
    assert refused(picked(terms, names(ana, CHECKING))) == "receipt_malformed"  # less, but no next version


def test_a_giving_may_pick_accounts_and_change_nothing_else(story: Town) -> None:
    ana = asked(story)
    terms = parse_terms(ana.gym.app().receipts.get(ana.receipt).terms)
    changed = picked(parse_terms({**terms.document(), "retention_s": terms.retention_s + 1}), names(ana, CHECKING))
    given = GivenReceipt(terms=changed, evidence=YES, at=story.clock.at_s)
    assert sent(ana, "given", ana.gym.node.signed(given)) == "receipt_malformed"


def sent(ana: Membership, step: str, token: str) -> str:
    """Send what the bank signed; return why the club refuses it, and changes nothing."""
    with nothing_changes(ana.insurer):
        answer = partner(ana.gym, ana.insurer, f"/peer/v1/receipts/{step}", PeerSigned(token=token))
    return str(answer.json()["code"])


@pytest.mark.long
def test_while_the_club_is_away_two_ledgers_that_differ_by_what_was_picked_still_agree(story: Town) -> None:
    ana = asked(story)
    ana.insurer.stop()
    ana.gym.app().receipts.give(ana.receipt, subject=ana.at_gym, evidence=YES, resources=[CHECKING])
    ana.gym.work()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings
    ana.insurer.start()
    story.clock.at_s += 3_600
    story.settle()
    assert at_both_ends(ana)[0] == "given"


@pytest.mark.long
def test_a_wallet_signs_what_was_picked_and_holders_approve_exactly_that(story: Town) -> None:
    key = ed25519_key("wallet of ana")

    def signed(over: Terms) -> Evidence:
        public, signature = key.public_key().public_bytes_raw(), key.sign(evidence_message(over))
        told = {"public_key": to_base64url(public), "signature": to_base64url(signature)}
        return Evidence.model_validate({"grade": "wallet_key", "app": "app", "login": "aal2", **told})

    ana = asked(story, authority=Authority(kind="joint", needed=2))
    ana.gym.office().standings.record(ana.at_gym, kind="joint", speakers=["ana", "ben"], needed=2)
    calls = ana.gym.app().receipts
    terms = parse_terms(calls.get(ana.receipt).terms)
    picks = picked(terms, names(ana, SAVINGS))

    def refused(seen: Evidence, *resources: NamedResource) -> str:
        with nothing_changes(ana.gym), pytest.raises(NodeProblem) as refused:
            calls.give(ana.receipt, subject=ana.at_gym, evidence=seen, by="ana", resources=resources or None)
        return refused.value.code

    calls.approve(ana.receipt, subject=ana.at_gym, evidence=YES, by="ben", resources=[CHECKING])
    assert refused(signed(picks), SAVINGS) == "approval_missing"
    calls.approve(ana.receipt, subject=ana.at_gym, evidence=YES, by="ben", resources=[SAVINGS])
    assert refused(signed(terms)) == "approval_missing"
    assert refused(signed(terms), SAVINGS) == "signature_invalid"
    calls.give(ana.receipt, subject=ana.at_gym, evidence=signed(picks), by="ana", resources=[SAVINGS])
    story.settle()
    assert about(ana) == set(names(ana, SAVINGS))


@pytest.mark.long
def test_what_cannot_be_named_or_taken_out_is_refused(story: Town) -> None:
    ana, club_7 = asked(story), NamedResource(kind="facility", name="club-7")
    calls = ana.gym.app().receipts
    assert len(names(ana, CHECKING)) == 1

    def refused(**how: Any) -> str:
        with nothing_changes(ana.gym, ana.insurer), pytest.raises(NodeProblem) as refused:
            calls.narrow(ana.receipt, subject=ana.at_gym, evidence=YES, **how)
        return refused.value.code

    with nothing_changes(ana.gym), pytest.raises(NodeProblem) as unknown:
        calls.give(ana.receipt, subject=ana.at_gym, evidence=YES, resources=[CHECKING, club_7])
    assert unknown.value.code == "resource_unknown"
    calls.give(ana.receipt, subject=ana.at_gym, evidence=YES)
    story.settle()
    assert at_both_ends(ana)[1].resources is None
    assert refused(without_resources=[CHECKING]) == "resources_unnamed"
    calls.narrow(ana.receipt, subject=ana.at_gym, evidence=YES, resources=[CHECKING])
    story.settle()
    assert refused(without_resources=[CHECKING]) == "receipt_malformed"
    assert refused(resources=[CHECKING, SAVINGS]) == "version_widens"
    with pytest.raises(BadInput):
        calls.approve(ana.receipt, subject=ana.at_gym, evidence=YES, by="ben", step="renew", resources=[CHECKING])
    with pytest.raises(NotFound):
        calls.resources(ana.receipt, subject="ben-at-bank", resources=[CHECKING])
    calls.withdraw(ana.receipt, subject=ana.at_gym)
    with pytest.raises(NotFound):  # with the link its names are gone
        calls.resources(ana.receipt, subject=ana.at_gym, resources=[CHECKING])
