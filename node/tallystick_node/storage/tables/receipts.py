"""Receipts, their versions, and what is kept of them until when."""

from sqlalchemy import text
from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import partial_index, table_of


class Receipt(SQLModel, table=True):
    """A receipt.

    Attributes:
        live_leaf: index of the entry that made it live, in the log that is written now: after a turn of the year that
            is the part of the opening which carries it.
        lived_leaf: the same, after it was stopped.
        last_step: its last step as its entry has it, with what its ending let through.
        confirm_by_s: until when the subject must say yes again, where that is here; it pauses then.
        settles_until_s: until when what its ending lists may still come; None where nothing may.
        unacknowledged_since_s: when the step was taken here that the other partner has not signed for.
        next_close_s: when the next period of its program is to be evaluated here, if ever.
        signed_log, signed_leaf: where the entry stands that names the last yes, and the other partner's signature over
            it once there is one; None for what was logged before that was kept.
        stop, stop_acknowledgement: the withdrawal or stop that came after that yes, as it was signed, and the other
            partner's signature over it; None where there is none.
        stop_log, stop_leaf: where the entry stands that names those.
    """

    id: str = Field(primary_key=True)
    version: int
    link: str = Field(index=True)
    partner: str
    role: str
    state: str
    terms: str
    notice: str
    last_step: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    evidence: str | None = None
    signed: str | None = None
    acknowledgement: str | None = None
    requested_at_s: int
    acknowledged_at_s: int | None = None
    live_leaf: int | None = None
    uses: int = 0
    ended_at_s: int | None = None
    end_acknowledged_at_s: int | None = None
    valid_until_s: int
    next_period: str | None = None
    next_close_s: int | None = None
    lived_leaf: int | None = None
    confirm_by_s: int | None = Field(default=None, index=True)
    settles_until_s: int | None = Field(default=None, index=True)
    unacknowledged_since_s: int | None = Field(default=None, index=True)
    signed_log: str | None = None
    signed_leaf: int | None = None
    stop: str | None = None
    stop_acknowledgement: str | None = None
    stop_log: str | None = None
    stop_leaf: int | None = None

    __table_args__ = (
        # In the order in which they are closed: at the end of a month many are due at one moment.
        Index("receipt_by_close", "next_close_s", "id"),
        # Asked for ten times a second, among many that are over.
        partial_index("receipt_asked", "requested_at_s", of="state IN ('deferred', 'requested')"),
        partial_index("receipt_running", "valid_until_s", of="ended_at_s IS NULL"),
    )


class ReceiptVersion(SQLModel, table=True):
    """A version of a receipt that is not the one in force.

    Attributes:
        state: `requested` while the subject has not answered; `superseded`, `refused` or `expired`.
        last_step: of one that is requested, as its entry has it.
    """

    receipt: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    state: str = Field(index=True)
    terms: str
    last_step: str
    changed_at_s: int


class SignedFor(SQLModel, table=True):
    """What this node answered a stop that a partner signed: the same, however often it is asked.

    Attributes:
        signed: digest of the partner's signed stop.
        token: our signed acknowledgement.
        crossed: the receipt and the state, where it had ended here before; each crosses an end once.
        at_s: when it was signed.
    """

    __table_args__ = (Index("signedfor_crossed", "crossed", unique=True),)

    signed: str = Field(primary_key=True)
    token: str
    crossed: str | None = None
    at_s: int = Field(default=0, index=True, sa_column_kwargs={"server_default": text("0")})


class Duty(SQLModel, table=True):
    """What this node, where it receives, keeps of a receipt until a time; the row goes once that is discharged.

    Attributes:
        field, ground: words of `tallystick_consent.receipts.retention`.
        claim: of an answer, its digest; else "".
        due_s: until when it is kept.
        declared: the receipt's terms name it, so that its discharge is logged.
    """

    number: int | None = Field(default=None, primary_key=True)
    receipt: str = Field(index=True)
    field: str
    ground: str
    claim: str
    due_s: int = Field(index=True)
    declared: bool


RECEIPTS = table_of(Receipt)
RECEIPT_VERSIONS = table_of(ReceiptVersion)
SIGNED_FOR = table_of(SignedFor)
DUTIES = table_of(Duty)
