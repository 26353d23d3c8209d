"""Whose word counts in a paper, and what a paper comes to once it is checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tallystick.descriptor import Descriptor, open_self_signed
from tallystick_consent.places import host_of_log
from tallystick_ledger.encoding import canonical_json, parse_json_object
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.policy import Policy

_M = TypeVar("_M", bound=BaseModel)


class PaperRejected(TallyError):
    """A paper does not hold: something in it is not signed, not proven, or about something else."""

    code = "paper_rejected"


@dataclass(frozen=True, slots=True)
class PaperVerdict:
    """What a paper was shown to say.

    Attributes:
        shown: what holds, a sentence each; none where nothing in it is proven.
        told: what it says that nothing in it proves, a sentence each.
        is_whole: whether all that such a paper can prove is proven in this one.
        unconfirmed: host and fingerprint of each company in it that the reader has not confirmed: anybody can make a
            descriptor that bears its name, so nothing is shown of it yet.
    """

    shown: tuple[str, ...]
    told: tuple[str, ...]
    unconfirmed: tuple[tuple[str, str], ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Trust:
    """What the reader of a paper has by another way than the paper.

    Attributes:
        fingerprints: of companies' identity keys, SHA-256 in lower-case hex.
        keys: of logs and their witnesses; where there are none, those that the descriptors in the paper list.
        policy: who must have signed a head; in place of `keys`.
        descriptors: of companies in the paper, compact JWS, perhaps newer than those in it: a company may have given up
            a key since, and whoever shows what was signed under that has no reason to say so.
    """

    fingerprints: frozenset[str] = frozenset()
    keys: tuple[VerifierKey, ...] = ()
    policy: Policy | None = None
    descriptors: tuple[str, ...] = ()

    def open_head(self, note: bytes, company: Descriptor) -> Checkpoint:
        """Return a head of one of a company's logs, signed as this reader asks.

        Raises:
            PaperRejected: it is of somebody else's log.
            NoteMalformed, SignatureRejected, PolicyUnmet: it is no head, or not signed so.
        """
        origin = note.partition(b"\n")[0].decode(errors="replace")
        if host_of_log(origin) != company.host:
            raise rejected("A proof in it is against the log of somebody else.")
        if self.policy is not None:
            return self.policy.check(note, origin)
        return open_checkpoint(note, origin=origin, keys=list(self.keys) or company.log_keys(origin))[0]


def open_companies(descriptors: Mapping[str, str], trust: Trust) -> dict[str, tuple[Descriptor, str]]:
    """Return the newest descriptor of each company, signed by the identity key in it, and that key's fingerprint.

    Args:
        descriptors: those in a paper, by host.
        trust: with those that the reader has, each of a company in the paper and under the same identity.

    Raises:
        PaperRejected: one is of another company than it is said to be.
        SignatureRejected, BadInput: one is none.
    """
    opened = {host: open_self_signed(token) for host, token in descriptors.items()}
    if any(descriptor.host != host for host, (descriptor, _) in opened.items()):
        raise rejected("A descriptor in it is another company's.")
    for described, named in map(open_self_signed, trust.descriptors):
        before, fingerprint = opened.get(described.host, (described, ""))
        require(fingerprint == named, "A descriptor that was given is of none of the companies in it.")
        if described.issued_at > before.issued_at:
            opened[described.host] = described, named
    return opened


def unconfirmed(
    companies: Mapping[str, tuple[Descriptor, str]], trust: Trust, *, giver: str, by_heads: bool = True
) -> tuple[tuple[str, str], ...]:
    """Return host and fingerprint of the companies that the reader has not confirmed.

    Args:
        companies: those of a paper that was checked under `trust`.
        giver: the one that gave it.
        by_heads: all that is shown of the giver stands below heads of its log, so that who has the keys of that, or a
            policy, needs no fingerprint of it.

    Raises:
        PaperRejected: the reader has fingerprints, and that of the company that gave the paper is none of them.
    """
    has_keys = by_heads and (bool(trust.keys) or trust.policy is not None)
    strangers = {host: each for host, (_, each) in companies.items() if each not in trust.fingerprints}
    if giver in strangers and has_keys:
        del strangers[giver]
    require(giver not in strangers or not trust.fingerprints, "It is by none of those whose fingerprints were given.")
    return tuple(sorted(strangers.items()))


def parse_paper(raw: bytes, model: type[_M], *, size_max_bytes: int) -> _M:
    """Return a paper as its form has it, nothing of it checked.

    Raises:
        PaperRejected: it is larger than it may be, or not of its form.
    """
    if len(raw) > size_max_bytes:
        raise rejected("It is larger than it may be.")
    try:
        return model.model_validate_json(canonical_json(parse_json_object(raw)))
    except (BadInput, ValidationError):
        # Not chained: what a validation error quotes may be a person's.
        raise rejected("It is not of its form.") from None


def rejected(problem: str) -> PaperRejected:
    """Return the error for a paper that does not hold."""
    return PaperRejected(problem, remedy="Believe nothing in it; ask the company that gave it for another.")


def require(is_so: bool, problem: str) -> None:
    """Return quietly if so.

    Raises:
        PaperRejected: not so.
    """
    if not is_so:
        raise rejected(problem)


def count(number: int, one: str, many: str = "") -> str:
    """Return how many, in words."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def day_text(at_s: int) -> str:
    """Return the day of a time in UTC, as `2027-03-05`; one beyond every calendar as its seconds since 1970."""
    try:
        return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return f"{at_s} seconds after 1970-01-01"


def sentences(each: Iterable[str]) -> tuple[str, ...]:
    """Return sentences without the empty ones."""
    return tuple(text for text in each if text)
