"""Hold two companies' ledgers side by side, as the two parts of a tally stick.

Absence counts only in a log that was read whole. What is on its way is no finding: a claim that is issued and not yet
delivered, and the fee for a claim whose acceptance has not come back to the issuer.

Source: DESIGN section 3 (audit) and section 5 (P4, P8).
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import cast

from tallystick.audit.exhibits import Exhibits, known_keys
from tallystick.audit.integrity import reader_of
from tallystick.audit.log import AuditedLog
from tallystick.audit.replay import Half
from tallystick.audit.replay.rewards import RECEIVABLE_PREFIX
from tallystick.audit.views.partners import check_peer_heads
from tallystick_consent.chain import check_chain
from tallystick_consent.entries import AcceptanceBody, DisclosureBody, ProgramBody, ReceiptBody
from tallystick_consent.receipts.states import ASKED
from tallystick_consent.replay import (
    TIME_SLACK_S,
    Acknowledged,
    ReceiptLife,
    acknowledgement_rule,
    answers_request,
    fixed_terms,
)
from tallystick_ledger.books import TransferState
from tallystick_ledger.errors import TallyError
from tallystick_ledger.times import DAY_S
from tallystick_ledger.tlog.merkle import root_at

RETRACTED_WITHIN_S = 9 * DAY_S
"""How long after a claim is revoked in its issuer's ledger its recipient retracts it: it is told at a time of the
claim's own within 30 hours (P6), and has a week more, as for its signature for a stop."""


CLAIM_LIFE_MAX_S = 366 * DAY_S
"""How long a claim may be accepted, and that told, at most (`program.claim_valid_days`)."""

REPLACED_MAX = 1_500
"""How many claims may stand for one answer, one after the other: a receipt is valid for 1,096 days at most, and a claim
for one at least."""


def cross_check(
    logs: Sequence[AuditedLog], *, exhibits: Exhibits, pause: Callable[[float], object] = time.sleep
) -> list[str]:
    """Hold every two of `logs` against each other; return what could not be, a sentence each.

    The findings go to the log whose entry nothing answers to, or whose entry is answered differently.

    Args:
        logs: each after its audit.
        exhibits: keeps two heads that contradict each other.
        pause: waits so many seconds, before a log that shows less than others saw is looked at again.
    """
    unchecked: list[str] = []
    compared = _one_each(logs, unchecked, exhibits)
    check_peer_heads(compared, exhibits=exhibits, pause=pause)
    unchecked += check_chains(compared)
    hosts: dict[str, list[AuditedLog]] = defaultdict(list)
    for log in compared:
        hosts[log.host].append(log)
    origins = {log.origin: log for log in compared}
    for log in compared:
        unchecked += _check_deliveries(log, hosts, origins)
        unchecked += _check_acceptances(log, hosts, origins)
        unchecked += _check_receipts(log, hosts, origins)
        _check_programs(log, hosts)
        unchecked += _check_erasures(log, hosts, origins)
        unchecked += _check_halves(log, hosts, origins)
    return unchecked


def _one_each(logs: Sequence[AuditedLog], unchecked: list[str], exhibits: Exhibits) -> list[AuditedLog]:
    """Return one source of each log, its largest head; two that are not of one tree are a fork."""
    largest: dict[str, AuditedLog] = {}
    for log in sorted(logs, key=lambda log: log.head.checkpoint.size, reverse=True):
        if not log.whole:
            unchecked.append(f"{log.where} was not read whole, and is not held against the others.")
        elif log.origin in largest:
            _check_fork(log, largest[log.origin], exhibits)
        else:
            largest[log.origin] = log
    return [log for log in logs if largest.get(log.origin) is log]


def check_chains(logs: Sequence[AuditedLog]) -> Iterator[str]:
    """Hold each log against the one that it continues; yield what could not be, a sentence each."""
    origins = {log.origin: log for log in logs}
    for later in logs:
        opening = later.replay.ledger.opening
        if opening is None or opening.predecessor is None:
            continue
        earlier = origins.get(opening.predecessor.origin)
        if earlier is None:
            yield (
                f"{later.where} continues {opening.predecessor.origin}, which is not among the sources: "
                "WHAT IT CARRIES FROM THERE IS NOT CHECKED, nor whether there ever was such a log."
            )
            continue
        chain = check_chain(
            earlier.replay.ledger,
            earlier.replay.consent,
            head=earlier.head.checkpoint,
            later=later.replay.ledger,
            where="entry 0",
        )
        later.found.drain(list(chain.findings))
        yield from chain.unchecked


