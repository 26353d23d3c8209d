"""Replay consent from a ledger's entries alone: was every answer covered by a live receipt, and counted once?

Pure, and told of one entry at a time. The rules' ids are stable; each has a test in which one entry is wrong and just
that rule fires.

Source: DESIGN section 5 (P4, P7, P8), LEDGER-FORMATS section 10.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from tallystick_consent.entries import (
    BODIES,
    CARRIED,
    AcceptanceBody,
    CarriedAnswer,
    CarriedDisclosure,
    DisclosureBody,
    ErasureBody,
    ProgramBody,
    ReceiptBody,
    parse_body,
    parse_carried,
)
from tallystick_consent.purposes import COVERED_BY
from tallystick_consent.receipt import ASKED, IN_FORCE, OPEN, RUNG_HEIGHT, TRANSITIONS, ReceiptState
from tallystick_consent.rules.periods import DAY_S, dates_of
from tallystick_ledger.entry import Entry
from tallystick_ledger.errors import BadInput, EntryMalformed
from tallystick_ledger.opening import REMEMBERED_S, Carried, parse_opening
from tallystick_ledger.replay import CARRIED_KINDS, Finding

_Report = Callable[[str, str], None]

LEDGER_KINDS = frozenset({"opening", "key", "peer_head", "transfer"})
"""Kinds that the ledger floor replays."""

_EPOCH = date(1970, 1, 1)
ZONE_SPREAD_S = 26 * 3600
"""A calendar month somewhere on earth begins and ends within this of the same month in UTC."""


@dataclass(slots=True)
class ReceiptLife:
    """What the entries so far say of one receipt.

    Attributes:
        body: its last step.
        live_leaf: index of the entry that made it live, None while it is not.
        lived_leaf: the same after it was stopped.
        deliverable: digests of claims that may be delivered, and accepted, although it was stopped.
        carried_leaf: index of the part of the log's opening that carried it, None where it began in this log.
    """

    body: ReceiptBody
    live_leaf: int | None = None
    lived_leaf: int | None = None
    deliverable: frozenset[str] = frozenset()
    carried_leaf: int | None = None

    def step(self, body: ReceiptBody, index: int, *, acknowledges: bool) -> None:
        """Take the next step, at `index`: one that is in force and acknowledged makes it live, any other stops it.

        Args:
            acknowledges: it records that the other partner signed the step before, and so lists nothing anew.
        """
        self.body = body
        if ReceiptState(body.state) in IN_FORCE and body.acknowledgement is not None:
            self.live_leaf, self.deliverable = index, frozenset()
        elif not acknowledges:
            self.live_leaf, self.lived_leaf = None, self.lived_leaf if self.live_leaf is None else self.live_leaf
            self.deliverable = frozenset(body.deliverable)

    def leaf_for(self, body: DisclosureBody | AcceptanceBody) -> int | None:
        """Return the index of the entry by which the receipt covers an answer now, None where it does not."""
        on_its_way = isinstance(body, AcceptanceBody) and body.claim in self.deliverable
        return self.lived_leaf if on_its_way else self.live_leaf


@dataclass(slots=True)
class ConsentReplay:
    """The state of consent in one ledger after the entries it was told of.

    Attributes:
        host: the partner whose ledger it is.
        receipts: each receipt's life, by id.
        disclosures: the last step of each claim that was answered, by its digest, and the index of its issue.
        acceptances: each claim that was taken, by its digest, and its index.
        programs: each program's body, by payer, name and version.
        issued: the claim last issued for each nullifier.
        delivered: the claim delivered for each nullifier.
        accepted: the claim accepted for each nullifier. Apart from `issued`, since a partner may be either end.
        logged_at_s: when each claim was issued or accepted here, by its digest.
        before: answers of the logs that this one continues, by their digest.
        erasures: the last step of each erasure, by its id.
        erased: receipts of links that were erased.
        unchecked: kinds without rules, and how many entries of each; those of records as `opening/KIND`.
    """

    host: str
    receipts: dict[str, ReceiptLife] = field(default_factory=dict[str, ReceiptLife])
    disclosures: dict[str, tuple[DisclosureBody, int]] = field(default_factory=dict[str, tuple[DisclosureBody, int]])
    acceptances: dict[str, tuple[AcceptanceBody, int]] = field(default_factory=dict[str, tuple[AcceptanceBody, int]])
    programs: dict[tuple[str, str, int], ProgramBody] = field(default_factory=dict[tuple[str, str, int], ProgramBody])
    issued: dict[str, str] = field(default_factory=dict[str, str])
    delivered: dict[str, str] = field(default_factory=dict[str, str])
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    logged_at_s: dict[str, int] = field(default_factory=dict[str, int])
    before: dict[str, CarriedAnswer] = field(default_factory=dict[str, CarriedAnswer])
    erasures: dict[str, ErasureBody] = field(default_factory=dict[str, ErasureBody])
    erased: set[str] = field(default_factory=set[str])
    unchecked: dict[str, int] = field(default_factory=dict[str, int])
    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, entry: Entry, index: int) -> None:
        """Replay one entry that stands at `index`."""
        report = self._reporter(f"entry {index}")
        if entry.kind not in BODIES:
            if entry.kind == "opening":
                self._open(entry, index, report)
            elif entry.kind not in LEDGER_KINDS:
                self._count_unchecked(entry.kind)
            return
        try:
            body = parse_body(entry.kind, entry.body)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
            return
        if isinstance(body, ReceiptBody):
            self._receipt(body, index, report)
        elif isinstance(body, DisclosureBody):
            self._disclosure(body, index, entry.at_s, report)
        elif isinstance(body, AcceptanceBody):
            self._acceptance(body, index, entry.at_s, report)
        elif isinstance(body, ProgramBody):
            self._program(body, report)
        elif isinstance(body, ErasureBody):
            self._erasure(body, report)

    def carries(self, at_s: int) -> Iterator[Carried]:
        """Yield the records of this floor that the opening of the next log must carry, if it is written at `at_s`.

        Receipts come before the answers that name them. The `receipt_leaf` of an answer is that of this log.
        """
        recent = {claim for claim, logged_s in self.logged_at_s.items() if at_s - logged_s < REMEMBERED_S}
        outstanding = {
            body.receipt for claim, (body, _) in self.disclosures.items() if claim in recent and body.state == "issued"
        }
        for program in self.programs.values():
            yield Carried("program", program.document())
        for life in self.receipts.values():
            if receipt_is_open(life.body) or life.body.receipt in outstanding:
                yield carried_receipt(life.body, life.deliverable)
        for answer in self.before.values():
            if at_s - answer.at < REMEMBERED_S:
                yield Carried("answer", answer.document())
        for claim, (body, _) in self.disclosures.items():
            if claim in recent:
                yield carried_disclosure(body, at_s=self.logged_at_s[claim])
        for claim, (accepted, _) in self.acceptances.items():
            if claim in recent:
                at = self.logged_at_s[claim]
                answer = CarriedAnswer(claim=claim, nullifier=accepted.nullifier, state="accepted", at=at)
                yield Carried("answer", answer.document())
        for erasure in self.erasures.values():
            if erasure.state == "erased":
                yield Carried("erasure", erasure.document())

    def _open(self, entry: Entry, index: int, report: _Report) -> None:
        """Take what a part of the opening carries; what is wrong with the opening itself, the ledger's replay says."""
        try:
            carried = parse_opening(entry.body).carried
        except EntryMalformed:
            return
        for record in carried:
            if record.kind not in CARRIED:
                if record.kind not in CARRIED_KINDS:
                    self._count_unchecked(f"opening/{record.kind}")
                continue
            try:
                body = parse_carried(record)
            except EntryMalformed as error:
                report("entry.malformed", error.problem)
                continue
            if isinstance(body, ReceiptBody):
                self._carry_receipt(body, index, report)
            elif isinstance(body, CarriedDisclosure):
                self._carry_disclosure(body, index, report)
            elif isinstance(body, CarriedAnswer):
                self._carry_answer(body)
            elif isinstance(body, ProgramBody):
                self._program(body, report)
            elif isinstance(body, ErasureBody):
                self._erasure(body, report)

    def _carry_receipt(self, body: ReceiptBody, index: int, report: _Report) -> None:
        if self.host not in (body.issuer, body.recipient):
            report("P4.party", "A receipt is between two other partners.")
        life = self.receipts[body.receipt] = ReceiptLife(body, carried_leaf=index)
        if ReceiptState(body.state) in IN_FORCE and body.acknowledgement is not None:
            life.live_leaf = index
        elif body.deliverable:
            life.lived_leaf, life.deliverable = index, frozenset(body.deliverable)

    def _carry_disclosure(self, carried: CarriedDisclosure, index: int, report: _Report) -> None:
        body = carried.disclosure
        life = self.receipts.get(body.receipt)
        if life is None or life.carried_leaf != body.receipt_leaf:
            report("P4.receipt_leaf", "An opening carries an answer, and not the receipt that it names.")
        self.disclosures[body.claim] = body, index
        self.logged_at_s[body.claim] = carried.at
        self.issued[body.nullifier] = body.claim

    def _carry_answer(self, answer: CarriedAnswer) -> None:
        self.before[answer.claim] = answer
        if answer.state == "accepted":
            self.accepted[answer.nullifier] = answer.claim
            return
        self.issued[answer.nullifier] = answer.claim
        if answer.state == "delivered":
            self.delivered[answer.nullifier] = answer.claim

    def _count_unchecked(self, kind: str) -> None:
        self.unchecked[kind] = self.unchecked.get(kind, 0) + 1

    def _receipt(self, body: ReceiptBody, index: int, report: _Report) -> None:
        life = self.receipts.get(body.receipt)
        state = ReceiptState(body.state)
        if self.host not in (body.issuer, body.recipient):
            report("P4.party", "A receipt is between two other partners.")
        if life is not None and _fixed(body) != _fixed(life.body):
            report("P4.terms", "A step of a receipt changes its terms without a new version.")
        before = ReceiptState(life.body.state) if life else ReceiptState.UNKNOWN
        acknowledges = life is not None and _acknowledges(body, life.body)
        if not acknowledges and state not in TRANSITIONS[before]:
            report("P4.transition", f"A receipt that is {before} cannot become {state}.")
        if life is None:
            life = self.receipts[body.receipt] = ReceiptLife(body)
        life.step(body, index, acknowledges=acknowledges)

    def _disclosure(self, body: DisclosureBody, index: int, at_s: int, report: _Report) -> None:
        known = self.disclosures.get(body.claim)
        if body.state == "issued":
            if known is not None or body.claim in self.before:
                report("P7.claim_twice", "A claim is issued twice.")
            else:
                self._check_once(body, report)
            if not self._is_erased(body, report):
                self._check_covered(body, body.recipient, at_s, report)
            self.disclosures[body.claim] = body, index
            self.logged_at_s.setdefault(body.claim, at_s)
            return
        if known is None:
            report("P4.not_issued", f"A claim is {body.state} that was never issued here.")
            return
        if known[0].state != "issued" or _answered(known[0]) != _answered(body):
            report("P4.disclosure", f"A claim that was {known[0].state} is {body.state}, or changed.")
        if body.state == "delivered" and not self._is_erased(body, report):
            self._check_delivered(body, report)
        self.disclosures[body.claim] = body, known[1]

    def _check_delivered(self, body: DisclosureBody, report: _Report) -> None:
        life = self.receipts.get(body.receipt)
        if life and life.live_leaf is None and body.claim not in life.deliverable:
            report(
                "P4.after_withdrawal", "A claim is delivered after its receipt ended, and the ending does not list it."
            )
        if self.delivered.setdefault(body.nullifier, body.claim) != body.claim:
            report("P7.nullifier", "Two claims with one nullifier are delivered.")

    def _acceptance(self, body: AcceptanceBody, index: int, at_s: int, report: _Report) -> None:
        if body.claim in self.acceptances or body.claim in self.before:
            report("P7.claim_twice", "A claim is accepted twice.")
        if not self._is_erased(body, report):
            self._check_covered(body, self.host, at_s, report)
        if self.accepted.setdefault(body.nullifier, body.claim) != body.claim:
            report("P7.nullifier", "Two claims with one nullifier are accepted.")
        self.acceptances[body.claim] = body, index
        self.logged_at_s.setdefault(body.claim, at_s)

    def _program(self, body: ProgramBody, report: _Report) -> None:
        if self.programs.setdefault((body.payer, body.program, body.program_version), body) != body:
            report("P8.program", "A version of a program is logged again with another content.")

    def _erasure(self, body: ErasureBody, report: _Report) -> None:
        known = self.erasures.get(body.erasure)
        if self.host not in (body.origin, body.partner):
            report("P9.party", "An erasure is between two other partners.")
        if known is None:
            if body.state == "attested" and self.host == body.origin:
                report("P9.step", "A partner attested to an erasure that is not in this ledger.")
            elif body.state == "erased" and self.host == body.partner:
                report("P9.step", "A subject is erased here in another partner's name.")
        elif known.state == "attested" or body.state == "erased" or _asked(known) != _asked(body):
            report("P9.step", f"An erasure that was {known.state} is {body.state}, or changed.")
        for receipt in body.receipts:
            life = self.receipts.get(receipt)
            if life is not None and life.live_leaf is not None:
                report("P9.still_live", "A link is erased while a receipt of it is live.")
        self.erasures[body.erasure] = body
        self.erased.update(body.receipts)

    def _is_erased(self, body: DisclosureBody | AcceptanceBody, report: _Report) -> bool:
        """Return whether an answer names a receipt of an erased link; no other rule is about it then."""
        if body.receipt not in self.erased:
            return False
        report("P9.after", "An answer is issued, delivered or accepted for a link that was erased.")
        return True

    def _check_covered(self, body: DisclosureBody | AcceptanceBody, recipient: str, at_s: int, report: _Report) -> None:
        life = self.receipts.get(body.receipt)
        if life is None:
            report("P4.no_receipt", "An answer names a receipt that is not in this ledger.")
            return
        terms, live_leaf = life.body, life.leaf_for(body)
        if live_leaf is None or not terms.valid_from <= at_s < terms.valid_until:
            report("P4.not_live", f"An answer names a receipt that is {terms.state} or not acknowledged here.")
        elif body.receipt_leaf != live_leaf:
            report("P4.receipt_leaf", "An answer names another entry than the one that made its receipt live.")
        if recipient != terms.recipient:
            report("P4.recipient", "An answer went to another recipient than its receipt names.")
        if COVERED_BY.get(body.purpose, frozenset()).isdisjoint(terms.purposes):
            report("P4.purpose", "An answer was given for another purpose than its receipt names.")
        if RUNG_HEIGHT[body.rung] > RUNG_HEIGHT[terms.rung]:
            report("P4.rung", "An answer reveals more than its receipt permits.")
        if (body.program, body.program_version) != (terms.program, terms.program_version):
            report("P4.program", "An answer was given for another program than its receipt names.")
        if not _overlaps(body.period, terms):
            report("P4.period", "An answer is about a period that its receipt does not cover.")

    def _check_once(self, body: DisclosureBody, report: _Report) -> None:
        earlier = self.issued.get(body.nullifier)
        if earlier is not None and body.supersedes != earlier:
            report(
                "P7.nullifier", "Two claims with one nullifier are issued, and the second does not replace the first."
            )
        elif body.nullifier in self.delivered:
            report("P7.nullifier", "A claim replaces one that was delivered.")
        self.issued[body.nullifier] = body.claim

    def _reporter(self, where: str) -> _Report:
        def report(rule: str, problem: str) -> None:
            self.findings.append(Finding(rule, where, problem))

        return report


