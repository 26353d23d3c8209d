"""Replay of receipts: who they are between, which step may follow which, and what the other partner signed for.

Source: DESIGN section 5 (P4, P5, P16), ISO/IEC TS 27560, W3C DPV (consent states).
"""

from operator import itemgetter

from tallystick_consent.entries import ReceiptBody, SoFar
from tallystick_consent.receipts.receipt import ASKED, IN_FORCE, OPEN, TRANSITIONS, ReceiptState
from tallystick_consent.receipts.versions import Extent, widens
from tallystick_consent.replay.state import TIME_SLACK_S, Acknowledged, ConsentState, ReceiptLife, Report
from tallystick_ledger.opening import Carried


def take_receipt(state: ConsentState, body: ReceiptBody, index: int, at_s: int, report: Report) -> None:
    """Replay a step of a receipt, at `index`."""
    life = state.receipts.get(body.receipt)
    after = _STATES[body.state]
    _check_parties(state, body, report)
    if life is not None and body.version > life.body.version:
        if not _takes_over(life, body, after, report):
            return
    elif life is None and body.previous:
        report("P4.version", "A receipt begins with another version than its first.")
    elif life is not None and _fixed(body) != _fixed(life.body):
        report("P4.terms", "A step of a receipt changes its terms without a new version.")
    before = _STATES[life.body.state] if life else ReceiptState.UNKNOWN
    acknowledges = life is not None and _acknowledges(body, life.body)
    if not acknowledges and after not in TRANSITIONS[before]:
        report("P4.transition", f"A receipt that is {before} cannot become {after}.")
    elif after is ReceiptState.WITHDRAWN and not body.signed:
        report("P5.unsigned", "A withdrawal names nothing that was signed, so nobody can have been told of it.")
    if body.acknowledgement is not None:
        begun_s = at_s
        if life is not None and acknowledges:
            begun_s = life.stepped_at_s
            if body.signed != life.body.signed:
                report(acknowledgement_rule(body.state), "A partner signed for something else than was sent.")
        if not begun_s - TIME_SLACK_S <= body.acknowledgement.at <= at_s + TIME_SLACK_S:
            report("P16.signed", "A partner's signature states a time before what it is for, or after it was logged.")
    if life is None:
        life = state.receipts[body.receipt] = ReceiptLife(body)
    life.step(body, index, at_s, acknowledges=acknowledges)
    if body.acknowledgement is not None:
        life.acknowledged += (_acknowledged(body, index),)


def carry_receipt(state: ConsentState, body: ReceiptBody, index: int, report: Report) -> None:
    """Take a receipt as the part of the opening at `index` carries it."""
    _check_parties(state, body, report)
    known = state.receipts.get(body.receipt)
    if known is not None and body.version == known.body.version + 1:
        known.asked = body
        return
    life = state.receipts[body.receipt] = ReceiptLife(
        body, carried_leaf=index, stepped_leaf=index, uses=None, grade=body.grade
    )
    if body.so_far is not None:
        life.used, life.confirmed_at_s = body.so_far.uses, body.so_far.confirmed_at
        life.uses = body.so_far.uses
    if body.state in IN_FORCE and body.acknowledgement is not None:
        life.live_leaf = index
    else:
        life.lived_leaf, life.deliverable = index, frozenset(body.deliverable)


def finish_receipts(state: ConsentState, *, newest_s: int) -> None:
    """Report what was not signed for in time.

    Args:
        newest_s: the latest time that an entry of the log states, seconds since 1970-01-01 UTC.
    """
    for life in state.receipts.values():
        due_s = life.body.acknowledge_by
        if due_s is not None and life.body.acknowledgement is None and newest_s > due_s + TIME_SLACK_S:
            report = state.reporter(life.stepped_leaf)
            report("P16.acknowledged", f"A receipt was {life.body.state}, and nobody signed for it by the deadline.")


def acknowledgement_rule(state: str) -> str:
    """Return the id of the rule about the other partner's signature for a step to `state`."""
    return "P4.acknowledgement" if state in IN_FORCE else "P5.acknowledgement"


