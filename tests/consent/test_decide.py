"""What may leave: every reason why not, alone and together; and never more than the receipt permits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import TERMS

from tallystick_consent.decide import Ask, Permit, Reason, Refusal, decide
from tallystick_consent.fields import RUNG_HEIGHT, RUNGS
from tallystick_consent.receipts.purposes import COVERED_BY
from tallystick_consent.receipts.receipt import Receipt, Terms
from tallystick_consent.receipts.states import ReceiptState

NOW_S = TERMS.valid_from_s + 86_400
GIVEN = Receipt(TERMS, ReceiptState.GIVEN, acknowledged=True)
ASK = Ask(
    issuer=TERMS.issuer,
    recipient=TERMS.recipient,
    program=TERMS.program,
    program_version=TERMS.program_version,
    purpose="dpv:PersonalisedBenefits",
    data_classes=frozenset({"visit"}),
    rung="predicate",
    events_from_s=TERMS.events_from_s,
    events_until_s=TERMS.events_from_s + 31 * 86_400,
)


def receipt(**changes: object) -> Receipt:
    """Return Ana's receipt with other terms."""
    return Receipt(Terms.model_validate({**TERMS.model_dump(), **changes}), ReceiptState.GIVEN, acknowledged=True)


def codes(answer: Permit | Refusal) -> tuple[str, ...]:
    return tuple(reason.code for reason in answer.reasons) if isinstance(answer, Refusal) else ()


def test_the_answer_may_leave() -> None:
    assert decide(ASK, GIVEN, now_s=NOW_S) == Permit(
        receipt=TERMS.receipt,
        version=1,
        data_classes=frozenset({"visit"}),
        events_from_s=ASK.events_from_s,
        events_until_s=ASK.events_until_s,
        rung="predicate",
    )


@pytest.mark.parametrize(
    ("ask", "held", "now_s", "code"),
    [
        (ASK, None, NOW_S, "receipt_missing"),
        (ASK, Receipt(TERMS, ReceiptState.REQUESTED, acknowledged=True), NOW_S, "receipt_not_given"),
        (ASK, Receipt(TERMS, ReceiptState.UNKNOWN, acknowledged=True), NOW_S, "receipt_not_given"),
        (ASK, Receipt(TERMS, ReceiptState.DEFERRED, acknowledged=True), NOW_S, "receipt_not_given"),
        (ASK, Receipt(TERMS, ReceiptState.PAUSED, acknowledged=True), NOW_S, "receipt_paused"),
        (ASK, Receipt(TERMS, ReceiptState.REVOKED, acknowledged=True), NOW_S, "receipt_revoked"),
        (ASK, Receipt(TERMS, ReceiptState.INVALIDATED, acknowledged=True), NOW_S, "receipt_invalidated"),
        (ASK, Receipt(TERMS, ReceiptState.REFUSED, acknowledged=True), NOW_S, "receipt_refused"),
        (ASK, Receipt(TERMS, ReceiptState.WITHDRAWN, acknowledged=True), NOW_S, "receipt_withdrawn"),
        (ASK, Receipt(TERMS, ReceiptState.EXPIRED, acknowledged=True), NOW_S, "receipt_expired"),
        (ASK, Receipt(TERMS, ReceiptState.GIVEN, acknowledged=False), NOW_S, "receipt_unacknowledged"),
        (ASK, GIVEN, TERMS.valid_from_s - 1, "receipt_not_yet_valid"),
        (ASK, GIVEN, TERMS.valid_until_s, "receipt_expired"),
        (ASK._replace(issuer="cafe.example"), GIVEN, NOW_S, "issuer_mismatch"),
        (ASK._replace(recipient="cafe.example"), GIVEN, NOW_S, "audience_mismatch"),
        (ASK._replace(program="ins-fit2"), GIVEN, NOW_S, "program_mismatch"),
        (ASK._replace(program_version=2), GIVEN, NOW_S, "program_mismatch"),
        (ASK._replace(purpose="dpv:Marketing"), GIVEN, NOW_S, "purpose_not_allowed"),
        (ASK._replace(purpose="dpv:NoSuchThing"), GIVEN, NOW_S, "purpose_not_allowed"),
        (ASK._replace(data_classes=frozenset({"visit", "heart_rate"})), GIVEN, NOW_S, "field_not_allowed"),
        (ASK._replace(rung="band"), GIVEN, NOW_S, "rung_not_allowed"),
        (ASK._replace(rung="everything"), GIVEN, NOW_S, "rung_not_allowed"),
        (ASK._replace(events_until_s=TERMS.events_from_s), GIVEN, NOW_S, "period_not_covered"),
        (ASK._replace(events_from_s=TERMS.events_until_s), GIVEN, NOW_S, "period_not_covered"),
        (ASK._replace(events_until_s=ASK.events_from_s), GIVEN, NOW_S, "period_not_covered"),
    ],
)
def test_each_reason_alone(ask: Ask, held: Receipt | None, now_s: int, code: str) -> None:
    assert codes(decide(ask, held, now_s=now_s)) == (code,)