def _check_fork(smaller: AuditedLog, larger: AuditedLog, exhibits: Exhibits) -> None:
    read = reader_of(larger.source.files, larger.head.checkpoint.size)
    try:
        root = root_at(smaller.head.checkpoint.size, read)
    except (LookupError, TallyError):
        return  # the larger one's tiles are a finding already
    if root != smaller.head.checkpoint.root:
        smaller.found.add("P1.fork", "checkpoint", f"The head is not of the same tree as the one at {larger.where}.")
        exhibits.two_heads("P1.fork", smaller.head.note, larger.head.note, keys=known_keys(larger.source), read=read)


def _check_deliveries(
    issuer: AuditedLog, hosts: dict[str, list[AuditedLog]], origins: dict[str, AuditedLog]
) -> Iterator[str]:
    """Each delivered claim was accepted, as it is or in the place of one that it replaced.

    An earlier claim may have been given under another receipt of the same person, or for another version of the
    program. What was accepted of it is held against that claim by `_check_acceptances`, and the two claims are held
    against each other in their issuer's own ledger (P7).
    """
    unknown: Counter[str] = Counter()
    for claim, (disclosure, index) in issuer.replay.consent.disclosures.items():
        recipients = hosts.get(disclosure.recipient)
        if disclosure.state != "delivered" or not recipients:
            continue
        taken = next(_acceptances_of(issuer, claim, recipients), None)
        if taken is None and _at_s(issuer, index) < _whole_from_s(recipients, origins):
            unknown[disclosure.recipient] += 1
        elif taken is None:
            problem = f"{disclosure.recipient} has not accepted this claim."
            issuer.found.add("X.acceptance_missing", f"entry {index}", problem)
        elif taken[0].claim == claim and _answer(disclosure, issuer) != _answer(*taken):
            problem = f"{disclosure.recipient} accepted another claim than this."
            issuer.found.add("X.acceptance_differs", f"entry {index}", problem)
    yield from _unknown(issuer, unknown, "acceptances")


def _acceptances_of(
    issuer: AuditedLog, claim: str, recipients: Sequence[AuditedLog]
) -> Iterator[tuple[AcceptanceBody, AuditedLog]]:
    """Yield the acceptance of a claim, or of one that it replaced.

    A recipient whose answer was lost has taken the earlier claim, and answers the later one like the first time.
    """
    replaced: set[str] = set()
    while claim not in replaced and len(replaced) < REPLACED_MAX and claim in issuer.replay.consent.disclosures:
        for log in recipients:
            if claim in log.replay.consent.acceptances:
                yield log.replay.consent.acceptances[claim][0], log
        replaced.add(claim)
        claim = issuer.replay.consent.disclosures[claim][0].supersedes


def _standing(issuer: AuditedLog, claim: str) -> str:
    """Return the state of the claim that stands now where `claim` was issued: that one, or the last to replace it.

    What an opening says was issued last, with nothing to show for it, replaces nothing.
    """
    disclosures = issuer.replay.consent.disclosures
    known = disclosures.get(claim)
    if known is None:
        return ""
    last = issuer.replay.consent.issued.get(known[0].nullifier, claim)
    return disclosures.get(last, known)[0].state


