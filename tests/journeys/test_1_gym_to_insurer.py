"""Journey 1: a gym tells an insurer whether, and nothing else, and the insurer rewards its customer (SCENARIOS 1)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from outside import stored_of
from sqlalchemy import select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, entries, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict, ConsentRefused, NodeProblem
from tallystick.journeys import visit
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.signed import Acceptance, open_object
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.entry import parse_entry
from tallystick_node.flows.claims.issuing import claim_accepted
from tallystick_node.storage.tables import CLAIMS, DECISIONS, EVENTS, HEADS, LINKS

MARCH_CLOSES = "2027-04-16 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def ana(story: Town) -> Membership:
    """Ana has linked her membership and policy, said yes, and is confirmed as a member on 1 March."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    return person


def rewards(person: Membership) -> list[tuple[int, str, str]]:
    """Return amount, state and period of each of the person's rewards."""
    found = person.insurer.app().rewards.find(person.at_insurer).rewards
    return [(each.amount, each.state, each.period) for each in found]


def decision(person: Membership, period: str = "2027-03") -> tuple[str, int, dict[str, int]]:
    """Return what the gym tells the person it decided about a month: outcome, what counted, what did not."""
    found = person.gym.app().decisions.find(person.at_gym).decisions
    (only,) = [each for each in found if each.period == period]
    return only.outcome, only.counted, only.not_counted


def claims_sent(company: Company) -> int:
    """Return how many claims went over the wire."""
    return sum(exchange.path == "/peer/v1/claims" for exchange in company.recorder.exchanges)


def assert_books_agree(story: Town) -> None:
    """Both ledgers hold, alone and against each other."""
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def test_1_01_twelve_days_bring_one_claim_one_credit_and_one_fee(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to("2027-04-15 23:59")
    assert claims_sent(person.gym) == 0
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert claims_sent(person.gym) == 1
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert [each.state for each in person.insurer.app().claims.each()] == ["accepted"]
    assert person.insurer.app().programs.budget("ins-fit", "2027-03").remaining == 8000
    assert decision(person) == ("issued", 12, {"too_short": 1})
    assert person.insurer.node.rows(select(EVENTS)) == []
    assert_books_agree(story)


def test_1_02_two_swipes_and_a_geofence_record_are_one_day(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day != 22})
    story.go_to("2027-03-31 12:00")
    person.visit("2027-03-22 18:00", 35)
    person.visit("2027-03-22 19:05", 30)
    person.visit("2027-03-22 18:01", 93, source="geofence")
    story.go_past_release(MARCH_CLOSES)
    assert decision(person) == ("issued", 14, {"too_short": 1})
    assert rewards(person) == [(2000, "posted", "2027-03")]


def test_1_03_eleven_days_and_nothing_crosses(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day != 25})
    story.go_to("2027-04-15 23:00")
    before = len(person.gym.recorder.exchanges)
    story.go_past_release(MARCH_CLOSES)
    assert len(person.gym.recorder.exchanges) == before
    assert rewards(person) == []
    assert person.insurer.node.rows(select(CLAIMS)) == []
    assert decision(person) == ("not_reached", 11, {"too_short": 1})
    assert_books_agree(story)


def test_1_05_a_visit_on_the_last_evening_counts_for_march(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day != 25})
    story.clock.at_s = at("2027-03-31 23:51")
    person.visit("2027-03-31 23:10", 40)
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == [(2000, "posted", "2027-03")]


def test_1_05_a_visit_over_midnight_counts_once_for_march(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day != 25})
    story.clock.at_s = at("2027-04-01 00:21")
    person.visit("2027-03-31 23:45", 35)
    person.confirm_membership("2027-04-01 00:20")
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == [(2000, "posted", "2027-03")]
    story.go_to("2027-05-16 00:00")
    assert decision(person, "2027-04") == ("not_reached", 0, {"outside_period": 1})


