"""What a recipient may keep of what it learned: which field, on which ground, and for how long.

Pure. Each is a duty: what is kept until a time is discharged by then, and the recipient's ledger says so. An answer is
kept so many days from when it was taken, and never longer than the receipt is in force, since its ground is consent.
What is kept on another ground, is kept so many days from the receipt's end.

Source: API section 6 (`retention`), GDPR articles 5(1)(e) and 17(3).
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick_consent.fields import Strict
from tallystick_ledger.times import DAY_S

DISCHARGE_WITHIN_S = 7 * DAY_S
"""How long after its time a duty may wait before it is overdue: a week, in which a node that is down is mended."""

RetainedField = Literal["answers", "evidence", "accounting"]
"""What a recipient holds of a receipt.

answers     what the claims say
evidence    how the giving was seen, a wallet's key and signature with it
accounting  which reward was paid to whom, for which claim; that it was paid stands in the ledger
"""

RetentionGround = Literal["consent", "legal_claims", "legal_obligation"]
"""Why it is kept: GDPR article 6(1)(a), article 17(3)(e), article 17(3)(b)."""


class Retention(Strict):
    """That a field is kept on a ground, and until when.

    Attributes:
        until_days: of answers, from when each was taken; of anything else, from the receipt's end.
    """

    field: RetainedField
    ground: RetentionGround
    until_days: Annotated[int, Field(ge=0, le=3_660)]

    @model_validator(mode="after")
    def _ends_with_its_ground(self) -> "Retention":
        if (self.field == "answers") != (self.ground == "consent"):
            raise ValueError("answers are kept on consent, and nothing else is, since that has ended by then")
        if self.field == "answers" and not self.until_days:
            raise ValueError("an answer is kept for a day at least")
        return self


Retentions = Annotated[tuple[Retention, ...], Field(max_length=3)]


def require_consistent(retention: Sequence[Retention], *, answers_s: int) -> None:
    """Return quietly if each field is named once, and answers as the terms that hold them say.

    Args:
        retention: what is kept.
        answers_s: how long an answer may be kept, seconds.

    Raises:
        ValueError: it is not.
    """
    days = {each.field: each.until_days for each in retention}
    if len(days) != len(retention):
        raise ValueError("a field is kept on one ground")
    if "answers" in days and days["answers"] * DAY_S != answers_s:
        raise ValueError("two ends are said of an answer")


def keeps_more(before: Sequence[Retention], after: Sequence[Retention]) -> bool:
    """Return whether anything may be kept longer after than before, on another ground, or without saying until when."""
    now = {(each.field, each.ground): each.until_days for each in after}
    return any(now.get((each.field, each.ground), each.until_days + 1) > each.until_days for each in before)
