"""Programs: what a payer may write, and what follows from it."""

from typing import Any

import pytest
import rulebook
import second
from fitness import NEW_YORK, PROGRAM_DOCUMENT, RULE_DOCUMENT
from story import GYM, INSURER

from tallystick_consent.decide import Ask
from tallystick_consent.errors import ProgramRejected
from tallystick_consent.program import Program, parse_program
from tallystick_ledger.errors import BadInput

DOCUMENT: dict[str, Any] = dict(PROGRAM_DOCUMENT)
PROGRAM = parse_program(DOCUMENT)


def program(**changes: object) -> Program:
    return parse_program({**DOCUMENT, **changes})


def test_a_program_reads_back() -> None:
    assert parse_program(PROGRAM.document()) == PROGRAM


def test_a_member_left_to_its_default_is_the_same_program() -> None:
    without = {name: value for name, value in RULE_DOCUMENT.items() if name not in ("where", "requires_active")}
    spelled_out = {**without, "where": [], "requires_active": None}
    assert program(rule=without).digest() == program(rule=spelled_out).digest()


@pytest.mark.parametrize("name", sorted(DOCUMENT))
def test_no_member_may_be_missing_or_of_another_type(name: str) -> None:
    for document in ({each: DOCUMENT[each] for each in DOCUMENT if each != name}, {**DOCUMENT, name: True}):
        with pytest.raises(ProgramRejected, match=f"/{name}"):
            parse_program(document)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        # What one member says against another: each of them alone is in order.
        ({"budget": {"asset": "EUR/2", "amount": 10_000}}, "/"),
        ({"data_classes": ["visit"]}, "/"),
        ({"rung": "token"}, "/"),
        ({"issuers": [GYM, INSURER]}, "/"),
        # Bounds.
        ({"purpose": "dpv:Curiosity"}, "/purpose"),
        ({"purpose": "PersonalisedBenefits"}, "/purpose"),
        ({"program": "ins-fit@1"}, "/program"),
        ({"version": 0}, "/version"),
        ({"title": ""}, "/title"),
        ({"issuers": []}, "/issuers"),
        ({"issuers": [f"gym{at}.example" for at in range(65)]}, "/issuers"),
        ({"claim_valid_days": 367}, "/claim_valid_days"),
        ({"consent_days": 1_097}, "/consent_days"),
        ({"retention_days": 3_661}, "/retention_days"),
        ({"reward": {"asset": "USD/2", "amount": 0}}, "/reward/amount"),
        ({"reward": {"asset": "USD/2", "amount": True}}, "/reward/amount"),
        ({"reward": {"asset": "dollars", "amount": 1}}, "/reward/asset"),
        ({"rule": {**RULE_DOCUMENT, "script": "1"}}, "a member it must not have"),
        ({"Ana Miller": 1}, "a member it must not have"),
    ],
)
def test_a_program_has_bounds(changes: dict[str, object], where: str) -> None:
    with pytest.raises(ProgramRejected, match=rf"at {where}[ .]") as refused:
        program(**changes)
    assert refused.value.code == "program_invalid"
    assert "Ana" not in str(refused.value)


TIER: dict[str, Any] = {
    **DOCUMENT,
    "rung": "band",
    "data_classes": ["home", "steps"],
    "rule": rulebook.document("steps-tier"),
}


def in_tier(**changes: object) -> dict[str, Any]:
    (measure,) = TIER["rule"]["measures"]
    return {**TIER, "rule": {**TIER["rule"], "measures": [{**measure, **changes}]}}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (
            {**DOCUMENT, "rule": {**RULE_DOCUMENT, "at_least": 40}},
            "/rule/at_least (should be less than or equal to 31)",
        ),
        ({**DOCUMENT, "rule": RULE_DOCUMENT | {"day_min_elapsed_s": -1}}, "/rule/day_min_elapsed_s (should be greater"),
        ({**DOCUMENT, "rung": "token"}, "/ (the rule answers more than the program's rung permits)"),
        ({**DOCUMENT, "rule": 7}, "/rule."),
        ({**TIER, "rule": {**TIER["rule"], "language": 3}}, "/rule/language (should be 2)"),
        (
            {**TIER, "rule": {**TIER["rule"], "period": {"span": "iso_week", "close_after_days": 1}}},
            "/rule/period/zone (Field required)",
        ),
        (in_tier(outcome={"bands": [5_000]}), "/rule/measures/0/outcome/sent_from (Field required)"),
        (in_tier(outcome={"at_least": "Ana"}), "/rule/measures/0/outcome/at_least."),
        (in_tier(outcome={"bands": [5_000, "Ana"], "sent_from": 1}), "/rule/measures/0/outcome/bands/1."),
    ],
)
def test_a_refusal_says_where_in_the_document_as_it_was_written_and_why(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ProgramRejected) as refused:
        parse_program(wrong)
    assert f"at {where}" in refused.value.problem
    assert "Ana" not in refused.value.problem