def test_a_membership_that_was_confirmed_once_holds_until_it_ends(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.train(story, ANA_MARCH, month="2027-04")
    story.go_past_release("2027-05-16 00:00")
    assert rewards(person) == [(2000, "posted", "2027-03"), (2000, "posted", "2027-04")]


def test_1_08_after_withdrawal_nothing_is_evaluated_and_the_insurer_acknowledges(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day <= 19})
    story.go_to("2027-03-20 12:00")
    stopped = person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    assert (stopped.state, stopped.end_acknowledged_at) == ("withdrawn", None)
    story.settle()
    assert person.gym.app().receipts.get(person.receipt).end_acknowledged_at == at("2027-03-20 12:00")
    assert person.insurer.app().receipts.get(person.receipt).state == "withdrawn"
    with pytest.raises(ConsentRefused) as refused:
        person.visit("2027-03-20 08:00", 60)
    assert refused.value.code == "receipt_withdrawn"
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == []
    assert claims_sent(person.gym) == 0
    assert person.gym.node.rows(select(DECISIONS)) == []
    assert person.gym.node.custody.find(f"link/{person.link}") is None
    assert person.insurer.node.custody.find(f"link/{person.link}") is None
    assert_books_agree(story)


def settle_earned(person: Membership) -> None:
    stopped = person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym, earned="settle_earned")
    assert stopped.state == "withdrawn"


def secrets_of(person: Membership) -> int:
    """Return at how many ends the secret of the link is kept."""
    return sum(end.node.custody.find(f"link/{person.link}") is not None for end in (person.gym, person.insurer))


def test_1_08_settled_with_ten_days_there_is_nothing_to_settle(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day <= 19})
    story.go_to("2027-03-20 12:00")
    settle_earned(person)
    story.settle()
    assert person.gym.node.rows(select(CLAIMS)) == []
    assert person.gym.node.rows(select(DECISIONS)) == []
    assert secrets_of(person) == 0
    assert person.gym.app().receipts.get(person.receipt).end_acknowledged_at == at("2027-03-20 12:00")
    story.go_to("2027-04-18 00:00")
    assert rewards(person) == []
    assert claims_sent(person.gym) == 0
    assert_books_agree(story)


def steps_of(company: Company) -> list[str]:
    """Return the receipt's steps and the answers of a company's log, in order."""
    found: list[str] = []
    for index in range(company.node.rows(select(HEADS.c.size))[0].size):
        entry = parse_entry(company.app().proofs.get(index).entry.encode())
        if entry.kind in ("receipt", "disclosure", "acceptance"):
            found.append(f"{entry.kind} {entry.body.get('state', '')}".strip())
    return found


