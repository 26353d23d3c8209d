"""Who may say yes for whom: guardians, joint holders, agents; and what a receipt says of it."""

import pytest
import second
from story import TERMS

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.authority import (
    Authority,
    Standing,
    check_giving,
    check_stopper,
    is_covered,
    required_authority,
)
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.signed import GivenReceipt

NOW_S, OF_AGE_S = 1_800_000_000, 1_900_000_000
CLEO = Standing("minor", frozenset({"ana", "ben"}), of_age_from_s=OF_AGE_S)
ORPHAN = Standing("minor", frozenset(), of_age_from_s=OF_AGE_S)
SAVINGS = Standing("joint", frozenset({"ana", "ben", "dov"}), needed=2)
BAKERY = Standing("company", frozenset({"ana"}))
EVIDENCE = Evidence(grade="app_asserted", app="app", login="aal2")
GUARDIAN, JOINT, AGENT = Authority(kind="guardian"), Authority(kind="joint", needed=2), Authority(kind="agent")


def give(
    authority: Authority | None,
    standing: Standing | None,
    *,
    by: str | None = None,
    approved_by: frozenset[str] = frozenset(),
    ends_at_s: int = OF_AGE_S,
    now_s: int = NOW_S,
) -> None:
    check_giving(authority, standing, by=by, approved_by=approved_by, ends_at_s=ends_at_s, now_s=now_s)


def test_who_may_give() -> None:
    give(None, None)
    give(GUARDIAN, CLEO, by="ben")
    give(AGENT, BAKERY, by="ana", ends_at_s=OF_AGE_S + 1)
    give(JOINT, SAVINGS, by="ana", approved_by=frozenset({"dov"}), ends_at_s=OF_AGE_S + 1)
    give(None, CLEO, now_s=OF_AGE_S, ends_at_s=OF_AGE_S + 1)


@pytest.mark.parametrize(
    ("authority", "standing", "how", "code"),
    [
        (None, None, {"by": "ana"}, "not_authorised"),  # an adult has no guardian
        (GUARDIAN, CLEO, {"by": "eve"}, "not_authorised"),  # a guardian who is not
        (GUARDIAN, CLEO, {}, "not_authorised"),  # Cleo alone
        (GUARDIAN, ORPHAN, {"by": "ana"}, "not_authorised"),
        (AGENT, BAKERY, {"by": "ben"}, "not_authorised"),
        (JOINT, SAVINGS, {"by": "eve", "approved_by": frozenset({"ana", "ben"})}, "not_authorised"),
        (None, CLEO, {"by": "ana"}, "authority_mismatch"),
        (AGENT, CLEO, {"by": "ana"}, "authority_mismatch"),
        (GUARDIAN, None, {}, "authority_mismatch"),
        (GUARDIAN, CLEO, {"now_s": OF_AGE_S}, "authority_mismatch"),  # of age from this very second on
        (GUARDIAN, CLEO, {"now_s": OF_AGE_S, "by": "ana"}, "not_authorised"),
        (Authority(kind="joint", needed=1), SAVINGS, {"by": "ana"}, "authority_mismatch"),
        (GUARDIAN, CLEO, {"by": "ana", "ends_at_s": OF_AGE_S + 1}, "authority_ends"),
        (JOINT, SAVINGS, {"by": "ana"}, "approval_missing"),
        (JOINT, SAVINGS, {"by": "ana", "approved_by": frozenset({"ana"})}, "approval_missing"),  # once is once
        (JOINT, SAVINGS, {"by": "ana", "approved_by": frozenset({"eve"})}, "approval_missing"),  # a holder no more
    ],
)
def test_who_may_not(authority: Authority | None, standing: Standing | None, how: dict[str, object], code: str) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        give(authority, standing, **how)  # type: ignore[arg-type]
    assert refused.value.code == code
    assert "ana" not in str(refused.value)


def test_a_child_and_any_one_holder_can_stop_and_nobody_else() -> None:
    for standing, by in [(CLEO, None), (CLEO, "ana"), (SAVINGS, "ben"), (BAKERY, "ana"), (None, None)]:
        check_stopper(standing, by=by, now_s=NOW_S)
    for standing, by in [(CLEO, "eve"), (SAVINGS, "eve"), (None, "ana")]:
        with pytest.raises(ReceiptRejected) as refused:
            check_stopper(standing, by=by, now_s=NOW_S)
        assert refused.value.code == "not_authorised"


def test_a_minor_is_covered_by_a_guardians_receipt_alone_until_majority() -> None:
    assert is_covered(GUARDIAN, CLEO, now_s=OF_AGE_S - 1)
    assert not is_covered(None, CLEO, now_s=OF_AGE_S - 1)
    assert not is_covered(AGENT, CLEO, now_s=OF_AGE_S - 1)
    assert is_covered(None, CLEO, now_s=OF_AGE_S)
    assert is_covered(None, SAVINGS, now_s=NOW_S)
    assert is_covered(None, None, now_s=NOW_S)
    assert required_authority(SAVINGS, now_s=NOW_S) == JOINT


def test_a_guardians_receipt_covers_nobody_who_speaks_for_itself() -> None:
    assert not is_covered(GUARDIAN, CLEO, now_s=OF_AGE_S)
    assert not is_covered(GUARDIAN, None, now_s=NOW_S)
    assert not is_covered(GUARDIAN, SAVINGS, now_s=NOW_S)


def test_the_authority_is_bound_and_what_names_none_keeps_its_digest() -> None:
    document = TERMS.document()
    assert "authority" not in document
    digests = {TERMS.digest()}
    for authority in ({"kind": "guardian"}, {"kind": "agent"}, {"kind": "joint", "needed": 2}):
        terms = parse_terms({**document, "authority": authority})
        assert terms.document()["authority"] == authority
        by_text = second.labelled_digest("tallystick/terms/v1", second.plain_json({**document, "authority": authority}))
        assert terms.digest() == second.b64(by_text)
        digests.add(terms.digest())
    assert len(digests) == 4


def test_a_signed_receipt_that_names_no_authority_says_nothing_of_one() -> None:
    assert "authority" not in GivenReceipt(terms=TERMS, evidence=EVIDENCE, at=NOW_S).model_dump(mode="json")["terms"]


@pytest.mark.parametrize(
    "authority",
    [
        {"kind": "joint"},
        {"kind": "joint", "needed": 0},
        {"kind": "joint", "needed": 9},
        {"kind": "guardian", "needed": 1},
        {"kind": "guardian", "of_age_from": OF_AGE_S},  # nothing about age crosses
        {"kind": "oracle"},
        {},
    ],
)
def test_an_authority_of_another_form_is_refused(authority: dict[str, object]) -> None:
    with pytest.raises(ReceiptRejected, match=r"/authority|a member it must not have") as refused:
        parse_terms({**TERMS.document(), "authority": authority})
    assert refused.value.code == "receipt_malformed"
