"""Replay of receipts: who they are between, which step may follow which, and what the other partner signed for.

Source: DESIGN section 5 (P4, P5, P16), ISO/IEC TS 27560, W3C DPV (consent states).
"""

from collections import Counter
from dataclasses import dataclass
from operator import itemgetter

from tallystick_consent.entries import ReceiptBody, SoFar
from tallystick_consent.receipts.states import ASKED, HELD, IN_FORCE, OPEN, STOPS, TRANSITIONS, ReceiptState
from tallystick_consent.receipts.versions import Extent, widens
from tallystick_consent.replay.duties import owe_from_end
from tallystick_consent.replay.state import (
    ON_ITS_WAY_S,
    TIME_SLACK_S,
    Acknowledged,
    ConsentState,
    ReceiptLife,
    Report,
)
from tallystick_ledger.opening import Carried
from tallystick_ledger.times import DAY_S

ACKNOWLEDGE_WITHIN_MAX_S = 30 * DAY_S
"""The latest deadline that a stop may name, after its entry: an erasure's. Nobody chooses when it would be late."""


SETTLES_MAX_S = 2 * 366 * DAY_S
"""How long after an ending what it lists may come, at most: claims live a year, and are issued anew once."""


def take_receipt(state: ConsentState, body: ReceiptBody, index: int, at_s: int, report: Report) -> None:
    """Replay a step of a receipt, at `index`."""
    if body.crossed:
        _take_crossing(state, body, index, at_s, report)
        return
    life = state.receipts.get(body.receipt)
    after = _STATES[body.state]
    confirms = not _is_narrowing(life, body)
    _check_parties(state, body, report)
    if life is not None and body.version > life.body.version:
        if not _takes_over(life, body, after, report):
            return
    elif life is None and body.previous:
        report("P4.version", "A receipt begins with another version than its first.")
    elif life is not None and not _is_same_version(life.body, body):
        report("P4.terms", "A step of a receipt changes its terms without a new version.")
    before = _STATES[life.body.state] if life else ReceiptState.UNKNOWN
    acknowledges = life is not None and _acknowledges(body, life.body)
    if not acknowledges and after not in TRANSITIONS[before]:
        report("P4.transition", f"A receipt that is {before} cannot become {after}.")
    elif after in STOPS and not body.signed and not acknowledges:
        report("P5.unsigned", "A stop names nothing that was signed, so nobody can have been told of it.")
    elif after in IN_FORCE and not acknowledges and not body.grade:
        report("P4.grade", "A receipt is given, and nothing says how that was seen.")
    if body.acknowledgement is not None:
        begun_s = at_s
        if life is not None and acknowledges:
            begun_s = life.stepped_at_s
            if body.signed != life.body.signed:
                report(acknowledgement_rule(body.state), "A partner signed for something else than was sent.")
        _check_signed_at(body, report, begun_s=begun_s, logged_s=at_s)
    if state.names_deadlines and body.acknowledge_by is None and _awaits_signature(body):
        report("P16.acknowledged", "A stop names no deadline, in a log whose stops before it name one.")
    _check_deadline(state, body, at_s, report)
    if life is None:
        life = state.receipts[body.receipt] = ReceiptLife(body)
    life.step(body, index, at_s, acknowledges=acknowledges, confirms=confirms, settles=state.settles(body))
    if life.has_ended and before in HELD:
        owe_from_end(state, life, index, at_s)
    if body.acknowledgement is not None:
        by_partner = acknowledges or (state.host == body.issuer and body.state in _TOLD_BY_ISSUER)
        life.acknowledged.append(_acknowledged(body, index, by_partner=by_partner))


def carry_receipt(state: ConsentState, body: ReceiptBody, index: int, at_s: int, report: Report) -> None:
    """Take a receipt as the part of the opening at `index`, recorded at `at_s`, carries it."""
    _check_parties(state, body, report)
    _check_deadline(state, body, at_s, report)
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
        # A withdrawal that does not say may be one of version 0.1, whatever wrote the opening.
        settles = body.state == "withdrawn" and body.earned != "drop"
        life.listed_until_s = None if settles else at_s + ON_ITS_WAY_S


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


