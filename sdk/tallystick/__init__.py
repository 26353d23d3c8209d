"""Floor 3: talk to nodes, believe nothing unchecked. Clients, the wire's shapes and signatures, the audit."""

from tallystick.calls import OfferInHand
from tallystick.client import AsyncClient, Client
from tallystick.errors import (
    Conflict,
    ConsentRefused,
    KeyRefused,
    NodeFailed,
    NodeProblem,
    NodeUnidentified,
    NodeUnreachable,
    NotFound,
    RateLimited,
    ReplyForged,
    TallyError,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Conflict",
    "ConsentRefused",
    "KeyRefused",
    "NodeFailed",
    "NodeProblem",
    "NodeUnidentified",
    "NodeUnreachable",
    "NotFound",
    "OfferInHand",
    "RateLimited",
    "ReplyForged",
    "TallyError",
]
