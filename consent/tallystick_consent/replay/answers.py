"""Replay of answers: each covered by a live receipt where it stands in the log, and counted once.

Source: DESIGN section 5 (P4, P7, P14).
"""

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from operator import itemgetter

from tallystick_consent.entries import AcceptanceBody, CarriedAnswer, CarriedDisclosure, DisclosureBody, ReceiptBody
from tallystick_consent.fields import RUNG_HEIGHT
from tallystick_consent.receipts.purposes import COVERED_BY
from tallystick_consent.replay.corrections import check_cause, free_slot
from tallystick_consent.replay.erasures import is_erased
from tallystick_consent.replay.state import ON_ITS_WAY_S, TIME_SLACK_S, ConsentState, ReceiptLife, Report
from tallystick_consent.replay.together import check_told
from tallystick_consent.rules.periods import dates_of
from tallystick_ledger.errors import BadInput
from tallystick_ledger.opening import Carried
from tallystick_ledger.times import DAY_S

_EPOCH = date(1970, 1, 1)
ZONE_SPREAD_S = 26 * 3600
"""A calendar month somewhere on earth begins and ends within this of the same month in UTC."""


def take_disclosure(state: ConsentState, body: DisclosureBody, index: int, at_s: int, report: Report) -> None:
    """Replay a step of an answer that was issued here, at `index`."""
    known = state.disclosures.get(body.claim)
    if body.state == "issued":
        if known is not None or body.claim in state.before:
            report("P7.claim_twice", "A claim is issued twice.")
        else:
            _check_once(state, body, report)
            _check_use(state, body, report)
        check_cause(state, body, report)
        if not is_erased(state, body, report):
            _check_covered(state, body, body.recipient, at_s, report)
            _check_limits(state, body, at_s, report)
            check_told(state, body, payer=body.recipient, source=state.host, report=report)
        state.disclosures[body.claim] = body, index
        state.logged_at_s.setdefault(body.claim, at_s)
        return
    if body.state == "revoked":
        _revoke(state, body, at_s, report)
        return
    if known is None:
        report("P4.not_issued", f"A claim is {body.state} that was never issued here.")
        return
    if known[0].state != "issued" or _answered(known[0]) != _answered(body):
        report("P4.disclosure", f"A claim that was {known[0].state} is {body.state}, or changed.")
    check_cause(state, body, report)
    if body.state == "delivered" and not is_erased(state, body, report):
        _check_delivered(state, body, at_s, report)
    state.disclosures[body.claim] = body, known[1]


def take_acceptance(state: ConsentState, body: AcceptanceBody, index: int, at_s: int, report: Report) -> None:
    """Replay the acceptance, at `index`, of an answer of another partner."""
    if body.claim in state.acceptances or body.claim in state.before:
        report("P7.claim_twice", "A claim is accepted twice.")
    if not is_erased(state, body, report):
        _check_covered(state, body, state.host, at_s, report)
        check_told(state, body, payer=state.host, source=body.issuer, report=report)
    if state.accepted.setdefault(body.nullifier, body.claim) != body.claim:
        report("P7.nullifier", "Two claims with one nullifier are accepted.")
    state.acceptances[body.claim] = body, index
    state.logged_at_s.setdefault(body.claim, at_s)


def carry_disclosure(state: ConsentState, carried: CarriedDisclosure, index: int, at_s: int, report: Report) -> None:
    """Take an answer that may still be delivered, as the part of the opening at `index`, recorded at `at_s`, carries
    it."""
    body = carried.disclosure
    life = state.receipts.get(body.receipt)
    if life is None or life.carried_leaf != body.receipt_leaf:
        report("P4.receipt_leaf", "An opening carries an answer, and not the receipt that it names.")
    elif life.live_leaf is not None:
        life.left, life.left_until_s = life.left | {body.claim}, at_s + ON_ITS_WAY_S
    state.disclosures[body.claim] = body, index
    state.logged_at_s[body.claim] = carried.at
    state.issued[body.nullifier] = body.claim


def carry_answer(state: ConsentState, answer: CarriedAnswer) -> None:
    """Take an answer whose nullifier is spent, as an opening carries it."""
    state.before[answer.claim] = answer
    if answer.state in ("accepted", "retracted"):
        if answer.state == "accepted":
            state.accepted[answer.nullifier] = answer.claim
        return
    state.issued[answer.nullifier] = answer.claim
    if answer.state == "delivered":
        state.delivered[answer.nullifier] = answer.claim


