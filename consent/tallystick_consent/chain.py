"""Hold two logs of one partner together: does the later one go on just where the earlier one stopped?

Pure: both were replayed, the earlier one to the head that the later one names. Every record that the earlier one's
entries lead to must stand in the later one's opening, and no other: a receipt that was withdrawn does not come back
with the new year, a balance neither grows nor shrinks, and nothing that was paid is forgotten.

Source: DESIGN section 4 (yearly shards), P1, P4, P7, P8.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick_consent.entries import CARRIED
from tallystick_consent.replay import ConsentReplay, untold, without_leaves
from tallystick_ledger.opening import Carried, Records
from tallystick_ledger.replay import CARRIED_KINDS, Finding, LedgerReplay
from tallystick_ledger.tlog.head import Checkpoint


@dataclass(frozen=True, slots=True)
class Chain:
    """What holding two logs together came to.

    Attributes:
        findings: what does not hold, all under the rule `P1.chain`.
        unchecked: what could not be held together, a sentence each.
    """

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()


def check_chain(
    ledger: LedgerReplay, consent: ConsentReplay, *, head: Checkpoint, later: LedgerReplay, where: str
) -> Chain:
    """Return what holding a log against the one that continues it comes to.

    Args:
        ledger, consent: the earlier log's replays, at `head`.
        head: the earlier log's last head, its signature checked.
        later: the replay of the log whose opening names the earlier one; at least as far as its opening goes.
        where: how findings name the later log's opening, such as `entry 0`.
    """
    opening = later.opening
    if opening is None or opening.predecessor is None or opening.predecessor.origin != head.origin:
        return Chain((_finding(where, f"The opening does not name {head.origin} as what it continues."),))
    if later.size < opening.parts:
        return Chain(unchecked=(f"{later.origin} was not read as far as its opening goes.",))
    named = opening.predecessor
    if named.size > head.size:
        return Chain(
            unchecked=(f"{later.origin} continues {head.origin} at {named.size} entries; {head.size} are here.",)
        )
    if named.size < head.size:
        return Chain((_finding(where, f"{head.origin} went on behind the head that the opening continues."),))
    if named.root != head.root:
        return Chain((_finding(where, f"The opening continues another history of {head.origin} than this one."),))
    checked = CARRIED_KINDS | CARRIED.keys()
    led_to = itertools.chain(ledger.carries(later.opened_at_s), consent.carries(later.opened_at_s))
    carried = [record for record in later.carried if record.kind in checked]
    programs = (Carried("program", program.document()) for program in consent.programs.values())
    silent = untold(programs) | untold(carried)
    expected, found = (Records(without_leaves(records, untold=silent)) for records in (led_to, carried))
    findings = [
        *_differing(where, expected.missing_in(found), "is missing from the opening, or stands there otherwise"),
        *_differing(
            where, found.missing_in(expected), "stands in the opening, and does not follow from the log before"
        ),
    ]
    if not findings and found.count != expected.count:
        findings.append(_finding(where, "A record stands in the opening twice."))
    return Chain(tuple(findings), tuple(_unknown(later.carried, checked)))


def _differing(where: str, kinds: Iterable[str], problem: str) -> list[Finding]:
    return [_finding(where, f"A record of kind {kind} {problem}: {count}.") for kind, count in Counter(kinds).items()]


def _unknown(carried: Iterable[Carried], checked: frozenset[str]) -> list[str]:
    counted = Counter(record.kind for record in carried if record.kind not in checked)
    return [f"Records of kind {kind} in the opening are not checked: {count}." for kind, count in counted.items()]


def _finding(where: str, problem: str) -> Finding:
    return Finding("P1.chain", where, problem)