def receipt_is_open(body: ReceiptBody) -> bool:
    """Return whether more may come of a receipt after its last step `body`, answers under way apart.

    An ending that was signed stays open where that was until the other side has signed for it.
    """
    return ReceiptState(body.state) in OPEN or (body.signed != "" and body.acknowledgement is None)


def carried_receipt(body: ReceiptBody, deliverable: frozenset[str]) -> Carried:
    """Return the record of a receipt whose last step is `body`, with what its ending still lets through."""
    return Carried("receipt", body.model_copy(update={"deliverable": tuple(sorted(deliverable))}).document())


def carried_disclosure(body: DisclosureBody, *, at_s: int) -> Carried:
    """Return the record of an answer that was issued here at `at_s`: whole while it may still be delivered."""
    if body.state == "issued":
        return Carried("disclosure", CarriedDisclosure(disclosure=body, at=at_s).document())
    answer = CarriedAnswer(claim=body.claim, nullifier=body.nullifier, state=body.state, at=at_s)
    return Carried("answer", answer.document())


def without_leaves(records: Iterable[Carried]) -> Iterator[Carried]:
    """Yield records as two logs must agree on them: the place of a receipt is another one in each."""
    for record in records:
        if record.kind == "disclosure":
            disclosure = {**record.body["disclosure"], "receipt_leaf": 0}
            record = Carried(record.kind, {**record.body, "disclosure": disclosure})
        yield record