def _check_acceptances(
    recipient: AuditedLog, hosts: dict[str, list[AuditedLog]], origins: dict[str, AuditedLog]
) -> Iterator[str]:
    stand: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for claim, (acceptance, index) in recipient.replay.consent.acceptances.items():
        place = f"entry {index}"
        if acceptance.log.partition("/log/")[0] != acceptance.issuer:
            recipient.found.add("X.disclosure_differs", place, "The log named is not one of the claim's issuer.")
            continue
        issuer = origins.get(acceptance.log)
        if issuer is None:
            if acceptance.issuer in hosts:
                yield f"{recipient.where}, {place}: the log in which the claim was issued is not among the sources."
            continue
        known = issuer.replay.consent.disclosures.get(claim)
        if known is None:
            head = f"{issuer.origin}, as of its {issuer.head.checkpoint.size} entries"
            recipient.found.add("X.disclosure_missing", place, f"The claim was not issued in {head}.")
            continue
        disclosure, leaf = known
        if leaf != acceptance.disclosure_leaf:
            recipient.found.add("X.disclosure_differs", place, f"The claim was issued at entry {leaf} of its log.")
        elif disclosure.state != "delivered" and _answer(disclosure, issuer) != _answer(acceptance, recipient):
            recipient.found.add("X.disclosure_differs", place, f"{issuer.host} issued another claim than this.")
        elif _standing(issuer, claim) == "withheld":
            recipient.found.add("X.withheld", place, f"{issuer.host} says that it withheld this claim.")
        elif claim in recipient.replay.consent.retracted and not _is_revoked(hosts[issuer.host], claim):
            if _holds_all(
                hosts[issuer.host], origins, from_s=_at_s(issuer, leaf), to_s=recipient.replay.times.newest_s
            ):
                recipient.found.add("X.retracted", place, f"{issuer.host} has not revoked this claim.")
            else:
                unknown[issuer.host] += 1
        elif _stands_revoked(claim, issuers=hosts[issuer.host], recipients=hosts[recipient.host]):
            stand[issuer.host] += 1
    for host, count in stand.items():
        yield f"{recipient.where}: {count} claims that {host} revoked long ago stand; nothing tells if it said so."
    for host, count in unknown.items():
        yield f"{recipient.where}: {count} claims are retracted that {host} may have revoked behind what is here of it."


def _holds_all(logs: Sequence[AuditedLog], origins: dict[str, AuditedLog], *, from_s: int, to_s: int) -> bool:
    """Return whether the logs of one partner hold all that it logged from a time on, up to another, by any clock."""
    reached_s = max(log.replay.times.newest_s for log in logs)
    return _whole_from_s(logs, origins) <= from_s and reached_s > to_s + 2 * TIME_SLACK_S


def _is_revoked(issuers: Sequence[AuditedLog], claim: str) -> bool:
    """Return whether any log of a claim's issuer says that it was revoked: one of a later year may."""
    return any(claim in log.replay.consent.revoked_at_s for log in issuers)


def _stands_revoked(claim: str, *, issuers: Sequence[AuditedLog], recipients: Sequence[AuditedLog]) -> bool:
    """Return whether a claim that its issuer revoked stands long after that; in a later log, perhaps.

    That is nobody's finding: which of the two is to blame, whoever was not heard or did not listen, no ledger tells.
    """
    revoked = [log.replay.consent.revoked_at_s.get(claim) for log in issuers]
    revoked_s = min((each for each in revoked if each is not None), default=None)
    if revoked_s is None:
        return False
    newest_s = max(log.replay.times.newest_s for log in recipients)
    return newest_s > revoked_s + RETRACTED_WITHIN_S and not any(_retracts(log, claim) for log in recipients)


def _retracts(log: AuditedLog, claim: str) -> bool:
    before = log.replay.consent.before.get(claim)
    return claim in log.replay.consent.retracted or (before is not None and before.state == "retracted")


def _answer(body: DisclosureBody | AcceptanceBody, log: AuditedLog) -> tuple[object, ...]:
    """Return what both halves of an answer must agree on."""
    # The type itself: `isinstance` asks a model's class in Python, which takes longer than all the rest.
    if type(body) is AcceptanceBody:
        return body.issuer, log.host, _said(vars(body))
    return log.host, cast("DisclosureBody", body).recipient, _said(vars(body))


_said = itemgetter("receipt", "program", "program_version", "period", "purpose", "rung", "nullifier")


def _check_receipts(
    log: AuditedLog, hosts: dict[str, list[AuditedLog]], origins: dict[str, AuditedLog]
) -> Iterator[str]:
    """Hold each receipt against what both ends say of it; yield what is unknown."""
    unknown: Counter[str] = Counter()
    answered = {erasure.request for erasure in log.replay.consent.erasures.values()}
    for receipt, life in log.replay.consent.receipts.items():
        _check_receipt(log, receipt, life, hosts)
        partner = life.body.recipient if life.body.issuer == log.host else life.body.issuer
        said = [each for each in life.acknowledged if each.by_partner and each.signed not in answered]
        if said and partner in hosts:
            unknown[partner] += _check_signatures(log, receipt, said, hosts[partner], origins)
    yield from _unknown(log, unknown, "signatures")