def test_every_reason_is_told_at_once() -> None:
    ask = Ask("cafe.example", "cafe.example", "other", 9, "dpv:Marketing", frozenset({"tide"}), "raw", 0, 1)
    withdrawn = Receipt(TERMS, ReceiptState.WITHDRAWN, acknowledged=False)
    assert codes(decide(ask, withdrawn, now_s=TERMS.valid_until_s)) == (
        "receipt_withdrawn",
        "receipt_unacknowledged",
        "receipt_expired",
        "issuer_mismatch",
        "audience_mismatch",
        "program_mismatch",
        "purpose_not_allowed",
        "field_not_allowed",
        "rung_not_allowed",
        "period_not_covered",
    )


@pytest.mark.parametrize("state", ReceiptState)
def test_an_answer_leaves_only_while_consent_is_given_or_given_again(state: ReceiptState) -> None:
    answer = decide(ASK, Receipt(TERMS, state, acknowledged=True), now_s=NOW_S)
    assert isinstance(answer, Permit) == (state in ("given", "renewed"))


DAY_S = 86_400


def limited(uses: int = 0, confirm_by_s: int | None = None, **limits: object) -> Receipt:
    """Return Ana's receipt with limits, after some answers."""
    terms = Terms.model_validate({**TERMS.model_dump(), "limits": limits})
    return Receipt(terms, ReceiptState.GIVEN, acknowledged=True, uses=uses, confirm_by_s=confirm_by_s)


def test_a_receipt_for_one_answer_permits_one() -> None:
    once = {"duration": "one_time", "uses_max": 1}
    assert isinstance(decide(ASK, limited(0, **once), now_s=NOW_S), Permit)
    assert codes(decide(ASK, limited(1, **once), now_s=NOW_S)) == ("uses_spent",)


def test_a_yes_that_must_be_given_again_holds_until_then() -> None:
    held = limited(confirm_by_s=NOW_S + 1, reconfirm_days=90)
    assert isinstance(decide(ASK, held, now_s=NOW_S), Permit)
    assert codes(decide(ASK, held, now_s=NOW_S + 1)) == ("reconfirm_required",)


def test_evidence_that_is_too_old_is_not_opened() -> None:
    """Lookback says which events consent covers; staleness, how old they may be when an answer rests on them."""
    now_s = TERMS.events_from_s + 40 * DAY_S
    permit = decide(ASK, limited(staleness_days=30), now_s=now_s)
    assert isinstance(permit, Permit)
    assert (permit.events_from_s, permit.events_until_s) == (now_s - 30 * DAY_S, ASK.events_until_s)
    late_s = ASK.events_until_s + 30 * DAY_S
    assert codes(decide(ASK, limited(staleness_days=30), now_s=late_s)) == ("period_not_covered",)
    assert isinstance(decide(ASK, limited(staleness_days=30), now_s=late_s - 1), Permit)


def test_an_expired_receipt_is_expired_once() -> None:
    expired = Receipt(TERMS, ReceiptState.EXPIRED, acknowledged=True)
    assert codes(decide(ASK, expired, now_s=TERMS.valid_until_s)) == ("receipt_expired",)


