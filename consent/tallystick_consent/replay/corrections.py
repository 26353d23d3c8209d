"""Replay of corrections: an event was wrong, or missing, and answers stand no longer because of that.

At the issuer a `correction` names events, and the answers that follow from it name the correction. At the recipient a
`retraction` says that a claim which was taken there is taken back.

Source: DESIGN section 5 (P14).
"""

from bisect import bisect_right

from tallystick_consent.entries import CorrectionBody, DisclosureBody, RetractionBody
from tallystick_consent.places import EventPlace
from tallystick_consent.replay.state import ConsentState, Report


def take_event(state: ConsentState, index: int) -> None:
    """Remember that an event stands at `index`, behind all others."""
    if state.events and state.events[-1] == index:
        state.events[-1] = index + 1
    else:
        state.events += (index, index + 1)


def take_correction(state: ConsentState, body: CorrectionBody, entry_id: str, index: int, report: Report) -> None:
    """Replay the correction at `index`, whose entry has the id `entry_id`."""
    state.corrections.add(entry_id)
    own = f"{state.host}/log/{state.log}" if state.log else None
    for place in (body.wrong, body.right):
        if place is None:
            continue
        if not place.log.startswith(f"{state.host}/log/"):
            report("P14.correction", "A correction is of an event in somebody else's ledger.")
        elif place.log == own and not _is_event(state, place.leaf):
            report("P14.correction", "A correction names an entry that is no event before it.")
    if body.wrong is None and body.right is None:
        report("P14.correction", "A correction names no event.")
    if body.wrong is not None and state.corrected.setdefault(_named(body.wrong), index) != index:
        report("P14.correction", "An event is corrected twice.")


def take_retraction(state: ConsentState, body: RetractionBody, report: Report) -> None:
    """Replay that a claim which was accepted here, or in the log before, was taken back by its issuer."""
    taken, before = state.acceptances.get(body.claim), state.before.get(body.claim)
    said = (body.issuer, body.receipt, body.nullifier)
    if body.claim in state.retracted or (before is not None and before.state == "retracted"):
        report("P14.retraction", "A claim is retracted twice.")
    elif taken is None and (before is None or before.state != "accepted"):
        report("P14.retraction", "A claim is retracted that was never accepted here.")
    elif taken is not None and said != (taken[0].issuer, taken[0].receipt, taken[0].nullifier):
        report("P14.retraction", "A claim is retracted as another one than was accepted.")
    state.retracted.add(body.claim)
    if before is not None:
        state.before[body.claim] = before.model_copy(update={"state": "retracted"})
    if state.accepted.get(body.nullifier) == body.claim:
        del state.accepted[body.nullifier]


def check_cause(state: ConsentState, body: DisclosureBody, report: Report) -> None:
    """Check that the correction which an answer names stands before it; it may name none."""
    if body.correction and body.correction not in state.corrections:
        report("P14.revoked", "An answer names a correction that is not in this ledger before it.")


def free_slot(state: ConsentState, body: DisclosureBody, report: Report) -> None:
    """Check that a revoked answer says because of what; its slot may be answered anew."""
    if not body.correction:
        report("P14.revoked", "A claim is revoked, and nothing says because of what.")
    check_cause(state, body, report)
    if state.delivered.get(body.nullifier) == body.claim:
        del state.delivered[body.nullifier]


def _is_event(state: ConsentState, leaf: int) -> bool:
    return bisect_right(state.events, leaf) % 2 == 1


def _named(place: EventPlace) -> str:
    return f"{place.log}/{place.leaf}"
