"""Where a receipt is in its life, and which state may follow which.

Source: W3C DPV 2 (consent states).
"""

from enum import StrEnum

from tallystick_consent.errors import ReceiptRejected


class ReceiptState(StrEnum):
    """Where a receipt is in its life: the ten consent states of DPV 2, and PAUSED, which DPV has no word for.

    UNKNOWN (`dpv:ConsentUnknown`) is before the first entry, and stands in none. REQUESTED (`dpv:ConsentRequested`) and
    DEFERRED (`dpv:ConsentRequestDeferred`) wait for the subject. GIVEN (`dpv:ConsentGiven`) is the first yes; RENEWED
    (`dpv:RenewedConsentGiven`) is every further one: after a pause, at a reconfirmation, in a new version. An ending
    says whose act it was: REFUSED (`dpv:ConsentRefused`) and WITHDRAWN (`dpv:ConsentWithdrawn`) are the subject's,
    REVOKED (`dpv:ConsentRevoked`) is a partner's, INVALIDATED (`dpv:ConsentInvalidated`) says that the giving never
    was one, and EXPIRED (`dpv:ConsentExpired`) is nobody's. PAUSED stops answers, and ends nothing.
    """

    UNKNOWN = "unknown"
    REQUESTED = "requested"
    DEFERRED = "deferred"
    GIVEN = "given"
    RENEWED = "renewed"
    PAUSED = "paused"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    EXPIRED = "expired"


ASKED = frozenset({ReceiptState.REQUESTED, ReceiptState.DEFERRED})
"""The subject has not answered yet."""

IN_FORCE = frozenset({ReceiptState.GIVEN, ReceiptState.RENEWED})
"""Answers may leave, once the other partner has signed."""

HELD = IN_FORCE | {ReceiptState.PAUSED}
"""It was given and has not ended: what it permitted may have been told."""

OPEN = ASKED | HELD
"""More may come of it."""

STOPS = frozenset(
    {ReceiptState.PAUSED, ReceiptState.WITHDRAWN, ReceiptState.REVOKED, ReceiptState.INVALIDATED}
)  # fmt: skip
"""What one partner tells the other to stop answers, and that one signs for, also where it had ended them itself."""

_AFTER_ASKING = frozenset({ReceiptState.GIVEN, ReceiptState.REFUSED, ReceiptState.REVOKED, ReceiptState.EXPIRED})

_AFTER_GIVING = frozenset(
    {
        ReceiptState.RENEWED,
        ReceiptState.WITHDRAWN,
        ReceiptState.REVOKED,
        ReceiptState.INVALIDATED,
        ReceiptState.EXPIRED,
    }
)

TRANSITIONS: dict[ReceiptState, frozenset[ReceiptState]] = {
    ReceiptState.UNKNOWN: frozenset({ReceiptState.REQUESTED}),
    ReceiptState.REQUESTED: _AFTER_ASKING | {ReceiptState.DEFERRED},
    ReceiptState.DEFERRED: _AFTER_ASKING,
    ReceiptState.GIVEN: _AFTER_GIVING | {ReceiptState.PAUSED},
    ReceiptState.RENEWED: _AFTER_GIVING | {ReceiptState.PAUSED},
    ReceiptState.PAUSED: _AFTER_GIVING,
    ReceiptState.REFUSED: frozenset(),
    ReceiptState.WITHDRAWN: frozenset(),
    ReceiptState.REVOKED: frozenset(),
    ReceiptState.INVALIDATED: frozenset(),
    ReceiptState.EXPIRED: frozenset(),
}
"""Which state may follow which."""


def check_transition(before: ReceiptState, after: ReceiptState) -> None:
    """Return quietly if a receipt may go from `before` to `after`.

    Raises:
        ReceiptRejected: it may not.
    """
    if after not in TRANSITIONS[before]:
        raise ReceiptRejected(
            "receipt_state", f"A receipt that is {before} cannot become {after}.", remedy="Read its state, then decide."
        )
