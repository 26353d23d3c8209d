"""Replay consent from a ledger's entries alone: was every answer covered by a live receipt, and counted once?

Pure, and told of one entry at a time. The rules' ids are stable; each has a test in which one entry is wrong and just
that rule fires.

entries   told of every entry, it asks what has the rules for its kind
state     what is remembered of the entries so far
receipts  the life of a receipt, step by step
answers   what was issued, delivered, accepted, and whether a receipt covered it
corrections  events that were wrong or missing, and the answers that stand no longer because of them
programs  versions of programs
duties    what a recipient may keep until a time, and must discharge
together  what the answers of one period tell together, against the receipt
erasures  links that were erased, after which nothing more is answered
opening   what a log's opening carries over from the log before

Source: DESIGN section 5 (P4, P5, P7, P8, P9, P14, P16, P17), LEDGER-FORMATS section 10.
"""

from tallystick_consent.replay.answers import carried_disclosure
from tallystick_consent.replay.duties import carried_duty
from tallystick_consent.replay.entries import LEDGER_KINDS, ConsentReplay
from tallystick_consent.replay.opening import untold, without_leaves
from tallystick_consent.replay.programs import count_untold
from tallystick_consent.replay.receipts import (
    SETTLES_MAX_S,
    ReceiptCounts,
    acknowledgement_rule,
    answers_request,
    carried_receipt,
    count_receipts,
    counts_here,
    fixed_terms,
    receipt_is_open,
)
from tallystick_consent.replay.state import TIME_SLACK_S, Acknowledged, ReceiptLife

__all__ = [
    "LEDGER_KINDS",
    "SETTLES_MAX_S",
    "TIME_SLACK_S",
    "Acknowledged",
    "ConsentReplay",
    "ReceiptCounts",
    "ReceiptLife",
    "acknowledgement_rule",
    "answers_request",
    "carried_disclosure",
    "carried_duty",
    "carried_receipt",
    "count_receipts",
    "count_untold",
    "counts_here",
    "fixed_terms",
    "receipt_is_open",
    "untold",
    "without_leaves",
]
