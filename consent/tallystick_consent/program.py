"""A program: a rule over events, the purpose it needs, the reward it pays, and the budget that caps it.

Pure. The payer writes it, both partners log its digest, and neither can change it: another rule is another version,
from a future period on.

Source: DESIGN section 1 (program, agreement), SCENARIOS section 1.
"""

import hashlib
from datetime import tzinfo
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from tallystick_consent.decide import Ask
from tallystick_consent.entries import Tells
from tallystick_consent.errors import ProgramRejected, places_in
from tallystick_consent.fields import (
    RUNG_HEIGHT,
    Asset,
    DataClasses,
    Host,
    Line,
    ProgramName,
    Rung,
    Sparse,
    Strict,
    Version,
)
from tallystick_consent.receipts.purposes import KnownPurpose
from tallystick_consent.receipts.receipt import NO_LIMITS, Limits, Notice
from tallystick_consent.receipts.retention import Retentions, require_consistent
from tallystick_consent.rules import (
    LAST_ZONE,
    MARGIN_S,
    AnyRule,
    Period,
    Question,
    figures_of,
    period_named,
    told_together,
)
from tallystick_consent.rules.comparing import names_in
from tallystick_consent.rules.periods import DAYS_IN
from tallystick_ledger.encoding import canonical_json, length_prefixed, to_base64url
from tallystick_ledger.times import DAY_S


class Amount(Strict):
    """Money: an integer of the asset's minor unit, and the asset with its scale."""

    asset: Asset
    amount: Annotated[int, Field(ge=1, lt=2**53)]


class Program(Sparse, Strict):
    """What two partners agreed to do for their common customers.

    Attributes:
        program: name, without the version.
        payer: host name of the partner that receives claims and pays.
        issuers: host names of the partners that may issue claims.
        purpose: a DPV term.
        rung: how revealing an answer is.
        data_classes: which events the rule reads.
        rule: how an answer is found.
        claim_valid_days: how long a claim may be accepted.
        consent_days: how long a receipt lasts.
        retention_days: how long the payer may keep an answer.
        reward: what the payer gives its own customer for an accepted claim.
        budget: what all rewards of one period may cost together, in the reward's asset.
        fee: what the payer owes the issuer for an accepted claim, None for nothing.
        notice: the words the subject is shown.
        limits: what narrows each receipt further.
        retention: what the payer keeps, why, and until when; left out where nothing is said but `retention_days`.
    """

    LATER = frozenset({"limits", "retention"})

    program: ProgramName
    version: Version
    title: Line
    payer: Host
    issuers: Annotated[tuple[Host, ...], Field(min_length=1, max_length=64)]
    purpose: KnownPurpose
    rung: Rung
    data_classes: DataClasses
    rule: AnyRule
    claim_valid_days: Annotated[int, Field(ge=1, le=366)]
    consent_days: Annotated[int, Field(ge=1, le=1_096)]
    retention_days: Annotated[int, Field(ge=1, le=3_660)]
    reward: Amount
    budget: Amount
    fee: Amount | None
    notice: Notice
    limits: Limits = NO_LIMITS
    retention: Retentions = ()

    @model_validator(mode="after")
    def _sound(self) -> "Program":
        if self.budget.asset != self.reward.asset:
            raise ValueError("budget and reward are of one asset")
        require_consistent(self.retention, answers_s=self.retention_days * DAY_S)
        if not self.rule.data_classes <= set(self.data_classes):
            raise ValueError("the rule reads data classes that the program does not name")
        if RUNG_HEIGHT[self.rung] < RUNG_HEIGHT[self.rule.spelled_out().rung]:
            raise ValueError("the rule answers more than the program's rung permits")
        if self.payer in self.issuers:
            raise ValueError("the payer issues no claims to itself")
        return self

    def document(self) -> dict[str, Any]:
        """Return the program as JSON values."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Return the digest that both ledgers and every receipt carry, base64url."""
        text = length_prefixed("tallystick/program/v1", canonical_json(self.document()))
        return to_base64url(hashlib.sha256(text).digest())

    def period(self, name: str, *, zone: tzinfo) -> Period:
        """Return a period of this program; `zone` is the one `rule.zone` names."""
        return period_named(name, rule=self.rule, zone=zone)

    def closed_for_all_s(self, name: str, *, zone: tzinfo) -> int:
        """Return the moment from which a period is closed for every subject, and its claims may be made.

        Where periods are of each subject's home, that is the close in the last zone on Earth: made together, the claims
        of one period tell nobody by their time where a subject lives (P6). What came after the close at home does not
        count all the same.
        """
        of_home = self.rule.spelled_out().period.of_home
        return self.period(name, zone=LAST_ZONE if of_home else zone).close_s

    def ask(self, period: Period, *, issuer: str) -> Ask:
        """Return the question that the rule puts to an issuer for a period, its margin for merging included."""
        rule = self.rule.spelled_out()
        return Ask(
            issuer=issuer,
            recipient=self.payer,
            program=self.program,
            program_version=self.version,
            purpose=self.purpose,
            data_classes=rule.measured_classes,
            rung=self.rung,
            events_from_s=max(0, period.start_s - MARGIN_S - rule.lookback_days * DAY_S),
            events_until_s=max(period.end_s + MARGIN_S, period.close_s if rule.reads_to_close else 0),
        )

    def required_ask(self, period: Period, *, issuer: str) -> Ask | None:
        """Return the question about what holds until it is said to end; None where none is put.

        Its range begins with the receipt's own: a membership that was confirmed in January, or a home that was told
        then, still holds in March.
        """
        rule = self.rule.spelled_out()
        if not rule.required_classes:
            return None
        return self.ask(period, issuer=issuer)._replace(
            data_classes=rule.required_classes, events_from_s=0, events_until_s=period.end_s
        )

    def question(self) -> Question:
        """Return what is asked of one subject over a whole consent, for what it tells (P17)."""
        fewest_days, _ = DAYS_IN[self.rule.span]
        return Question(f"{self.program}@{self.version}", self.rule, periods=-(-self.consent_days // fewest_days))


def told_by(program: Program) -> Tells:
    """Return what the program's answers tell, as its ledger entry says it (P17)."""
    return Tells(
        alone=told_together([program.question()]).rung,
        figures=figures_of(program.rule),
        whole=not program.rule.spelled_out().earned_as_it_goes,
    )


def parse_program(document: object) -> Program:
    """Return the program that a JSON document holds.

    Raises:
        ProgramRejected: a member is missing, unknown, of another type, out of bounds, or contradicts another.
        BadInput: the document has no canonical JSON.
    """
    try:
        return Program.model_validate_json(canonical_json(document))
    except ValidationError as error:
        if _is_a_rule(document):
            raise ProgramRejected(
                "This is a rule; a program holds one under `rule`, and says what comes of it.",
                remedy="Put it into a program: docs/examples/ins-fit.json is one, docs/rules.md has its members.",
            ) from None
        raise ProgramRejected(
            f"A program does not have the form it must have, at {places_in(error, document)}.",
            remedy="Compare it with docs/rules.md (The program around it) and docs/examples/ins-fit.json.",
        ) from error


def _is_a_rule(document: object) -> bool:
    names = names_in(document)
    return not names.isdisjoint(_OF_A_RULE) and "rule" not in names


_OF_A_RULE = frozenset({"language", "measures", "measure", "requires"})
"""Members that a rule has, in one of its forms, and a program has not."""
