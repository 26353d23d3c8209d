"""The one table from an error's class to an HTTP status, and the problem document it becomes.

A problem says what an engineer at the caller's company can do, and nothing about a person (RFC 9457, API section 3).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.signing import ClockSkew
from tallystick.wire import PROBLEM_BASE, Problem
from tallystick_consent.errors import ClaimRejected, ProgramRejected, ReceiptRejected
from tallystick_consent.rules import RuleRejected
from tallystick_ledger.errors import (
    BadInput,
    BooksRefused,
    PayloadErased,
    PayloadUnavailable,
    PolicyUnmet,
    ProofRejected,
    SignatureRejected,
    TallyError,
)
from tallystick_node.errors import (
    ClockBehind,
    CodeRefused,
    IdempotencyMissing,
    IdempotencyRefused,
    KeyInvalid,
    LogReadOnly,
    LogUnasked,
    LogUnreadable,
    NotFound,
    NotReady,
    OfferRefused,
    PartnerUnknown,
    PeerUnavailable,
    Refused,
    ReplayDetected,
    ScopeMissing,
    SettingsInvalid,
    SignerUnavailable,
    StatusUnavailable,
    StorageUnavailable,
    TooManyRequests,
    WitnessForgot,
)

STATUSES: dict[type[TallyError], int] = {
    KeyInvalid: 401,
    SignatureRejected: 401,
    ClockSkew: 401,
    ScopeMissing: 403,
    NotFound: 404,
    PartnerUnknown: 404,
    OfferRefused: 409,
    CodeRefused: 409,
    ReplayDetected: 409,
    Refused: 409,
    ReceiptRejected: 409,
    BooksRefused: 409,
    PayloadErased: 410,
    IdempotencyMissing: 400,
    IdempotencyRefused: 422,
    BadInput: 422,
    ClaimRejected: 422,
    ProgramRejected: 422,
    RuleRejected: 422,
    ProofRejected: 422,
    PolicyUnmet: 422,
    TooManyRequests: 429,
    PayloadUnavailable: 503,
    PeerUnavailable: 503,
    StatusUnavailable: 503,
    StorageUnavailable: 503,
    LogUnreadable: 503,
    ClockBehind: 503,
    NotReady: 503,
    LogReadOnly: 503,
    SignerUnavailable: 503,
    LogUnasked: 503,
    WitnessForgot: 503,
    SettingsInvalid: 500,
}
"""The nearest class up the tree counts."""

TITLES = {
    400: "The request is incomplete",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "No such method here",
    409: "Not possible as things stand",
    410: "Gone",
    413: "Too large",
    415: "Of another media type",
    422: "Not of the form it must have",
    429: "Too many requests",
    500: "A failure of this node",
    503: "Not possible just now",
}

RETRY_AFTER_S = 2
ERRORS_MAX = 20
POINTER_MAX_CHARS = 200


def status_of(error: TallyError) -> int:
    """Return the HTTP status of an error."""
    return next((STATUSES[each] for each in type(error).__mro__ if each in STATUSES), 500)


def problem_of(error: TallyError, *, request_id: str) -> Problem:
    """Return the problem document of an error."""
    status = status_of(error)
    return make_problem(
        status,
        error.code,
        error.problem,
        error.remedy,
        request_id=request_id,
        server_time=error.server_time_s if isinstance(error, ClockSkew) else None,
        existing_id=error.existing_id if isinstance(error, Refused) else None,
        retry_after=error.retry_after_s if isinstance(error, TooManyRequests) else None,
    )


def make_problem(
    status: int,
    code: str,
    detail: str,
    remedy: str,
    *,
    request_id: str,
    server_time: int | None = None,
    existing_id: str | None = None,
    retry_after: int | None = None,
    errors: tuple[dict[str, str], ...] = (),
) -> Problem:
    """Return a problem document; after 429 and 503 alone the same request may succeed."""
    return Problem(
        type=PROBLEM_BASE + code,
        title=TITLES.get(status, TITLES[500]),
        status=status,
        detail=detail,
        code=code,
        remedy=remedy,
        request_id=request_id,
        retryable=status in (429, 503),
        retry_after=RETRY_AFTER_S if status == 503 else retry_after,
        server_time=server_time,
        existing_id=existing_id,
        errors=errors,
    )


def problem_headers(problem: Problem) -> dict[str, str]:
    """Return the headers that a problem calls for (RFC 9110, section 10.2.3)."""
    return {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}


def invalid_form(errors: Sequence[Any], *, request_id: str) -> Problem:
    """Return the problem of a request that is not of its form: where, and in which way, never what stood there.

    Args:
        errors: as pydantic lists them.
        request_id: names the request in our log.
    """
    places = tuple({"pointer": _pointer(each), "code": str(each["type"])} for each in errors[:ERRORS_MAX])
    return make_problem(
        422,
        "invalid_input",
        "The request is not of the form that this call takes.",
        "Compare it with the schema in /openapi.json; types are strict and unknown members are refused.",
        request_id=request_id,
        errors=places,
    )


def _pointer(error: Mapping[str, Any]) -> str:
    """Return where an error stands; the name of a member that we do not know is the caller's, and is not repeated."""
    parts = [str(part) for part in error["loc"] if part not in ("body", "path", "query")]
    if error["type"] == "extra_forbidden":
        parts.pop()
    return "".join(f"/{part}" for part in parts)[:POINTER_MAX_CHARS]
