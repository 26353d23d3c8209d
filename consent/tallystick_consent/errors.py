"""Errors of the consent floor; the tower's shared ones are in `tallystick_ledger.errors`.

TallyError
  ClaimRejected       a claim is malformed, forged, stale, or meant for somebody else
  ReceiptRejected     a receipt is malformed, wrongly signed, or cannot go where it is asked to
  ProgramRejected     a program is malformed, or asks for what its rule does not need
"""

from pydantic import ValidationError

from tallystick_ledger.errors import TallyError

PLACES_SIZE_MAX = 200
"""How many characters of places an error names."""


class ClaimRejected(TallyError):
    """A claim, or the key binding shown with it, cannot be relied on.

    Attributes:
        reason: `claim_malformed`, `signature_invalid`, `claim_expired`, `claim_not_yet_valid`, `audience_mismatch`,
            `key_binding_missing`, `key_binding_unexpected`, `key_binding_stale` or `key_binding_mismatch`; or, of a
            claim's content, `claim_mismatch`; or, of its status, `claim_revoked`, `status_invalid` or `status_stale`.
    """

    def __init__(self, reason: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = self.reason = reason


class ReceiptRejected(TallyError):
    """A receipt cannot be taken, or cannot change as asked.

    Attributes:
        code: `receipt_malformed`, `receipt_state`, `signature_invalid`, or a code of `decide`.
    """

    def __init__(self, code: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


class ProgramRejected(TallyError):
    """A program cannot be taken as it is written."""

    code = "program_invalid"


def places_in(error: ValidationError) -> str:
    """Return where a document is not of its form, as JSON Pointers; never what stood there.

    A member that must not be there is not named either: its name came from outside, and may be a person's.
    """
    places = {
        "a member it must not have" if each["type"] == "extra_forbidden" else "/" + "/".join(map(str, each["loc"]))
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    }
    return ", ".join(sorted(places))[:PLACES_SIZE_MAX]