def carried_disclosure(body: DisclosureBody, *, at_s: int) -> Carried:
    """Return the record of an answer that was issued here at `at_s`: whole while it may still be delivered."""
    if body.state == "issued":
        return Carried("disclosure", CarriedDisclosure(disclosure=body, at=at_s).document())
    answer = CarriedAnswer(claim=body.claim, nullifier=body.nullifier, state=body.state, at=at_s)
    return Carried("answer", answer.document())


def _revoke(state: ConsentState, body: DisclosureBody, at_s: int, report: Report) -> None:
    """A claim that was issued or delivered, here or in the log before, stands no longer."""
    state.revoked_at_s.setdefault(body.claim, at_s)
    known, before = state.disclosures.get(body.claim), state.before.get(body.claim)
    if known is not None:
        if known[0].state not in ("issued", "delivered") or _answered(known[0]) != _answered(body):
            report("P4.disclosure", f"A claim that was {known[0].state} is revoked, or changed.")
        state.disclosures[body.claim] = body, known[1]
    elif before is not None and before.state == "delivered":
        state.before[body.claim] = before.model_copy(update={"state": "revoked"})
    else:
        report("P4.not_issued", "A claim is revoked that was never issued here.")
    free_slot(state, body, report)


def _check_delivered(state: ConsentState, body: DisclosureBody, at_s: int, report: Report) -> None:
    life = state.receipts.get(body.receipt)
    if not body.acceptance:
        report("P4.disclosure", "A claim is delivered, and nobody signed for it.")
    if life and life.live_leaf is None:
        if body.claim not in life.deliverable:
            report("P4.after_withdrawal", "A claim is delivered after its receipt stopped, and the stop lists it not.")
        elif life.listed_until_s is not None and at_s > life.listed_until_s:
            report("P4.after_withdrawal", "A claim is delivered long after a stop by which nothing is settled.")
    elif (
        life and (life.live_leaf != body.receipt_leaf or body.claim in life.left) and _is_taken_back(state, body, life)
    ):
        if body.claim not in life.left:
            report("P4.taken_back", "A claim is delivered that a later version of its receipt covers not, nor lists.")
        elif at_s > life.left_until_s:
            report("P4.taken_back", "A claim is delivered long after a version of its receipt that covers it not.")
    if state.delivered.setdefault(body.nullifier, body.claim) != body.claim:
        report("P7.nullifier", "Two claims with one nullifier are delivered.")


def _check_covered(
    state: ConsentState, body: DisclosureBody | AcceptanceBody, recipient: str, at_s: int, report: Report
) -> None:
    life = state.receipts.get(body.receipt)
    if life is None:
        report("P4.no_receipt", "An answer names a receipt that is not in this ledger.")
        return
    terms, live_leaf = life.body, life.leaf_for(body)
    # What an ending lists is looked at as of that, and may come when the receipt would have run out.
    is_valid = terms.valid_from <= at_s and (at_s < terms.valid_until or life.is_listed(body))
    if live_leaf is None or not is_valid:
        report("P4.not_live", f"An answer names a receipt that is {terms.state} or not acknowledged here.")
    elif body.receipt_leaf != live_leaf:
        report("P4.receipt_leaf", "An answer names another entry than the one that made its receipt live.")
    if recipient != terms.recipient:
        report("P4.recipient", "An answer went to another recipient than its receipt names.")
    for rule, problem in _beyond(body, terms):
        report(rule, problem)
    if not _has_begun(body.period, at_s):
        report("P4.period", "An answer is about a period that had not begun when it was given.")


def _beyond(body: DisclosureBody | AcceptanceBody, terms: ReceiptBody) -> Iterator[tuple[str, str]]:
    """Yield each way in which an answer goes beyond a version of its receipt: the rule, and a sentence."""
    if COVERED_BY.get(body.purpose, frozenset()).isdisjoint(terms.purposes):
        yield "P4.purpose", "An answer was given for another purpose than its receipt names."
    if RUNG_HEIGHT[body.rung] > RUNG_HEIGHT[terms.rung]:
        yield "P4.rung", "An answer reveals more than its receipt permits."
    if (body.program, body.program_version) != (terms.program, terms.program_version):
        yield "P4.program", "An answer was given for another program than its receipt names."
    if not _overlaps(body.period, terms):
        yield "P4.period", "An answer is about a period that its receipt does not cover."


def _has_begun(period: str, at_s: int) -> bool:
    known = _range_of(period)
    return known is None or known[0] - ZONE_SPREAD_S <= at_s + TIME_SLACK_S  # P4.period says of one that is none


def _is_taken_back(state: ConsentState, body: DisclosureBody, life: ReceiptLife) -> bool:
    """Return whether a later version of an answer's receipt does not cover it, as far as entries tell: which classes of
    events it is made of, its program's entry says; of which resources, none does, so it may be of each."""
    terms = life.body
    program = state.programs.get((body.recipient, body.program, body.program_version))
    figures = () if program is None or program.tells is None else program.tells.figures
    missing = {each.data_class for each in figures} - set(terms.data_classes)
    return bool(missing) or body.receipt_leaf < life.fewer_leaf or next(_beyond(body, terms), None) is not None


