"""Errors of the SDK, one class for each thing a caller can do about them.

No message holds a person's data, a key or a token: what a node says is repeated only as far as it is plain text of
a bounded length, and what a request held is never repeated.

TallyError
  NodeUnreachable     no answer came, and one may come later: try again
  NodeUnidentified    nothing says whose node this is: give a fingerprint or a descriptor
  ReplyForged         an answer came that must not be believed: keep it, and ask its operator
  NodeProblem         the node answered with a problem
    KeyRefused        the key or signature is not known here, or not allowed this: use another
    ConsentRefused    no live receipt covers it: ask the subject
    Conflict          it stands already, or not as it was asked: read what stands
    NotFound          there is no such thing, or none for this caller
    RateLimited       too much at once: wait `retry_after_s`
    NodeFailed        the node could not do it: try again later, with the same idempotency key
"""

from tallystick.wire import Problem
from tallystick_ledger.errors import TallyError

__all__ = [
    "Conflict",
    "ConsentRefused",
    "KeyRefused",
    "NodeFailed",
    "NodeProblem",
    "NodeUnidentified",
    "NodeUnreachable",
    "NotFound",
    "RateLimited",
    "ReplyForged",
    "TallyError",
    "forged",
    "problem_error",
    "require",
]

TEXT_MAX_CHARS = 500
"""How much of what a node says is repeated."""

CONSENT_CODES = frozenset(
    {
        "audience_mismatch",
        "field_not_allowed",
        "guardian_missing",
        "issuer_mismatch",
        "period_not_covered",
        "program_mismatch",
        "purpose_not_allowed",
        "receipt_expired",
        "receipt_invalidated",
        "receipt_missing",
        "receipt_not_given",
        "receipt_not_yet_valid",
        "receipt_paused",
        "receipt_refused",
        "receipt_revoked",
        "receipt_unacknowledged",
        "receipt_withdrawn",
        "reconfirm_required",
        "rung_not_allowed",
        "uses_spent",
    }
)
"""Codes that mean: no live receipt covers this; each reason by which `tallystick_consent.decide` refuses is one."""


class NodeUnreachable(TallyError):
    """No answer came from the node itself: no connection, no time left, or only a proxy that found it down.

    Whether the request was applied is unknown; with the same idempotency key it can be sent again safely.

    Attributes:
        code: `node_unreachable` of an app's own node, `peer_unavailable` of a partner's.
    """

    code = "node_unreachable"
    retryable = True

    def __init__(self, problem: str, *, remedy: str, code: str = "node_unreachable") -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


class NodeUnidentified(TallyError):
    """Replies are to be verified, and nothing says whose keys they must verify under."""

    code = "node_unidentified"


class ReplyForged(TallyError):
    """An answer came that must not be believed: it does not verify, or is not of the form it must have.

    Whether the request was applied is unknown. Where another check raised it, that is its `__cause__`.

    Attributes:
        code: `reply_forged`; `ledger_forked` where two signed heads contradict each other; `reply_malformed` where the
            reply is too large, a redirect, or not what the protocol says; `clock_skew` where it is signed for
            another time; `log_rolled_back` and `growth_unproven` where a head does not continue the last one seen.
        evidence: the two signed heads that contradict each other, byte for byte: with them the node is convicted.
    """

    code = "reply_forged"

    def __init__(
        self, problem: str, *, remedy: str, code: str = "reply_forged", evidence: tuple[bytes, ...] = ()
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code
        self.evidence = evidence


def forged(problem: str) -> ReplyForged:
    """Return what is raised of a reply that does not hold."""
    return ReplyForged(problem, remedy="Believe nothing of this reply; keep it, and ask the node's operator.")


def require(is_so: bool, problem: str) -> None:
    """Return quietly where a reply is so.

    Raises:
        ReplyForged: it is not.
    """
    if not is_so:
        raise forged(problem)


class NodeProblem(TallyError):
    """The node answered with a problem.

    Attributes:
        code: stable; the node's own word for what is wrong.
        status: the HTTP status.
        request_id: names the request in the node's own log; "" where the node gave none.
        retryable: whether the same request may succeed later.
        retry_after_s: how long the node asks to wait, in seconds; None where it does not say.
        server_time_s: the node's clock, in seconds since 1970-01-01 UTC, where the caller's may be wrong.
        existing_id: what stands already, where that is the problem.
    """

    code = "node_problem"

    def __init__(self, told: Problem) -> None:
        super().__init__(_plain(told.detail) or _plain(told.title), remedy=_plain(told.remedy))
        self.code = _plain(told.code)
        self.status = told.status
        self.request_id = _plain(told.request_id)
        self.retryable = told.retryable
        self.retry_after_s = told.retry_after
        self.server_time_s = told.server_time
        self.existing_id = None if told.existing_id is None else _plain(told.existing_id)


class KeyRefused(NodeProblem):
    """The key or signature is unknown, expired, or not allowed this; trying again does not help."""


class ConsentRefused(NodeProblem):
    """No live receipt covers what was asked; only the subject can change that."""


class Conflict(NodeProblem):
    """What was asked contradicts what stands: `existing_id` says what, or the idempotency key was used before."""


class NotFound(NodeProblem):
    """There is no such thing, or none that this caller may know of; the two look alike."""


class RateLimited(NodeProblem):
    """Too many requests; wait `retry_after_s`."""


class NodeFailed(NodeProblem):
    """The node could not do what it should have; whether it was done is unknown."""


def problem_error(problem: Problem) -> NodeProblem:
    """Return the error that a node's problem is: by its code where that tells of consent, else by its status."""
    return _class_of(problem.code, problem.status)(problem)


def _class_of(code: str, status: int) -> type[NodeProblem]:
    if code in CONSENT_CODES:
        return ConsentRefused
    if status in (401, 403):
        return KeyRefused
    if status == 404:
        return NotFound
    if status == 409 or (status == 422 and code.startswith("idempotency")):
        return Conflict
    if status == 429:
        return RateLimited
    return NodeFailed if status >= 500 else NodeProblem


def _plain(text: str) -> str:
    """Return what may stand in a log: no control characters, and not too much."""
    return "".join(each if each.isprintable() else " " for each in text[:TEXT_MAX_CHARS])
