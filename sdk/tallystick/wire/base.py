"""What every shape on the wire is made of: strict requests, lenient replies, scopes, problems, and entries with proofs.

Source: API (HTTP surface), RFC 9457 (problems).
"""

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES
from tallystick_consent.rules.periods import PERIOD_NAME_PATTERN, dates_of
from tallystick_ledger.errors import BadInput

IDEMPOTENCY_KEY_MAX_CHARS = 128

REQUEST_SIZE_MAX_BYTES = 512 * 1024

PROBLEM_BASE = "https://tallystick.dev/problems/"

Scope = Literal[
    "links:write",
    "receipts:read",
    "receipts:write",
    "events:read",
    "events:write",
    "programs:read",
    "programs:write",
    "claims:read",
    "claims:write",
    "rewards:read",
    "subjects:read",
    "subjects:erase",
    "subject:assert",
    "standings:write",
    "desk:write",
    "audit:read",
]
"""What an app's key may be allowed; `subject:assert` lets the app vouch for who is logged in, and with `desk:write` a
letter's code has to. Who speaks for whom is another matter (`standings:write`): an app that has put it on record for a
customer takes no yes for that one, so that none can say that its user is a guardian."""

SCOPES: tuple[Scope, ...] = Scope.__args__  # type: ignore[attr-defined]

Subject = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,120}$")]
"""A partner's own id of its customer. It stands in bodies, never in URLs."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text that people read has no control characters")
    return text


HINT_MAX_CHARS = 60

Hint = Annotated[str, Field(min_length=1, max_length=HINT_MAX_CHARS), AfterValidator(_printable)]
"""What the owner of an account recognises it by, and nobody else, such as `policy ending 21`."""

Login = Literal["aal1", "aal2", "aal3"]

SignedToken = Annotated[str, Field(min_length=1, max_length=TOKEN_SIZE_MAX_BYTES)]
"""A signed object as compact JWS, or a claim as SD-JWT VC."""

CorrectionId = Annotated[str, Field(pattern=r"^cor_[a-z2-7]{26}$")]

OfferCode = Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,255}~[a-z0-9-]{1,40}~[a-z2-7]{26}$")]
"""`HOST~PROGRAM~CODE`: whose offer it is, what it is for, and 128 random bits."""

Secret = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


def _of_a_period(name: str) -> str:
    try:
        dates_of(name)
    except BadInput:
        raise ValueError("there is no period of that name") from None
    return name


PeriodName = Annotated[str, Field(pattern=PERIOD_NAME_PATTERN), AfterValidator(_of_a_period)]
"""A day, week, month or year in ISO 8601; whether it is a period of the program asked about, its node finds out."""

DOCUMENT_DEPTH_MAX = 32
"""How deep values may lie in a document whose own schema is checked later."""


def _bounded_depth(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is nested deeper than anything here has to be; walks a level at a time, so ours is no deeper."""
    level: list[object] = [document]
    for _ in range(DOCUMENT_DEPTH_MAX + 1):
        level = [value for each in level for value in _inside(each)]
    if level:
        raise ValueError("a document is nested too deep")
    return document


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


Document = Annotated[dict[str, Any], AfterValidator(_bounded_depth)]


class Request(BaseModel):
    """A body that somebody sends us."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Reply(BaseModel):
    """A body that a node answers with."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


PAGE_SIZE_MAX = 1_000
"""How many a page of a list holds at most."""

CURSOR_SIZE_MAX_CHARS = 128

PageLimit = Annotated[int, Field(ge=1, le=PAGE_SIZE_MAX)]
PageCursor = Annotated[str, Field(max_length=CURSOR_SIZE_MAX_CHARS)]
"""`next_cursor` of the page before."""


class Page(Reply):
    """A page of a list.

    Attributes:
        next_cursor: where the next page begins; None where there is none.
    """

    has_more: bool = False
    next_cursor: str | None = None


class EntryProof(Reply):
    """One ledger entry, where it stands, and the proof that it does.

    Attributes:
        entry: the exact text that is hashed.
        proof: a `.tlog-proof` file against a signed head.
    """

    index: int
    entry: str
    proof: str


class Proven(Reply):
    """An answer to a write: the entries it made in the node's ledger, each with its proof."""

    proofs: tuple[EntryProof, ...] = ()


class FindBySubject(Request):
    """Everything of one kind about one customer of this company."""

    subject: Subject


class Problem(BaseModel):
    """What went wrong, by RFC 9457, and what to do about it.

    Attributes:
        code: stable; one for each decision a client can take.
        retryable: whether the same request may succeed later.
        server_time: the node's clock, where the caller's may be wrong.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    request_id: str = ""
    retryable: bool = False
    retry_after: int | None = None
    server_time: int | None = None
    existing_id: str | None = None
    errors: tuple[dict[str, str], ...] = ()
