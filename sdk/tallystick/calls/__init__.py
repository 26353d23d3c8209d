"""What can be asked of a node: for each call its path, its body, and what its reply must prove.

Pure, a file for each noun. Each method returns a `Call`; `client` runs it, blocking or awaited. Arguments that a node
would refuse for their form are refused here, before anything is sent, and no refusal repeats their value.

Source: docs/protocol.md (For apps).
"""

from tallystick.calls.answers import ClaimCalls, DecisionCalls, RewardCalls
from tallystick.calls.events import EventCalls
from tallystick.calls.links import VERIFIER_SIZE_BYTES, LinkCalls, OfferInHand
from tallystick.calls.pages import PAGES_MAX, next_cursor
from tallystick.calls.people import ActCalls, DeskCalls, StandingCalls
from tallystick.calls.programs import ProgramCalls
from tallystick.calls.proofs import ProofCalls
from tallystick.calls.receipts import ReceiptCalls
from tallystick.calls.subjects import SubjectCalls

__all__ = [
    "PAGES_MAX",
    "VERIFIER_SIZE_BYTES",
    "ActCalls",
    "ClaimCalls",
    "DecisionCalls",
    "DeskCalls",
    "EventCalls",
    "LinkCalls",
    "OfferInHand",
    "ProgramCalls",
    "ProofCalls",
    "ReceiptCalls",
    "RewardCalls",
    "StandingCalls",
    "SubjectCalls",
    "next_cursor",
]
