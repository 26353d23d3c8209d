"""Decide what may leave: one question, one receipt, and every reason why not.

Pure, and quick, since it stands before every answer. A `Permit` is what the vault is opened with; a `Refusal` holds
every reason at once, so that the subject can be told what happened and the operator what would have been permitted.

Source: GDPR article 5(1)(b) and (c) (purpose, minimisation), ISO/IEC TS 27560, DESIGN flow 4.
"""

from typing import NamedTuple

from tallystick_consent.fields import RUNG_HEIGHT
from tallystick_consent.receipts.purposes import COVERED_BY
from tallystick_consent.receipts.receipt import Receipt
from tallystick_consent.receipts.states import ReceiptState


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
        resources: of events that name a resource, the ids of those that may be evaluated; None: all.
    """

    receipt: str
    version: int
    data_classes: frozenset[str]
    events_from_s: int
    events_until_s: int
    rung: str
    resources: frozenset[str] | None = None


class Reason(NamedTuple):
    """Why not, and what would have been permitted."""

    code: str
    permitted: str


class Refusal(NamedTuple):
    """No, and every reason why."""

    reasons: tuple[Reason, ...]


_NOT_GIVEN = {
    ReceiptState.UNKNOWN: "receipt_not_given",
    ReceiptState.REQUESTED: "receipt_not_given",
    ReceiptState.DEFERRED: "receipt_not_given",
    ReceiptState.PAUSED: "receipt_paused",
    ReceiptState.REFUSED: "receipt_refused",
    ReceiptState.WITHDRAWN: "receipt_withdrawn",
    ReceiptState.REVOKED: "receipt_revoked",
    ReceiptState.INVALIDATED: "receipt_invalidated",
    ReceiptState.EXPIRED: "receipt_expired",
}

_GIVEN, _RENEWED, _EXPIRED = ReceiptState.GIVEN, ReceiptState.RENEWED, ReceiptState.EXPIRED
_NOTHING: frozenset[str] = frozenset()
_TOO_HIGH = len(RUNG_HEIGHT)

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
    scope, state = receipt.scope, receipt.state
    reasons: list[Reason] = []
    if state is not _GIVEN and state is not _RENEWED:
        reasons.append(Reason(_NOT_GIVEN[state], "an answer while the receipt was given"))
    if not receipt.acknowledged:
        reasons.append(Reason("receipt_unacknowledged", f"an answer once {scope.recipient} has signed the receipt"))
    if now_s < scope.valid_from_s:
        reasons.append(Reason("receipt_not_yet_valid", f"an answer from {scope.valid_from_s} on"))
    if now_s >= scope.valid_until_s and state is not _EXPIRED:
        reasons.append(Reason("receipt_expired", f"an answer before {scope.valid_until_s}"))
    if receipt.confirm_by_s is not None and now_s >= receipt.confirm_by_s:
        reasons.append(Reason("reconfirm_required", "an answer once the subject has said yes again"))
    if scope.uses_max is not None and receipt.uses >= scope.uses_max:
        reasons.append(Reason("uses_spent", f"{scope.uses_max} answers, which were given"))
    if ask.issuer != scope.issuer:
        reasons.append(Reason("issuer_mismatch", f"an answer by {scope.issuer}"))
    if ask.recipient != scope.recipient:
        reasons.append(Reason("audience_mismatch", f"an answer to {scope.recipient}"))
    if ask.program != scope.program or ask.program_version != scope.program_version:
        reasons.append(Reason("program_mismatch", f"an answer for {scope.program}@{scope.program_version}"))
    if COVERED_BY.get(ask.purpose, _NOTHING).isdisjoint(scope.purposes):
        reasons.append(Reason("purpose_not_allowed", f"an answer for {', '.join(receipt.terms.purposes)}"))
    if not ask.data_classes <= scope.data_classes:
        reasons.append(Reason("field_not_allowed", f"an answer from {', '.join(receipt.terms.data_classes)}"))
    if RUNG_HEIGHT.get(ask.rung, _TOO_HIGH) > RUNG_HEIGHT[scope.rung]:
        reasons.append(Reason("rung_not_allowed", f"an answer no more revealing than a {scope.rung}"))
    # Compared as they stand: with `max` and `min` a decision took a sixth longer.
    events_from_s = ask.events_from_s if ask.events_from_s > scope.events_from_s else scope.events_from_s  # noqa: FURB136
    if scope.staleness_s is not None:
        events_from_s = max(events_from_s, now_s - scope.staleness_s)
    events_until_s = ask.events_until_s if ask.events_until_s < scope.events_until_s else scope.events_until_s  # noqa: FURB136
    if events_from_s >= events_until_s:
        not_older = "" if scope.staleness_s is None else f", none older than {scope.staleness_s} seconds"
        permitted = f"an answer over events from {scope.events_from_s} to {scope.events_until_s}{not_older}"
        reasons.append(Reason("period_not_covered", permitted))
    if reasons:
        return Refusal(tuple(reasons))
    # In order of its members: by name it would take as long as three of the questions above.
    return Permit(
        scope.receipt, scope.version, ask.data_classes, events_from_s, events_until_s, ask.rung, scope.resources
    )