def receipt_is_open(body: ReceiptBody, *, host: str, at_s: int) -> bool:
    """Return whether more may come of a receipt after its last step `body`, answers under way apart.

    An ending that was signed stays open where that was until the other side has signed for it; one that lists what is
    still to come, at the recipient `host`, while the receipt would have been valid.
    """
    if body.state in OPEN or (body.signed != "" and body.acknowledgement is None):
        return True
    return body.recipient == host and bool(body.deliverable) and at_s < body.valid_until


def counts_here(body: ReceiptBody, *, host: str) -> bool:
    """Return whether something counts against a receipt's limits, in the ledger of `host`."""
    return body.issuer == host and (body.limits.uses_max is not None or body.limits.reconfirm_days is not None)


def carried_receipt(body: ReceiptBody, deliverable: frozenset[str], so_far: SoFar | None) -> Carried:
    """Return the record of a receipt whose last step is `body`, with what its ending still lets through.

    Args:
        so_far: what counts against its limits, where `counts_here`.
    """
    told = {"deliverable": tuple(sorted(deliverable)), "so_far": so_far}
    return Carried("receipt", body.model_copy(update=told).document())


def _takes_over(life: ReceiptLife, body: ReceiptBody, after: ReceiptState, report: Report) -> bool:
    """Check a step of a version that follows; return whether it comes into force by it."""
    if body.version != life.body.version + 1 or body.previous != life.body.terms or life.has_ended:
        report("P4.version", "A version of a receipt does not follow the one that is in force.")
    asked = life.asked
    if after in IN_FORCE:
        was_asked = asked is not None and _fixed(asked) == _fixed(body)
        if not was_asked and widens(_extent(life.body), _extent(body)):
            report("P4.widened", "A version permits more than the one before, and was not asked for.")
        life.asked = None
        return True
    if asked is not None and _fixed(asked) != _fixed(body):
        report("P4.version", "A receipt has two next versions.")
    before = ReceiptState.UNKNOWN if asked is None else _STATES[asked.state]
    if after not in TRANSITIONS[before]:
        report("P4.transition", f"A version that is {before} cannot become {after}.")
    life.asked = body if after in ASKED else None
    return False


def _extent(body: ReceiptBody) -> Extent:
    return Extent(
        program=(body.program, body.program_version),
        purposes=frozenset(body.purposes),
        data_classes=frozenset(body.data_classes),
        rung=body.rung,
        events_from_s=body.events_from,
        events_until_s=body.events_until,
        valid_until_s=body.valid_until,
        retention_s=0,  # an entry does not tell it
        limits=body.limits,
    )


def _acknowledged(body: ReceiptBody, index: int) -> Acknowledged:
    signature = body.acknowledgement
    assert signature is not None, "asked only where a step has one"
    return Acknowledged(body.version, body.state, body.signed, signature.at, signature.digest, index)


def _check_parties(state: ConsentState, body: ReceiptBody, report: Report) -> None:
    if state.host not in (body.issuer, body.recipient):
        report("P4.party", "A receipt is between two other partners.")


def _acknowledges(body: ReceiptBody, before: ReceiptBody) -> bool:
    """Return whether a step records that the other partner signed the step before it, once."""
    signs = body.acknowledgement is not None and body.state not in ASKED
    return signs and before.state == body.state and before.acknowledgement is None


_STATES = {str(state): state for state in ReceiptState}

_STEPS = frozenset({"state", "grade", "signed", "acknowledgement", "deliverable", "acknowledge_by", "so_far"})
"""Members that belong to one step, and not to a version."""

_members = itemgetter(*(name for name in ReceiptBody.model_fields if name not in _STEPS))


def _fixed(body: ReceiptBody) -> tuple[object, ...]:
    """Return what the steps of one version may not change."""
    members: tuple[object, ...] = _members(vars(body))  # a third of the time that asking the model for each takes
    return members
