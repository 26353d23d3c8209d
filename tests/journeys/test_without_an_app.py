"""People without an app: Dov has a letter, a phone and a desk; what he may do there, and what nobody does for him."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import stored_of
from sqlalchemy import select
from town import Company, Membership, Town, agree, consent, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict, NodeFailed, NotFound
from tallystick.wire import Served
from tallystick_consent.receipts.channels import CODE_LIFE_S, OPEN_MAX, TRIES_MAX
from tallystick_consent.receipts.receipt import Notice
from tallystick_ledger.encoding import from_base64url
from tallystick_node.flows.links.accepting import half_name
from tallystick_node.flows.links.offers import offer_digest
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.storage.tables import ACCEPTING, LETTERS, LINK_UNIQUE, LINKS, OFFERS

CLERK = {"channel": "phone", "agent": "staff-12"}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def companies(story: Town) -> tuple[Company, Company]:
    return story.companies["gym.example"], story.companies["insurer.example"]


def dov(story: Town, *, gave: bool = True) -> Membership:
    """Dov has linked, and has said yes or was asked."""
    person = link(*companies(story), at_gym="dov-at-gym", at_insurer="dov-at-ins", town=story)
    if gave:
        return consent(person, story)
    person.receipt = person.insurer.app().receipts.request(person.link).receipt
    story.settle()
    return person


def tell(person: Membership, kind: str, code: str, **more: str) -> Served:
    """Dov tells the code to a clerk, whose key vouches for nobody."""
    desk = person.gym.app(person.gym.key("desk:write")).desk
    return desk.serve(kind, subject=person.at_gym, code=code, **CLERK, **more)  # type: ignore[arg-type]


def refused_code(person: Membership, kind: str, code: str, **more: str) -> tuple[int, str, str]:
    with pytest.raises(Conflict) as refused:
        tell(person, kind, code, **more)
    return refused.value.status, refused.value.code, refused.value.problem


def assert_books_agree(story: Town) -> None:
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def test_a_code_by_letter_lets_him_see_word_for_word_and_stop(story: Town) -> None:
    person = dov(story)
    codes = [person.gym.app().desk.letter(person.at_gym).code for _ in range(2)]
    (shown,) = tell(person, "see", codes[0]).receipts
    assert isinstance(shown.notice, Notice)
    assert "they can take it that you did not reach 12 days" in shown.notice.silence
    stopped = tell(person, "stop", codes[1].lower().replace("-", " "), receipt=person.receipt)
    assert [each.state for each in stopped.receipts] == ["withdrawn"]
    story.settle()
    assert person.insurer.app().receipts.get(person.receipt).state == "withdrawn"
    see, stop = person.gym.app().acts.find(person.at_gym).acts
    record = json.loads(from_base64url(stop.opening.payload))
    assert (see.kind, stop.kind, record["channel"], record["agent"]) == ("see", "stop", "phone", "staff-12")
    assert b"staff-12" not in stored_of(person.gym) + stored_of(person.insurer)
    assert_books_agree(story)


def test_he_refuses_disputes_and_asks_to_be_erased(story: Town) -> None:
    person = dov(story, gave=False)
    codes = [person.gym.app().desk.letter(person.at_gym).code for _ in range(OPEN_MAX)]
    assert tell(person, "dispute", codes[0], receipt=person.receipt, words="I never trained there.").state == "open"
    assert tell(person, "refuse", codes[1], receipt=person.receipt).state == "done"
    assert tell(person, "erase", codes[2]).state == "open"
    acts = person.gym.app().acts.find(person.at_gym).acts
    assert [(each.kind, each.state) for each in acts] == [("dispute", "open"), ("refuse", "done"), ("erase", "open")]
    assert b"I never trained" not in stored_of(person.gym)
    story.settle()
    assert person.insurer.app().receipts.get(person.receipt).state == "refused"


def test_a_dispute_is_still_answered_where_the_insurers_customer_was_erased_meanwhile(story: Town) -> None:
    """Two disputes, one of them answered: at the gym Dov is still a customer, and the other waits for its answer."""
    person = dov(story)
    codes = [person.gym.app().desk.letter(person.at_gym).code for _ in range(2)]
    answered, waits = (tell(person, "dispute", code, receipt=person.receipt, words="Not mine.").act for code in codes)
    desk = person.gym.app().desk
    how = {"subject": person.at_gym, "outcome": "declined", "because": "right_as_recorded", "agent": "staff-12"}
    desk.answer(answered, **how)  # type: ignore[arg-type]
    person.insurer.app().subjects.erase(person.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    assert [(each.request, each.kind, each.receipt) for each in desk.requests().requests] == [(waits, "dispute", "")]
    assert [each.act for each in person.gym.app().acts.find(person.at_gym).acts] == [waits]
    assert desk.answer(waits, **how).state == "declined"  # type: ignore[arg-type]
    assert_books_agree(story)


def test_whatever_is_wrong_with_a_code_the_refusal_is_the_same_and_nothing_is_done(story: Town) -> None:
    person = dov(story)
    letters = [person.gym.app().desk.letter(person.at_gym) for _ in range(OPEN_MAX)]
    used, late, good = (each.code for each in letters)
    tell(person, "see", used)
    stop = {"receipt": person.receipt}
    refusals = {refused_code(person, "stop", used, **stop), refused_code(person, "stop", "0000-0000-0000", **stop)}
    stranger = Membership(person.gym, person.insurer, "nobody-at-gym", "nobody-at-ins")
    refusals.add(refused_code(stranger, "stop", good, **stop))
    story.clock.at_s = letters[0].expires_at
    assert letters[0].expires_at - CODE_LIFE_S < story.clock.at_s
    refusals.add(refused_code(person, "stop", late, **stop))
    assert len(refusals) == 1
    assert {code for _, code, _ in refusals} == {"code_refused"}
    assert person.gym.app().receipts.get(person.receipt).state == "given"


def test_after_five_wrong_codes_the_right_one_is_dead(story: Town) -> None:
    person = dov(story)
    wrong = "0000-0000-0000"
    first, second = (person.gym.app().desk.letter(person.at_gym).code for _ in range(2))
    for _ in range(TRIES_MAX - 1):
        refused_code(person, "see", wrong)
    tell(person, "see", first)
    refused_code(person, "see", wrong)
    assert refused_code(person, "see", second) == refused_code(person, "see", wrong)
    assert {row.state for row in person.gym.node.rows(select(LETTERS.c.state))} == {"used", "dead"}


def test_a_code_is_not_used_up_by_what_was_refused_and_is_kept_nowhere(story: Town) -> None:
    person = dov(story)
    letter = person.gym.app().desk.letter(person.at_gym, idempotency_key="one-letter")
    assert person.gym.app().desk.letter(person.at_gym, idempotency_key="one-letter") == letter
    with pytest.raises(NotFound):
        tell(person, "stop", letter.code, receipt=f"rcp_{'a' * 26}")
    with pytest.raises(Conflict) as refused:
        tell(person, "stop", letter.code, receipt=person.receipt, by="eve-at-gym")
    assert refused.value.code == "not_authorised"
    tell(person, "stop", letter.code, receipt=person.receipt)
    for code in (letter.code, letter.code.replace("-", "")):
        assert code.encode() not in stored_of(person.gym)


def test_a_customer_has_three_open_codes_and_no_more(story: Town) -> None:
    person = dov(story)
    for _ in range(OPEN_MAX):
        person.gym.app().desk.letter(person.at_gym)
    with pytest.raises(Conflict) as refused:
        person.gym.app().desk.letter(person.at_gym)
    assert refused.value.code == "limit_reached"


def bring(gym: Company, offer: str, *candidates: str) -> str:
    """Somebody brings an offer to the gym's desk; return the link, or the whole refusal."""
    try:
        links = gym.app(gym.key("desk:write", "links:write", "subject:assert")).links
        found = links.match(offer=offer, candidates=candidates, hint="member", login="aal2", channel="desk", agent="s")
    except Conflict as refused:
        return f"{refused.status} {refused}"
    assert found.state == "matched"
    return str(found.link)