def _check_receipt(log: AuditedLog, receipt: str, life: ReceiptLife, hosts: dict[str, list[AuditedLog]]) -> None:
    """Each receipt is held against its issuer's, so that a pair is looked at once; the issuer's own is itself."""
    for issuer in hosts.get(life.body.issuer, ()):
        other = None if issuer is log else issuer.replay.consent.receipts.get(receipt)
        if other is None or other.body.version != life.body.version:
            continue
        if not _is_same(life.body, other.body):
            log.found.add("X.receipt_differs", f"receipt {receipt}", f"{issuer.host} has it with other terms.")
        elif not _seen_alike(life, other):
            problem = f"{issuer.host} says otherwise how its giving was seen."
            log.found.add("X.receipt_differs", f"receipt {receipt}", problem)
        elif not _settle_alike(life.body, other.body):
            problem = f"{issuer.host} says otherwise whether its withdrawal settles what was earned."
            log.found.add("X.receipt_differs", f"receipt {receipt}", problem)


def _is_same(here: ReceiptBody, at_issuer: ReceiptBody) -> bool:
    """Return whether both ends have the same terms, or one waits and the other has given what that asks for."""
    if fixed_terms(at_issuer) == fixed_terms(here):
        return True
    return here.state in ASKED and answers_request(here, at_issuer)


def _seen_alike(here: ReceiptLife, at_issuer: ReceiptLife) -> bool:
    """Return whether both ends say the same of the evidence of one signed step, where both say anything."""
    is_same = here.body.signed == at_issuer.body.signed and "" not in (here.grade, at_issuer.grade)
    return not is_same or here.grade == at_issuer.grade


def _settle_alike(here: ReceiptBody, at_issuer: ReceiptBody) -> bool:
    """Return whether both ends say the same of one signed withdrawal, where both say anything."""
    if here.signed != at_issuer.signed or "" in (here.earned, at_issuer.earned):
        return True
    return bool(here.earned == at_issuer.earned)


def _check_signatures(
    log: AuditedLog,
    receipt: str,
    said: Sequence[Acknowledged],
    partners: Sequence[AuditedLog],
    origins: dict[str, AuditedLog],
) -> int:
    """What the other partner is said to have signed for in a receipt's life, its own ledger says too; return how much
    is unknown.

    Whoever signs for a step logs that before anybody hears of it, also where the step met an end. The other way round
    nothing is missing: a signature may be on its way. What answers an erasure is held against that.
    """
    unknown, host = 0, partners[0].host
    there = {each.step(): each for known in partners for each in _signed_by(known, receipt)}
    for each in said:
        rule, place = acknowledgement_rule(each.state), f"entry {each.index}"
        theirs = there.get(each.step())
        if theirs is not None and (theirs.at_s, theirs.digest) != (each.at_s, each.digest):
            log.found.add(rule, place, f"{host} has logged another signature for this step.")
        elif theirs is None and each.at_s >= _whole_from_s(partners, origins):
            log.found.add(rule, place, f"{host} has not logged that it signed for this step.")
        elif theirs is None:
            unknown += 1
    return unknown


def _unknown(log: AuditedLog, counts: Counter[str], what: str) -> Iterator[str]:
    """Yield what a log's partners may have in logs that are not here, a sentence for each of them."""
    for host, count in (+counts).items():
        yield f"{log.where}: {count} {what} of {host} may be in a log of it that is not among the sources."


def _signed_by(log: AuditedLog, receipt: str) -> Iterator[Acknowledged]:
    """Yield what the partner of this log says there that it signed for in the life of a receipt."""
    life = log.replay.consent.receipts.get(receipt)
    for each in (*(life.acknowledged if life else ()), *log.replay.consent.crossed.get(receipt, ())):
        if not each.by_partner:
            yield each


def _whole_from_s(logs: Sequence[AuditedLog], origins: dict[str, AuditedLog]) -> int:
    """Return from when on the logs of one partner hold all that it logged; 0 where they reach back to its beginning.

    What it says its first log here continues is believed of the time before that alone.
    """
    begun = 0
    for log in logs:
        opening = log.replay.ledger.opening
        if opening is not None and opening.predecessor is not None and opening.predecessor.origin not in origins:
            begun = max(begun, log.replay.ledger.opened_at_s + TIME_SLACK_S)
    return begun


def _at_s(log: AuditedLog, index: int) -> int:
    """Return a time that the log had reached at an entry, some seconds short of it perhaps."""
    found = log.replay.times.latest_before(index + 1)
    return 0 if found is None else found[1]