@pytest.mark.parametrize("name", ["steps-tier", "rent-of-the-year"])
def test_a_rule_alone_is_told_that_a_program_holds_one(name: str) -> None:
    with pytest.raises(ProgramRejected, match="This is a rule; a program holds one under `rule`") as refused:
        parse_program(rulebook.document(name))
    assert "docs/examples/ins-fit.json" in refused.value.remedy


def test_a_program_may_stand_at_its_bounds() -> None:
    program(claim_valid_days=366, consent_days=1_096, retention_days=3_660, fee=None)
    program(issuers=[f"gym{at}.example" for at in range(64)], data_classes=["membership", "visit", "trip"])


@pytest.mark.parametrize("document", [None, 7, "program", [], {}])
def test_what_is_no_program_is_refused(document: object) -> None:
    with pytest.raises(ProgramRejected):
        parse_program(document)


def test_a_program_that_json_cannot_say_once_is_refused() -> None:
    with pytest.raises(BadInput):
        program(version=1.0)


OTHER: dict[str, object] = {
    "program": "ins-fit2",
    "version": 2,
    "title": "Other",
    "payer": "cafe.example",
    "issuers": ["track.example"],
    "purpose": "dpv:Marketing",
    "rung": "band",
    "data_classes": ["membership", "visit", "trip"],
    "rule": {**RULE_DOCUMENT, "at_least": 11},
    "claim_valid_days": 31,
    "consent_days": 366,
    "retention_days": 91,
    "reward": {"asset": "USD/2", "amount": 2_001},
    "budget": {"asset": "USD/2", "amount": 10_001},
    "fee": None,
    "notice": {**DOCUMENT["notice"], "silence": "Nothing can be told from no answer."},
}


def test_the_digest_is_that_of_the_text_and_changes_with_every_member() -> None:
    by_text = second.labelled_digest("tallystick/program/v1", second.plain_json(PROGRAM.document()))
    assert PROGRAM.digest() == second.b64(by_text)
    assert set(OTHER) == set(DOCUMENT)
    digests = {program(**{name: value}).digest() for name, value in OTHER.items()} | {PROGRAM.digest()}
    assert len(digests) == len(OTHER) + 1


def test_the_question_covers_the_month_and_what_merges_into_it() -> None:
    march = PROGRAM.period("2027-03", zone=NEW_YORK)
    assert PROGRAM.ask(march, issuer=GYM) == Ask(
        issuer=GYM,
        recipient=INSURER,
        program="ins-fit",
        program_version=1,
        purpose="dpv:PersonalisedBenefits",
        data_classes=frozenset({"visit"}),
        rung="predicate",
        events_from_s=march.start_s - 2 * 86_400,
        events_until_s=march.end_s + 2 * 86_400,
    )


def test_the_question_of_membership_goes_back_as_far_as_the_receipt() -> None:
    march = PROGRAM.period("2027-03", zone=NEW_YORK)
    asked = PROGRAM.ask(march, issuer=GYM)
    standing = PROGRAM.required_ask(march, issuer=GYM)
    membership = frozenset({"membership"})
    assert standing == asked._replace(data_classes=membership, events_from_s=0, events_until_s=march.end_s)


def test_no_question_of_membership_is_put_where_the_rule_asks_for_none() -> None:
    march = PROGRAM.period("2027-03", zone=NEW_YORK)
    open_to_all = program(rule={**RULE_DOCUMENT, "requires_active": None})
    assert open_to_all.required_ask(march, issuer=GYM) is None