def _acknowledges(body: ReceiptBody, before: ReceiptBody) -> bool:
    """Return whether a step records that the other partner signed the step before it, once."""
    signs = body.acknowledgement is not None and ReceiptState(body.state) not in ASKED
    return signs and before.state == body.state and before.acknowledgement is None


def _fixed(body: ReceiptBody) -> ReceiptBody:
    """Return the body without what the steps of one version may change."""
    steps = {"state": "requested", "grade": "", "signed": "", "acknowledgement": None, "deliverable": ()}
    return body.model_copy(update=steps)


def _asked(body: ErasureBody) -> ErasureBody:
    """Return the body without what its steps may change."""
    return body.model_copy(update={"state": "erased", "attestation": None})


def _answered(body: DisclosureBody) -> DisclosureBody:
    """Return the body without what its steps may change."""
    return body.model_copy(update={"state": "issued", "acceptance": ""})


def _overlaps(period: str, terms: ReceiptBody) -> bool:
    try:
        first, last = dates_of(period)
    except BadInput:
        return False
    start_s = (first - _EPOCH).days * DAY_S
    end_s = ((last - _EPOCH).days + 1) * DAY_S
    return terms.events_from < end_s + ZONE_SPREAD_S and start_s - ZONE_SPREAD_S < terms.events_until