@dataclass(frozen=True, slots=True)
class ReceiptCounts:
    """What an auditor is told of a ledger's receipts, and finds nothing wrong with.

    Attributes:
        undated: how many were stopped, and nobody signed for it, by a step that names no deadline: nodes of version 0.1
            named none.
        grades: how many were given with evidence of each grade.
    """

    undated: int
    grades: dict[str, int]


def count_receipts(state: ConsentState) -> ReceiptCounts:
    """Return what is told of the receipts."""
    undated, grades = 0, Counter[str]()
    for life in state.receipts.values():
        undated += life.body.acknowledge_by is None and _awaits_signature(life.body)
        grades.update([life.grade] if life.grade else ())
    return ReceiptCounts(undated, dict(grades))


def acknowledgement_rule(state: str) -> str:
    """Return the id of the rule about the other partner's signature for a step to `state`."""
    return "P4.acknowledgement" if state in IN_FORCE else "P5.acknowledgement"


def receipt_is_open(body: ReceiptBody, *, host: str, at_s: int) -> bool:
    """Return whether more may come of a receipt after its last step `body`, answers under way apart.

    An ending that was signed stays open where that was until the other side has signed for it; one that lists what is
    still to come, at the recipient `host`, as long as that may come.
    """
    if body.state in OPEN or (body.signed != "" and body.acknowledgement is None):
        return True
    return body.recipient == host and bool(body.deliverable) and at_s < body.valid_until + SETTLES_MAX_S


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


def _take_crossing(state: ConsentState, body: ReceiptBody, index: int, at_s: int, report: Report) -> None:
    """Replay that a stop of the other partner, which met a receipt that had ended here, was signed for: the receipt
    stays as it ended. One that ended in the log before need not stand in this one."""
    _check_parties(state, body, report)
    life, known = state.receipts.get(body.receipt), state.crossed.get(body.receipt, ())
    signed_for = {each.step() for each in (*known, *(life.acknowledged if life else ()))}
    if not (life.has_ended if life else state.continues):
        report("P4.transition", "A stop is said to have crossed the end of a receipt, which has not ended.")
    elif life is not None and body.version == life.body.version and fixed_terms(body) != fixed_terms(life.body):
        report("P4.terms", "A step of a receipt changes its terms without a new version.")
    elif body.acknowledgement is None or body.state not in STOPS or not body.signed or body.deliverable:
        report("P5.acknowledgement", "What crossed the end of a receipt is no stop that was signed for, and no more.")
    elif (body.state, body.signed) in signed_for:
        report("P5.acknowledgement", "A stop is signed for twice.")
    else:
        _check_signed_at(body, report, begun_s=at_s, logged_s=at_s)
        state.crossed[body.receipt] = (*known, _acknowledged(body, index, by_partner=False))


def _check_signed_at(body: ReceiptBody, report: Report, *, begun_s: int, logged_s: int) -> None:
    signature = body.acknowledgement
    assert signature is not None, "asked only where a step has one"
    if not begun_s - TIME_SLACK_S <= signature.at <= logged_s + TIME_SLACK_S:
        report("P16.signed", "A partner's signature states a time before what it is for, or after it was logged.")


def _awaits_signature(body: ReceiptBody) -> bool:
    """Return whether a step tells the other partner to stop, and that has not signed for it."""
    return body.signed != "" and body.acknowledgement is None and body.state in STOPS


def _check_deadline(state: ConsentState, body: ReceiptBody, at_s: int, report: Report) -> None:
    """Check that the deadline that a step names, if any, is no later than any may be, after `at_s`."""
    if body.acknowledge_by is None:
        return
    state.names_deadlines = True
    latest_s = at_s + ACKNOWLEDGE_WITHIN_MAX_S + TIME_SLACK_S
    if _awaits_signature(body) and body.acknowledge_by > latest_s:
        report("P16.acknowledged", "A stop names a deadline more than 30 days after it.")