def test_1_13_an_offer_by_letter_links_the_one_customer_it_can_be(story: Town) -> None:
    gym, insurer = companies(story)
    offer = insurer.app().links.offer(
        subject="dov-at-ins", partner=gym.host, program="ins-fit", hint="policy 21", login="aal2", channel="letter"
    )
    story.go_to("2027-03-20 09:00")
    made = bring(gym, offer.offer, "dov-at-gym", "dov-at-gym")
    assert gym.app().links.find_match(offer.offer).state == "matched"
    story.go_to("2027-03-27 09:00")
    assert insurer.app().links.confirm(offer).link == made
    story.settle()
    assert [row.state for row in gym.node.rows(select(LINKS.c.state))] == ["active"]
    assert [each.kind for each in gym.app().acts.find("dov-at-gym").acts] == ["match"]
    assert_books_agree(story)


def test_1_13_ambiguous_none_used_and_expired_are_refused_in_the_same_words(story: Town) -> None:
    gym, insurer = companies(story)

    def offer(subject: str) -> str:
        return (
            insurer.app()
            .links.offer(
                subject=subject, partner=gym.host, program="ins-fit", hint="policy 21", login="aal2", channel="letter"
            )
            .offer
        )

    several, none, used, expired = (offer(f"{name}-at-ins") for name in ("ana", "ben", "dov", "eve"))
    assert bring(gym, used, "dov-at-gym").startswith("lnk_")
    asked = len(gym.recorder.exchanges)
    refusals = [bring(gym, several, "ana-at-gym", "anna-at-gym"), bring(gym, none), bring(gym, used, "ben-at-gym")]
    refusals.append(bring(gym, several, "ana-at-gym"))  # no second guess
    assert len(gym.recorder.exchanges) == asked  # the partner hears nothing
    story.go_to("2027-03-29 10:00")
    refusals.append(bring(gym, expired, "eve-at-gym"))
    assert len(set(refusals)) == 1
    assert "offer_refused" in refusals[0]
    states = {each: gym.app().links.find_match(each).state for each in (several, none, used, expired)}
    assert list(states.values()) == ["ambiguous", "rejected", "matched", "rejected"]
    assert len(gym.node.rows(select(LINK_UNIQUE.c.unique))) <= 1
    assert len(insurer.node.rows(select(OFFERS.c.digest).where(OFFERS.c.state == "accepted"))) == 1