def _check_limits(state: ConsentState, body: DisclosureBody, at_s: int, report: Report) -> None:
    """Where an answer is given: what is accepted later was covered when it was."""
    life = state.receipts.get(body.receipt)
    if life is None:
        return
    limits = life.body.limits
    if _is_part(state, body, life.body, at_s):
        report("P4.whole", "An answer about a whole period rests on a part of it.")
    if limits.uses_max is not None and life.used + len(life.answered) > limits.uses_max:
        report("P4.uses", "More answers were given than the receipt permits.")
    if limits.reconfirm_days is not None and at_s >= life.confirmed_at_s + limits.reconfirm_days * DAY_S:
        report("P4.reconfirm", "An answer was given after the subject had to say yes again, and had not.")
    if limits.staleness_days is not None and _ended_before(body.period, at_s - limits.staleness_days * DAY_S):
        report("P4.stale", "An answer is about a period that was older than its receipt permits.")


def _is_part(state: ConsentState, body: DisclosureBody, terms: ReceiptBody, at_s: int) -> bool:
    """Return whether an answer must rest on all of its period, and its receipt permitted to look at a part alone.

    What programs of version 0.1 ask, their entries do not tell.
    """
    program = state.programs.get((body.recipient, body.program, body.program_version))
    known = _range_of(body.period)
    if program is None or program.tells is None or not program.tells.whole or known is None:
        return False
    days = terms.limits.staleness_days
    from_s = terms.events_from if days is None else max(terms.events_from, at_s - days * DAY_S)
    return known[0] + ZONE_SPREAD_S < from_s or terms.events_until < known[1] - ZONE_SPREAD_S


def _ended_before(period: str, at_s: int) -> bool:
    known = _range_of(period)
    return known is not None and known[1] + ZONE_SPREAD_S <= at_s  # P4.period says of one that is none


def _check_once(state: ConsentState, body: DisclosureBody, report: Report) -> None:
    earlier = state.issued.get(body.nullifier)
    if earlier is None:
        if body.supersedes:
            report("P7.supersedes", "A claim replaces one that was never issued here for the same nullifier.")
    elif body.supersedes != earlier:
        report("P7.nullifier", "Two claims with one nullifier are issued, and the second does not replace the first.")
    elif body.nullifier in state.delivered:
        report("P7.nullifier", "A claim replaces one that was delivered.")
    elif earlier in state.disclosures and _slot(state.disclosures[earlier][0]) != _slot(body):
        report("P7.slot", "A claim replaces one to another recipient, or of another program or period.")
    state.issued[body.nullifier] = body.claim


def _check_use(state: ConsentState, body: DisclosureBody, report: Report) -> None:
    """A number that is passed over stands for an answer that is not in the log.

    The same answer in another claim has the last number; nodes of version 0.1 gave it the next.
    """
    life = state.receipts.get(body.receipt)
    if life is None:
        return
    again = body.supersedes != "" and body.use == life.uses
    if not (again and life.carried_leaf is not None):  # one of the log before is counted in what the opening carried
        life.answered.add(body.nullifier)
    if life.uses is not None and not again and body.use != life.uses + 1:
        report("P4.number", f"An answer is number {body.use} under its receipt, behind number {life.uses}.")
    life.uses = body.use


def _slot(body: DisclosureBody) -> tuple[str, str, str]:
    return body.recipient, body.program, body.period


_STEPS = ("state", "acceptance", "correction")
_members = itemgetter(*(name for name in DisclosureBody.model_fields if name not in _STEPS))


def _answered(body: DisclosureBody) -> tuple[object, ...]:
    """Return what the steps of an answer may not change."""
    members: tuple[object, ...] = _members(vars(body))  # a third of the time that asking the model for each takes
    return members


@lru_cache(maxsize=1_024)
def _range_of(period: str) -> tuple[int, int] | None:
    """Return when a period begins and ends in UTC, seconds since 1970-01-01; None where it is none."""
    try:
        first, last = dates_of(period)
    except BadInput:
        return None
    return (first - _EPOCH).days * DAY_S, ((last - _EPOCH).days + 1) * DAY_S


def _overlaps(period: str, terms: ReceiptBody) -> bool:
    known = _range_of(period)
    if known is None:
        return False
    start_s, end_s = known
    return terms.events_from < end_s + ZONE_SPREAD_S and start_s - ZONE_SPREAD_S < terms.events_until