def _takes_over(life: ReceiptLife, body: ReceiptBody, after: ReceiptState, report: Report) -> bool:
    """Check a step of a version that follows; return whether it comes into force by it."""
    if body.version != life.body.version + 1 or body.previous != life.body.terms or life.has_ended:
        report("P4.version", "A version of a receipt does not follow the one that is in force.")
    asked = life.asked
    if after in IN_FORCE:
        was_asked = asked is not None and answers_request(asked, body)
        if not was_asked and widens(_extent(life.body), _extent(body)):
            report("P4.widened", "A version permits more than the one before, and was not asked for.")
        life.asked = None
        return True
    if asked is not None and fixed_terms(asked) != fixed_terms(body):
        report("P4.version", "A receipt has two next versions.")
    before = ReceiptState.UNKNOWN if asked is None else _STATES[asked.state]
    if after not in TRANSITIONS[before]:
        report("P4.transition", f"A version that is {before} cannot become {after}.")
    life.asked = body if after in ASKED else None
    return False


def _is_narrowing(life: ReceiptLife | None, body: ReceiptBody) -> bool:
    """Return whether a step gives less of what goes on, which takes no yes: who may only stop may do it as well."""
    if life is None or body.version == life.body.version or body.state not in IN_FORCE:
        return False
    was_asked = life.asked is not None and answers_request(life.asked, body)
    return life.body.state in IN_FORCE and not was_asked


def answers_request(asked: ReceiptBody, given: ReceiptBody) -> bool:
    """Return whether the step `given` is of what `asked` asks for: of its terms, or of these about fewer resources."""
    if fixed_terms(asked) == fixed_terms(given):
        return True
    same = given.model_copy(update={"resources": asked.resources, "terms": asked.terms})
    return fixed_terms(asked) == fixed_terms(same) and not widens(_extent(asked), _extent(given))


def _is_same_version(before: ReceiptBody, body: ReceiptBody) -> bool:
    if before.state in ASKED and body.state in IN_FORCE:
        return answers_request(before, body)
    return fixed_terms(body) == fixed_terms(before)


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
        retention=body.retention,
        resources=None if body.resources is None else frozenset(body.resources),
    )


def _acknowledged(body: ReceiptBody, index: int, *, by_partner: bool) -> Acknowledged:
    signature = body.acknowledgement
    assert signature is not None, "asked only where a step has one"
    return Acknowledged(body.version, body.state, body.signed, signature.at, signature.digest, index, by_partner)


def _check_parties(state: ConsentState, body: ReceiptBody, report: Report) -> None:
    if state.host not in (body.issuer, body.recipient):
        report("P4.party", "A receipt is between two other partners.")


def _acknowledges(body: ReceiptBody, before: ReceiptBody) -> bool:
    """Return whether a step records that the other partner signed the step before it, once."""
    signs = body.acknowledgement is not None and body.state not in ASKED
    return signs and before.state == body.state and before.acknowledgement is None


_STATES = {str(state): state for state in ReceiptState}

_TOLD_BY_ISSUER = IN_FORCE | (STOPS - {ReceiptState.REVOKED})
"""Steps that are taken at the issuer alone, so whoever signs for them is the recipient; an erasure apart."""

_STEP_MEMBERS = frozenset(
    {"state", "grade", "signed", "acknowledgement", "deliverable", "acknowledge_by", "so_far", "crossed", "earned"}
)  # fmt: skip
"""Members of a receipt's body that belong to one step in one ledger, and not to its version."""

_members = itemgetter(*(name for name in ReceiptBody.model_fields if name not in _STEP_MEMBERS))


def fixed_terms(body: ReceiptBody) -> tuple[object, ...]:
    """Return what the steps of one version may not change."""
    members: tuple[object, ...] = _members(vars(body))  # a third of the time that asking the model for each takes
    return members