def _check_programs(log: AuditedLog, hosts: dict[str, list[AuditedLog]]) -> None:
    """Each program is held against its payer's, so that a pair is looked at once."""
    for (payer, name, version), program in log.replay.consent.programs.items():
        for other in hosts.get(payer, ()):
            theirs = other.replay.consent.programs.get((payer, name, version))
            if theirs is not None and other.host != log.host and _differ(theirs, program):
                log.found.add("X.program_differs", f"program {name}@{version}", f"{payer} has it otherwise.")


def _differ(theirs: ProgramBody, ours: ProgramBody) -> bool:
    """Return whether two ledgers have two programs. Entries of version 0.1, and records of their openings, leave out
    what its answers tell; where both say it, it follows from the document whose digest they share."""
    if theirs.tells is not None and ours.tells is not None:
        return theirs != ours
    return theirs.model_copy(update={"tells": None}) != ours.model_copy(update={"tells": None})


def _check_erasures(
    log: AuditedLog, hosts: dict[str, list[AuditedLog]], origins: dict[str, AuditedLog]
) -> Iterator[str]:
    """What a partner attested to it must have logged itself; it may have done so and not been heard."""
    unknown: Counter[str] = Counter()
    for erasure, body in log.replay.consent.erasures.items():
        partners = hosts.get(body.partner)
        if body.origin != log.host or body.state != "attested" or not partners:
            continue
        found = [each.replay.consent.erasures[erasure] for each in partners if erasure in each.replay.consent.erasures]
        place = f"erasure {erasure}"
        signed_s = 0 if body.attestation is None else body.attestation.at
        if not found and signed_s < _whole_from_s(partners, origins):
            unknown[body.partner] += 1
        elif not found:
            log.found.add("X.erasure_missing", place, f"{body.partner} has not logged this erasure.")
        elif body not in found:
            log.found.add("X.erasure_differs", place, f"{body.partner} has logged another erasure than this.")
    yield from _unknown(log, unknown, "attestations")


def _check_halves(log: AuditedLog, hosts: dict[str, list[AuditedLog]], origins: dict[str, AuditedLog]) -> Iterator[str]:
    unknown: Counter[str] = Counter()
    for transfer_id, half in log.replay.rewards.halves.items():
        partners = hosts.get(half.transfer.counterparty)
        if not partners:
            continue
        place = f"entry {half.index}"
        partner = next((each for each in partners if transfer_id in each.replay.rewards.halves), None)
        if partner is None:
            if half.transfer.state is not TransferState.POSTED or _in_flight(log, half, partners):
                continue
            if _at_s(log, half.index) < _whole_from_s(partners, origins) + _heard_within_s(half):
                unknown[half.transfer.counterparty] += 1
            else:
                problem = f"{half.transfer.counterparty} has not booked its half of this transfer."
                log.found.add("X.half_missing", place, problem)
            continue
        other = partner.replay.rewards.halves[transfer_id]
        told_there = other.transfer.counterparty == log.host and partner.host < log.host
        if not told_there and not _match(log, half, partner, other):
            log.found.add("X.half_differs", place, f"{partner.host} has booked another half.")
    yield from _unknown(log, unknown, "halves of transfers")


def _heard_within_s(half: Half) -> int:
    """Return how long after its partner's half this one may be booked: who is owed hears of it from who owes, perhaps
    at the end of a claim's life; who owes books first."""
    return CLAIM_LIFE_MAX_S if half.transfer.debit.startswith(RECEIVABLE_PREFIX) else 0


def _in_flight(payer: AuditedLog, half: Half, partners: Sequence[AuditedLog]) -> bool:
    """Return whether the transfer pays for an answer whose acceptance has not come back to the issuer: one that was
    revoked meanwhile brings it with the word of that, which leaves at a time of its own (P6)."""
    accepted = payer.replay.rewards.acceptances.get(half.transfer.cause)
    if accepted is None:
        return False
    to_come = ("issued", "revoked")
    return any(_standing(log, accepted.claim) in to_come for log in partners if log.host == accepted.issuer)


def _match(log: AuditedLog, half: Half, partner: AuditedLog, other: Half) -> bool:
    here, there = half.transfer, other.transfer
    return (
        (here.asset, here.amount_minor, here.terms) == (there.asset, there.amount_minor, there.terms)
        and (here.counterparty, there.counterparty) == (partner.host, log.host)
        and {here.state, there.state} != {TransferState.POSTED, TransferState.VOIDED}
    )
