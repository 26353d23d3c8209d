"""The partners, and what is to be delivered to them."""

from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import partial_index, table_of


class Partner(SQLModel, table=True):
    """A partner that two people compared fingerprints for."""

    host: str = Field(primary_key=True)
    fingerprint: str
    descriptor: str
    added_at_s: int


_LEAVING = ("partner", "not_before_s", "number")


class Message(SQLModel, table=True):
    """Something to deliver to a partner, once; `id` is its idempotency key there.

    Attributes:
        kind: which follow-up its answer has here.
        about: the receipt, agreement or claim it is about.
        receipt: the receipt under which an answer leaves; withheld with it.
        state: `queued`, `sending`, `delivered`, `withheld`, `expired` or `rejected`.
        maybe_arrived: an attempt ended without an answer, and may have reached the partner all the same.
    """

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    partner: str
    path: str
    body: str | None = None
    kind: str
    about: str = Field(index=True)
    receipt: str | None = Field(default=None, index=True)
    state: str
    not_before_s: int
    attempts: int = 0
    next_attempt_s: int
    maybe_arrived: bool = False

    __table_args__ = (
        Index("message_by_partner_state", "partner", "state"),
        # In the order in which they leave: a partner that was away has many.
        partial_index("message_to_go", *_LEAVING, of="state = 'queued' AND kind != 'claim.issued'"),
        partial_index("answer_to_go", *_LEAVING, of="state = 'queued' AND kind = 'claim.issued'"),
    )


PARTNERS = table_of(Partner)
MESSAGES = table_of(Message)
