"""Errors of the consent floor; the tower's shared ones are in `tallystick_ledger.errors`.

TallyError
  ClaimRejected       a claim is malformed, forged, stale, or meant for somebody else
  ReceiptRejected     a receipt is malformed, wrongly signed, or cannot go where it is asked to
  ProgramRejected     a program is malformed, or asks for what its rule does not need
"""

from collections.abc import Sequence
from typing import Any, cast

from pydantic import ValidationError

from tallystick_ledger.errors import TallyError

PLACES_SIZE_MAX = 400
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


def places_in(error: ValidationError, document: object = None) -> str:
    """Return where a document is not of its form, as JSON Pointers, and why where that is told; never what stood there.

    A member that must not be there is not named either: its name came from outside, and may be a person's.

    Args:
        error: what was found.
        document: what was read, where its forms are several: by which of them it was read is left out then, and
            reasons are told. They are of the form, or were written by us.
    """
    places = {_place(each, document) for each in error.errors(include_input=False, include_url=False)}
    return ", ".join(sorted(places))[:PLACES_SIZE_MAX]


_TOLD = frozenset(
    {
        "value_error",
        "missing",
        "literal_error",
        "less_than",
        "less_than_equal",
        "greater_than",
        "greater_than_equal",
        "too_long",
        "too_short",
    }
)
"""Kinds of errors whose reasons repeat nothing of what stood there."""


def _place(each: Any, document: object) -> str:
    if each["type"] == "extra_forbidden":
        return "a member it must not have"
    if document is None:
        return "/" + "/".join(map(str, each["loc"]))
    place = "/" + "/".join(_path_in(document, each["loc"], is_missing=each["type"] == "missing"))
    reason = str(each["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f"{place} ({reason})" if each["type"] in _TOLD else place


def _path_in(document: object, loc: Sequence[int | str], *, is_missing: bool) -> list[str]:
    """Return a place as the document has it: pydantic names as well by which of several forms a part was read."""
    path: list[str] = []
    before, here = document, document
    for part in loc:
        if _has(here, part):
            before, here = here, _at(here, part)
            path.append(str(part))
        elif _has(before, part):  # what looked like a member was the name of a form
            here = _at(before, part)
            path[-1:] = [str(part)]
    if is_missing:
        path[len(path) - (not isinstance(here, dict)) :] = [str(loc[-1])]
    return path


def _has(value: object, part: int | str) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(cast("list[object]", value))


def _at(value: Any, part: int | str) -> object:
    return value[part]
