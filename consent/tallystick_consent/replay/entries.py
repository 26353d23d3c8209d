"""The replay of consent, told of every entry of one log in order."""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick_consent.entries import (
    BODIES,
    AcceptanceBody,
    Body,
    CorrectionBody,
    DischargeBody,
    DisclosureBody,
    ErasureBody,
    EventBody,
    ProgramBody,
    ReceiptBody,
    RetractionBody,
    parse_body,
)
from tallystick_consent.replay.answers import take_acceptance, take_disclosure
from tallystick_consent.replay.corrections import take_correction, take_event, take_retraction
from tallystick_consent.replay.duties import finish_duties, owe_answer, take_discharge
from tallystick_consent.replay.erasures import finish_erasures, take_erasure
from tallystick_consent.replay.opening import carries, take_opening
from tallystick_consent.replay.programs import take_program
from tallystick_consent.replay.receipts import finish_receipts, take_receipt
from tallystick_consent.replay.state import ConsentState
from tallystick_ledger.entry import Entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.opening import Carried

LEDGER_KINDS = frozenset({"opening", "key", "peer_head", "transfer"})
"""Kinds that the ledger floor replays."""


@dataclass(slots=True)
class ConsentReplay(ConsentState):
    """The state of consent in one ledger, and what moves it on from entry to entry."""

    def take(self, entry: Entry, index: int) -> None:
        """Replay one entry that stands at `index`."""
        report = self.reporter(index)
        if entry.kind not in BODIES:
            if entry.kind == "opening":
                take_opening(self, entry, index, report)
            elif entry.kind not in LEDGER_KINDS:
                self.count_unchecked(entry.kind)
            return
        try:
            body = parse_body(entry.kind, entry.body)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
            return
        self.take_body(body, entry.id, index, entry.at_s)

    def take_event(self, index: int) -> None:
        """Replay the entry at `index`, which is known to be a well formed `event`."""
        take_event(self, index)

    def take_body(self, body: Body, entry_id: str, index: int, at_s: int) -> None:
        """Replay the entry `entry_id` at `index`, recorded at `at_s`, of a kind in `BODIES` and with this body."""
        report = self.reporter(index)
        # The type itself: `isinstance` asks a model's class in Python, which takes as long as parsing the body.
        if type(body) is ReceiptBody:
            take_receipt(self, body, index, at_s, report)
        elif type(body) is DisclosureBody:
            take_disclosure(self, body, index, at_s, report)
        elif type(body) is AcceptanceBody:
            take_acceptance(self, body, index, at_s, report)
            owe_answer(self, body, index, at_s)
        elif type(body) is ProgramBody:
            take_program(self, body, report)
        elif type(body) is ErasureBody:
            take_erasure(self, body, report)
        elif type(body) is DischargeBody:
            take_discharge(self, body, report)
        elif type(body) is EventBody:
            take_event(self, index)
        elif type(body) is CorrectionBody:
            take_correction(self, body, entry_id, index, report)
        elif type(body) is RetractionBody:
            take_retraction(self, body, report)

    def finish(self, *, newest_s: int) -> None:
        """Check what holds only of the whole log; `newest_s` is the latest time that any entry of it states."""
        finish_receipts(self, newest_s=newest_s)
        finish_erasures(self)
        finish_duties(self, newest_s=newest_s)

    def carries(self, at_s: int) -> Iterator[Carried]:
        """Yield the records of this floor that the opening of the next log must carry, if it is written at `at_s`.

        Receipts come before the answers that name them. The `receipt_leaf` of an answer is that of this log.
        """
        return carries(self, at_s)