def test_a_refusal_says_what_would_have_been_permitted() -> None:
    refusal = decide(ASK._replace(rung="raw"), GIVEN, now_s=NOW_S)
    assert refusal == Refusal((Reason("rung_not_allowed", "an answer no more revealing than a predicate"),))


def test_a_receipt_is_valid_from_its_first_second_to_its_last() -> None:
    for now_s in (TERMS.valid_from_s, TERMS.valid_until_s - 1):
        assert isinstance(decide(ASK, GIVEN, now_s=now_s), Permit)


@pytest.mark.parametrize(
    ("asked", "permitted"),
    [
        ((0, 2**53), (TERMS.events_from_s, TERMS.events_until_s)),
        ((0, TERMS.events_from_s + 1), (TERMS.events_from_s, TERMS.events_from_s + 1)),
        ((TERMS.events_until_s - 1, 2**53), (TERMS.events_until_s - 1, TERMS.events_until_s)),
        (
            (TERMS.events_from_s + 5, TERMS.events_until_s - 5),
            (TERMS.events_from_s + 5, TERMS.events_until_s - 5),
        ),
    ],
)
def test_the_permit_covers_what_is_both_asked_and_consented_to(
    asked: tuple[int, int], permitted: tuple[int, int]
) -> None:
    permit = decide(ASK._replace(events_from_s=asked[0], events_until_s=asked[1]), GIVEN, now_s=NOW_S)
    assert isinstance(permit, Permit)
    assert (permit.events_from_s, permit.events_until_s) == permitted


def test_a_broader_purpose_permits_a_narrower_one_and_not_the_other_way() -> None:
    narrow = ASK._replace(purpose="dpv:PersonalisedBenefits")
    broad = ASK._replace(purpose="dpv:ServiceProvision")
    assert isinstance(decide(narrow, receipt(purposes=("dpv:ServiceProvision",)), now_s=NOW_S), Permit)
    assert codes(decide(broad, GIVEN, now_s=NOW_S)) == ("purpose_not_allowed",)


@pytest.mark.parametrize("permitted", RUNGS)
def test_less_revealing_answers_are_permitted_and_more_revealing_ones_are_not(permitted: str) -> None:
    answers = [decide(ASK._replace(rung=rung), receipt(rung=permitted), now_s=NOW_S) for rung in RUNGS]
    expected = RUNGS.index(permitted) + 1
    assert [isinstance(each, Permit) for each in answers] == [True] * expected + [False] * (len(RUNGS) - expected)


CLASSES = ("visit", "membership", "trip")
moments = st.integers(TERMS.events_from_s - 3, TERMS.events_from_s + 3)


@given(
    ask=st.builds(
        Ask,
        issuer=st.just(TERMS.issuer),
        recipient=st.just(TERMS.recipient),
        program=st.just(TERMS.program),
        program_version=st.just(1),
        purpose=st.sampled_from(sorted(COVERED_BY)),
        data_classes=st.frozensets(st.sampled_from(CLASSES)),
        rung=st.sampled_from(RUNGS),
        events_from_s=moments,
        events_until_s=moments,
    ),
    purposes=st.lists(st.sampled_from(sorted(COVERED_BY)), min_size=1, max_size=8).map(tuple),
    classes=st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3).map(tuple),
    rung=st.sampled_from(RUNGS),
    until_s=st.integers(TERMS.events_from_s + 1, TERMS.events_from_s + 3),
)
def test_a_permit_never_exceeds_the_receipt(
    ask: Ask, purposes: tuple[str, ...], classes: tuple[str, ...], rung: str, until_s: int
) -> None:
    held = receipt(purposes=purposes, data_classes=classes, rung=rung, events_until_s=until_s)
    permit = decide(ask, held, now_s=NOW_S)
    if isinstance(permit, Refusal):
        assert permit.reasons
        return
    assert TERMS.events_from_s <= permit.events_from_s < permit.events_until_s <= until_s
    assert RUNG_HEIGHT[permit.rung] <= RUNG_HEIGHT[rung]
    assert permit.data_classes <= set(classes)
    assert not COVERED_BY[ask.purpose].isdisjoint(purposes)