def test_a_link_by_letter_that_nobody_confirms_ends_and_may_be_tried_anew(story: Town) -> None:
    gym, insurer = companies(story)
    for _ in range(2):
        offer = insurer.app().links.offer(
            subject="dov-at-ins", partner=gym.host, program="ins-fit", hint="policy 21", login="aal2", channel="letter"
        )
        assert bring(gym, offer.offer, "dov-at-gym").startswith("lnk_")
        story.clock.at_s += 31 * 86_400
        story.settle()
        for company in (gym, insurer):
            assert {row.state for row in company.node.rows(select(LINKS.c.state))} == {"ended"}
    gym.app().desk.letter("dov-at-gym")
    assert gym.app().links.find_match(offer.offer).state == "matched"
    story.clock.at_s += 30 * 86_400
    story.settle()
    assert gym.node.rows(select(LETTERS.c.id)) == []
    with pytest.raises(NotFound):
        gym.app().links.find_match(offer.offer)


def test_an_offer_whose_taking_nobody_answered_is_forgotten_and_she_may_take_another(story: Town) -> None:
    """The insurer is away, and nothing else happens at either node that would wake them."""
    gym, insurer = companies(story)
    offer = insurer.app().links.offer(
        subject="ana-at-ins", partner=gym.host, program="ins-fit", hint="policy 21", login="aal2"
    )
    insurer.stop()
    with pytest.raises(NodeFailed):
        gym.app().links.accept(subject="ana-at-gym", offer=offer.offer, hint="member", login="aal2")
    half = half_name(offer_digest(offer.offer))
    assert gym.node.custody.find(half) is not None
    story.clock.at_s += 30 * 60
    gym.work()
    assert gym.node.custody.find(half) is None, "the half of a secret that will never be one"
    assert gym.node.rows(select(ACCEPTING)) == []
    insurer.start()
    insurer.work()
    assert insurer.node.rows(select(OFFERS)) == []
    assert link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story).link
