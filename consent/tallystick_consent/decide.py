"""Decide what may leave: one question, one receipt, and every reason why not.

Pure, and quick, since it stands before every answer. A `Permit` is what the vault is opened with; a `Refusal` holds
every reason at once, so that the subject can be told what happened and the operator what would have been permitted.

Source: GDPR article 5(1)(b) and (c) (purpose, minimisation), ISO/IEC TS 27560, DESIGN flow 4.
"""

from typing import NamedTuple

from tallystick_consent.purposes import COVERED_BY
from tallystick_consent.receipt import RUNG_HEIGHT, Receipt, ReceiptState


class Ask(NamedTuple):
    """One question about one subject.

    Attributes:
        issuer: host name of the partner that would answer.
        recipient: host name of the partner that would learn the answer.
        program: what it is for, and its version.
        purpose: a DPV term.
        data_classes: which events would be evaluated.
        rung: how revealing the answer would be.
        events_from_s, events_until_s: which event times the period covers; until is exclusive.
    """

    issuer: str
    recipient: str
    program: str
    program_version: int
    purpose: str
    data_classes: frozenset[str]
    rung: str
    events_from_s: int
    events_until_s: int


class Permit(NamedTuple):
    """Yes, and how far: what the vault may be opened for.

    Attributes:
        receipt: the receipt that permits it, and its version.
        data_classes: which events may be read.
        events_from_s, events_until_s: the part of the asked range that the receipt covers; until is exclusive.
        rung: how revealing the answer may be.
    """

    receipt: str
    version: int
    data_classes: frozenset[str]
    events_from_s: int
    events_until_s: int
    rung: str


class Reason(NamedTuple):
    """Why not, and what would have been permitted."""

    code: str
    permitted: str


class Refusal(NamedTuple):
    """No, and every reason why."""

    reasons: tuple[Reason, ...]


_NOT_GIVEN = {
    ReceiptState.REQUESTED: "receipt_not_given",
    ReceiptState.REFUSED: "receipt_refused",
    ReceiptState.WITHDRAWN: "receipt_withdrawn",
    ReceiptState.EXPIRED: "receipt_expired",
}

_MISSING = Refusal((Reason("receipt_missing", "an answer under a receipt that the subject has given"),))


def decide(ask: Ask, receipt: Receipt | None, *, now_s: int) -> Permit | Refusal:
    """Return a permit for the part of the ask that the receipt covers, or every reason why there is none.

    Args:
        ask: the question.
        receipt: the receipt it would be answered under, None where there is none.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
    """
    if receipt is None:
        return _MISSING
    terms = receipt.terms
    reasons: list[Reason] = []
    if receipt.state is not ReceiptState.GIVEN:
        reasons.append(Reason(_NOT_GIVEN[receipt.state], "an answer while the receipt was given"))
    if not receipt.acknowledged:
        reasons.append(Reason("receipt_unacknowledged", f"an answer once {terms.recipient} has signed the receipt"))
    if now_s < terms.valid_from_s:
        reasons.append(Reason("receipt_not_yet_valid", f"an answer from {terms.valid_from_s} on"))
    if now_s >= terms.valid_until_s and receipt.state is not ReceiptState.EXPIRED:
        reasons.append(Reason("receipt_expired", f"an answer before {terms.valid_until_s}"))
    if ask.issuer != terms.issuer:
        reasons.append(Reason("issuer_mismatch", f"an answer by {terms.issuer}"))
    if ask.recipient != terms.recipient:
        reasons.append(Reason("audience_mismatch", f"an answer to {terms.recipient}"))
    if ask.program != terms.program or ask.program_version != terms.program_version:
        reasons.append(Reason("program_mismatch", f"an answer for {terms.program}@{terms.program_version}"))
    if COVERED_BY.get(ask.purpose, frozenset()).isdisjoint(terms.purposes):
        reasons.append(Reason("purpose_not_allowed", f"an answer for {', '.join(terms.purposes)}"))
    if not ask.data_classes.issubset(terms.data_classes):
        reasons.append(Reason("field_not_allowed", f"an answer from {', '.join(terms.data_classes)}"))
    if RUNG_HEIGHT.get(ask.rung, len(RUNG_HEIGHT)) > RUNG_HEIGHT[terms.rung]:
        reasons.append(Reason("rung_not_allowed", f"an answer no more revealing than a {terms.rung}"))
    events_from_s = max(ask.events_from_s, terms.events_from_s)
    events_until_s = min(ask.events_until_s, terms.events_until_s)
    if events_from_s >= events_until_s:
        permitted = f"an answer over events from {terms.events_from_s} to {terms.events_until_s}"
        reasons.append(Reason("period_not_covered", permitted))
    if reasons:
        return Refusal(tuple(reasons))
    return Permit(
        receipt=terms.receipt,
        version=terms.version,
        data_classes=ask.data_classes,
        events_from_s=events_from_s,
        events_until_s=events_until_s,
        rung=ask.rung,
    )