def test_1_08_settled_with_twelve_days_the_claim_is_logged_first_leaves_after_the_close_and_is_paid(
    story: Town,
) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    settle_earned(person)
    story.settle()
    assert [each.app().receipts.get(person.receipt).state for each in (person.gym, person.insurer)] == ["withdrawn"] * 2
    said = [entries(each, "receipt")[-1].body["earned"] for each in (person.gym, person.insurer)]
    assert said == ["settle_earned"] * 2, "both ledgers say what she chose"
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    assert secrets_of(person) == 2
    with pytest.raises(ConsentRefused):
        person.visit("2027-03-26 08:00", 60)
    story.go_to("2027-04-15 23:59")
    assert claims_sent(person.gym) == 0
    story.go_to(MARCH_CLOSES)
    story.go_to("2027-04-18 00:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert secrets_of(person) == 0
    for company in (person.gym, person.insurer):
        (claim,) = company.node.rows(select(CLAIMS))
        assert (claim.token, claim.salt, claim.answer) == ("", "", "")
    assert steps_of(person.gym)[-4:] == [
        "disclosure issued",
        "receipt withdrawn",
        "receipt withdrawn",
        "disclosure delivered",
    ]
    assert steps_of(person.insurer)[-2:] == ["receipt withdrawn", "acceptance"]
    assert_books_agree(story)


def test_1_08_what_was_earned_and_had_not_left_is_settled_too(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.insurer.stop()
    story.go_to(MARCH_CLOSES)
    story.go_to("2027-04-18 00:00")
    settle_earned(person)
    person.insurer.start()
    story.go_to("2027-04-18 18:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert secrets_of(person) == 0
    assert_books_agree(story)


@pytest.mark.long
def test_1_08_what_is_settled_and_never_arrives_runs_out_and_the_secret_goes_at_both_ends(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    settle_earned(person)
    story.settle()
    person.insurer.stop()
    story.go_to("2027-05-15 23:59")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    assert person.gym.node.custody.find(f"link/{person.link}") is not None
    story.go_to("2027-05-17 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["expired"]
    assert person.gym.node.custody.find(f"link/{person.link}") is None
    person.insurer.start()
    story.go_to("2027-05-18 00:00")
    assert secrets_of(person) == 0
    assert rewards(person) == []
    assert_books_agree(story)


def test_1_08_a_settled_claim_whose_answer_was_lost_is_tried_again_and_paid_once(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    settle_earned(person)
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_to(MARCH_CLOSES)
    story.go_to("2027-04-18 00:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-04-19 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert_books_agree(story)


@pytest.mark.long
def test_1_08_a_settled_claim_whose_answer_was_lost_is_asked_after_also_when_it_ran_out(story: Town) -> None:
    """The link has ended by then: the insurer took the claim, paid, and tells the gym so; the gym is paid as well."""
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    settle_earned(person)
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_to(MARCH_CLOSES)
    story.go_to("2027-04-18 00:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    person.insurer.stop()
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-06-17 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    assert secrets_of(person) == 0
    person.insurer.start()
    story.go_to("2027-06-17 01:00")
    (claim,) = person.gym.node.rows(select(CLAIMS))
    assert (claim.state, claim.token, claim.answer) == ("delivered", "", "")
    assert [entry.body["amount"] for entry in entries(person.gym, "transfer")] == [100]
    assert_books_agree(story)


@pytest.mark.long
def test_1_08_settled_in_december_and_paid_in_the_next_years_log(story: Town) -> None:
    person = ana(story)
    story.go_to("2027-12-01 10:00")
    person.train(story, ANA_MARCH, month="2027-12")
    story.go_to("2027-12-28 12:00")
    settle_earned(person)
    story.settle()
    story.go_to("2028-01-05 12:00")
    story.go_to("2028-01-16 00:00")
    story.go_to("2028-01-18 00:00")
    assert rewards(person) == [(2000, "posted", "2027-12")]
    assert secrets_of(person) == 0
    assert_books_agree(story)


def test_1_07_a_visit_uploaded_before_the_close_counts_and_after_it_is_refused(story: Town) -> None:
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day != 19})
    story.go_to("2027-04-10 09:00")
    person.visit("2027-03-19 18:00", 47)
    story.go_to(MARCH_CLOSES)
    with pytest.raises(Conflict) as refused:
        person.visit("2027-03-30 18:00", 47)
    assert refused.value.code == "period_closed"
    story.go_to("2027-04-18 00:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert decision(person) == ("issued", 12, {"too_short": 1})


def test_1_08_a_claim_that_has_not_left_is_withheld_by_the_withdrawal(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_to(MARCH_CLOSES)
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    assert [each.state for each in person.gym.app().claims.each()] == ["withheld"]
    story.go_to("2027-04-17 00:00")
    assert claims_sent(person.gym) == 0
    assert rewards(person) == []
    assert person.insurer.node.rows(select(CLAIMS)) == []
    assert_books_agree(story)


def test_1_09_a_withdrawal_after_the_credit_leaves_the_credit_and_drops_the_claim(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    story.go_past_release(MARCH_CLOSES)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.settle()
    assert rewards(person) == [(2000, "posted", "2027-03")]
    (kept,) = person.insurer.node.rows(select(CLAIMS))
    assert (kept.token, kept.salt, kept.state) == ("", "", "accepted")
    (issued,) = person.gym.node.rows(select(CLAIMS))
    assert (issued.token, issued.salt, issued.answer, issued.state) == ("", "", "", "delivered")
    assert_books_agree(story)


def test_1_10_another_club_of_the_same_person_is_answered_alike_and_pays_nothing_more(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym, track, insurer = (story.company(f"{name}.example") for name in ("gym", "track", "insurer"))
        agree(story, insurer, gym, track)
        people = [
            consent(link(club, insurer, at_gym="ana-here", at_insurer="ana-at-ins", town=story), story)
            for club in (gym, track)
        ]
        story.go_to("2027-03-01 10:00")
        for person in people:
            person.confirm_membership("2027-03-01 09:00")
        for day, minutes in ANA_MARCH.items():
            for person in people:
                person.train(story, {day: minutes})
        story.go_past_release(MARCH_CLOSES)
        assert rewards(people[0]) == [(2000, "posted", "2027-03")]
        assert [each.state for each in gym.app().claims.each()] == ["delivered"]
        assert [each.state for each in track.app().claims.each()] == ["delivered"]
        (why,) = insurer.app().decisions.why("ana-at-ins").explanations
        assert (why.kind, why.rule, why.told) == ("reward", "ins-fit@1", "visit.qualified_days(2027-03) >= 12")
        assert [(each.reason, each.count) for each in why.not_counted] == [("rewarded_already", 1)]
        assert_books_agree(story)


def test_1_13_one_membership_is_linked_once_and_the_refusal_says_no_more(story: Town) -> None:
    person = ana(story)
    gym, insurer = person.gym, person.insurer
    refusals: list[NodeProblem] = []

    def refused(at_insurer: str, at_gym: str, offer: str | None = None) -> None:
        if offer is None:
            offer = (
                insurer.app()
                .links.offer(subject=at_insurer, partner=gym.host, program="ins-fit", hint="policy", login="aal2")
                .offer
            )
        with pytest.raises(Conflict) as refusal:
            gym.app().links.accept(subject=at_gym, offer=offer, hint="membership", login="aal2")
        refusals.append(refusal.value)

    refused("ana-second-account", "ana-at-gym")
    refused("ben-at-ins", "ana-at-gym")
    used = insurer.app().links.offer(
        subject="cleo-at-ins", partner=gym.host, program="ins-fit", hint="policy", login="aal2"
    )
    gym.app().links.accept(subject="cleo-at-gym", offer=used.offer, hint="membership", login="aal2")
    refused("", "dov-at-gym", used.offer)
    late = insurer.app().links.offer(
        subject="eve-at-ins", partner=gym.host, program="ins-fit", hint="policy", login="aal2"
    )
    story.clock.at_s += 601
    refused("", "eve-at-gym", late.offer)
    refused("", "eve-at-gym", f"insurer.example~ins-fit~{'a' * 26}")
    said = {(each.code, each.status, each.problem, each.remedy) for each in refusals}
    assert len(said) == 1
    assert refusals[0].code == "offer_refused"


def test_1_16_an_insurer_that_was_down_gets_the_claim_once(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.insurer.stop()
    story.go_past_release(MARCH_CLOSES)
    for _hour in range(48):
        story.clock.at_s += 3600
        story.settle()
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    person.insurer.start()
    story.go_to("2027-04-19 02:00")
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert_books_agree(story)


def test_1_16_a_claim_that_expired_on_the_way_is_issued_anew_and_paid_once(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.insurer.stop()
    story.go_past_release(MARCH_CLOSES)
    story.go_to("2027-05-17 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued", "expired"]
    person.insurer.start()
    story.release()
    assert rewards(person) == [(2000, "posted", "2027-03")]
    old, new = person.gym.node.rows(select(CLAIMS.c.nullifier, CLAIMS.c.state).order_by(CLAIMS.c.number))
    assert (old.nullifier, old.state, new.state) == (new.nullifier, "expired", "delivered")
    assert_books_agree(story)


def test_an_answer_that_was_lost_is_given_again_like_the_first(story: Town) -> None:
    """The insurer took the claim, its answer never arrived, and the claim ran out: it is asked once more, and pays
    nothing more."""
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    person.gym.recorder.lose_answers_to = None
    person.insurer.stop()
    story.go_to("2027-06-17 00:00")  # what the insurer kept of its first answer is gone by then
    person.insurer.start()
    story.go_to("2027-06-17 01:00")
    assert ("2027-03", "delivered") in [(each.period, each.state) for each in person.gym.app().claims.each()]
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert_books_agree(story)


@pytest.mark.long
def test_an_insurer_that_names_a_fee_of_another_slot_or_another_sum_is_not_believed(story: Town) -> None:
    """April's answer was taken; what the insurer signs for it is not what it owes, and the gym books nothing by it."""
    person = ana(story)
    gym, insurer = person.gym.node, person.insurer.node
    person.train(story, ANA_MARCH)
    story.go_past_release(MARCH_CLOSES)
    person.train(story, dict.fromkeys(range(18, 30), 45), month="2027-04")
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release("2027-05-16 00:00")
    march, april = insurer.rows(select(CLAIMS.c.acceptance).order_by(CLAIMS.c.number))
    keys = gym.partners.live("insurer.example").ed25519("receipt")
    of_march, owed = (open_object(row.acceptance, Acceptance, keys=keys) for row in (march, april))
    for lie in ({"fee": of_march.fee}, {"fee_amount": 1}, {"fee": "", "fee_asset": "", "fee_amount": 0}):
        token = insurer.signed(owed.model_copy(update=lie))
        with pytest.raises(ClaimRejected, match="claim_mismatch"):
            gym.writer.write(lambda transaction, token=token: claim_accepted(gym, transaction, owed.claim, token))
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-05-18 00:00")
    assert [entry.body["transfer"] for entry in entries(person.gym, "transfer")] == [of_march.fee, owed.fee]
    assert_books_agree(story)


def test_1_16_a_claim_that_was_lost_on_the_way_is_issued_anew_once_the_insurer_says_so(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.gym.recorder.lose_requests_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    story.go_to("2027-05-17 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"], "it may have arrived"
    person.gym.recorder.lose_requests_to = None
    story.go_to("2027-05-17 01:00")
    story.release()
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered", "expired"]
    assert rewards(person) == [(2000, "posted", "2027-03")]
    assert_books_agree(story)


def test_an_answer_that_may_have_arrived_is_named_by_the_withdrawal_and_not_called_withheld(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    assert rewards(person) == [(2000, "posted", "2027-03")]
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-04-17 06:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    assert person.insurer.app().receipts.get(person.receipt).state == "withdrawn"
    assert_books_agree(story)


def test_the_budget_is_never_overdrawn(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    people = [
        consent(link(gym, insurer, at_gym=f"member-{n}", at_insurer=f"policy-{n}", town=story), story) for n in range(6)
    ]
    story.go_to("2027-03-01 10:00")
    story.clock.at_s = at("2027-03-31 23:00")
    for person in people:
        person.confirm_membership("2027-03-01 09:00")
        for day, minutes in ANA_MARCH.items():
            person.visit(f"2027-03-{day:02} 18:00", minutes)
    story.go_past_release(MARCH_CLOSES)
    states = sorted(state for person in people for _, state, _ in rewards(person))
    assert states == ["posted"] * 5 + ["waitlisted"]
    assert insurer.app().programs.budget("ins-fit", "2027-03").remaining == 0
    in_euro = {key: {**fitness_program()[key], "asset": "EUR/2"} for key in ("reward", "budget")}
    insurer.app().programs.publish({**fitness_program(), "version": 2, **in_euro, "fee": None})
    euro = insurer.app().programs.budget("ins-fit", "2027-03")
    assert (euro.asset, euro.remaining) == ("EUR/2", 10_000), "the next version's budget is another one"
    assert_books_agree(story)


def test_1_12_what_is_taken_back_pays_whoever_waited_longest(story: Town) -> None:
    """The budget is enough for one of three; the gym corrects a visit of the one who was paid."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    once = {**fitness_program()["rule"], "at_least": 1}
    small = {**fitness_program()["budget"], "amount": 2_000}
    insurer.app().programs.publish({**fitness_program(), "version": 2, "rule": once, "budget": small})
    story.settle()
    gym.app().programs.accept("ins-fit", 2)
    story.settle()
    people = [
        consent(link(gym, insurer, at_gym=f"member-{n}", at_insurer=f"policy-{n}", town=story), story) for n in range(3)
    ]
    story.clock.at_s = at("2027-03-31 23:00")
    visits = {person.receipt: person.visit("2027-03-05 18:00", 50) for person in people}
    for person in people:
        person.confirm_membership("2027-03-01 09:00")
    story.go_past_release(MARCH_CLOSES)
    taken = [each.receipt for each in insurer.app().claims.each()][::-1]
    first, second, third = (next(each for each in people if each.receipt == receipt) for receipt in taken)
    assert [rewards(each)[0][1] for each in (first, second, third)] == ["posted", "waitlisted", "waitlisted"]
    gym.app().events.correct(subject=first.at_gym, event=visits[first.receipt])
    story.release()
    assert [rewards(each)[0][1] for each in (first, second, third)] == ["reversed", "posted", "waitlisted"]
    assert insurer.app().programs.budget("ins-fit", "2027-03").remaining == 0
    assert_books_agree(story)


def test_a_subject_who_says_no_is_not_asked_again_and_nothing_leaves(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link)
    story.settle()
    (shown,) = gym.app().receipts.find(subject="ana-at-gym").receipts
    assert (shown.state, shown.partner_hint) == ("requested", "policy ending 21")
    assert "not reach 12 days" in shown.notice.silence
    gym.app().receipts.refuse(asked.receipt, subject="ana-at-gym")
    story.settle()
    assert insurer.app().receipts.get(asked.receipt).state == "refused"
    assert secrets_of(person) == 0, "what linked her is gone with it"
    for company in (gym, insurer):
        assert [row.state for row in company.node.rows(select(LINKS.c.state))] == ["ended"]
    again = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    assert again.link != person.link, "she may think again, and begins anew"
    assert_books_agree(story)


def test_an_event_recorded_is_proven_and_opens_its_commitment(story: Town) -> None:
    person = ana(story)
    story.clock.at_s = at("2027-03-01 22:00")
    event = person.gym.app().events.get(person.visit("2027-03-01 18:00", 55))
    assert b'"2027-03-01T18:00:00-05:00"' in from_base64url(event.opening.payload)
    assert event.receipt == person.receipt


def test_no_payload_lies_in_the_database_in_clear_and_a_repeated_request_still_gets_its_opening(story: Town) -> None:
    person = ana(story)
    story.clock.at_s = at("2027-03-01 22:00")
    began = datetime.fromisoformat("2027-03-01T18:00:00-05:00")
    kind, data = visit(
        facility="club-7", started_at=began, ended_at=began + timedelta(minutes=55), time_zone="America/New_York"
    )
    twice = [
        person.gym.app().events.record(subject=person.at_gym, type=kind, data=data, idempotency_key="turnstile-42")
        for _ in range(2)
    ]
    assert twice[0] == twice[1]
    person.gym.stop()
    stored = stored_of(person.gym)
    payload = from_base64url(twice[0].opening.payload)
    assert payload not in stored
    assert twice[0].opening.payload.encode() not in stored
    assert b"2027-03-01T18:00:00-05:00" not in stored
    person.gym.start()
