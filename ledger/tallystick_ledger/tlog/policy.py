"""Trust policies: which logs to believe, and how many of which witnesses must have seen the same.

Pure: bytes in, values out. A policy says nothing of time; an application that wants fresh cosignatures looks at the
note that `Policy.open` returns.

Source: c2sp.org/tlog-policy.
"""

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import NamedTuple

from tallystick_ledger.errors import NoteMalformed, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, ED25519, VerifierKey
from tallystick_ledger.tlog.note import OpenedNote

POLICY_SIZE_MAX_BYTES = 512 * 1024
"""Room for every log and witness to have an ML-DSA-44 key, 1.8 KiB each, and comments."""

LOGS_MAX = WITNESSES_MAX = GROUPS_MAX = 64
"""The specification asks for at least 32 of each."""

_LOG_KINDS = frozenset((ED25519, COSIGNATURE_ML_DSA_44))
_WITNESS_KINDS = frozenset((COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44))

_TEXT = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_ITEM = re.compile(rb"[^ \t]+")
_COUNT = re.compile(rb"[1-9][0-9]{0,2}")


class TrustedLog(NamedTuple):
    """A log to believe: its key, whose name is its origin, and where it is, if the policy says so."""

    key: VerifierKey
    url: str | None


class Witness(NamedTuple):
    """A cosigner: its name in this policy, its key, and where it is, if the policy says so."""

    name: bytes
    key: VerifierKey
    url: str | None


class Group(NamedTuple):
    """Witnesses and groups of which at least `threshold` must have signed for the group to count as having."""

    name: bytes
    threshold: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A trust policy, from `parse_policy`.

    Attributes:
        logs: any one of them must have signed; a log that signs with two keys stands here twice.
        witnesses: the cosigners it knows.
        groups: in an order in which each comes after its members.
        quorum: name of the witness or group that must have signed, opaque bytes; None where the log alone is enough.
    """

    logs: tuple[TrustedLog, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: bytes | None

    def check(self, raw: bytes, origin: str) -> Checkpoint:
        """Return the checkpoint in the note `raw`, once the log `origin` and the quorum are shown to have signed it.

        Raises:
            NoteMalformed: the bytes are not a note, or its text is no checkpoint.
            SignatureRejected: no listed log of that origin has signed it, or a listed key's line is wrong.
            PolicyUnmet: too few witnesses have signed.
        """
        return self.open(raw, origin)[0]

    def open(self, raw: bytes, origin: str) -> tuple[Checkpoint, OpenedNote]:
        """Return the checkpoint as `check` does, and the note, whose cosignatures tell how fresh it is."""
        # A log's key counts for its own origin only: another listed log must not be able to speak for this one.
        log_keys = [log.key for log in self.logs if log.key.name == origin]
        keys = [*log_keys, *(witness.key for witness in self.witnesses)]
        checkpoint, opened = open_checkpoint(raw, origin=origin, keys=keys)
        if {each.key for each in opened.verified}.isdisjoint(log_keys):  # a witness may bear the log's name
            raise SignatureRejected(
                "No log that the policy lists has signed the checkpoint.",
                remedy="Ask the log for its checkpoint again, or list its key in the policy.",
            )
        # A line of time 0 makes no claim to be of the largest tree seen: witnesses sign parts of trees so.
        if not self.is_met_by({each.key for each in opened.verified if each.timestamp_s != 0}):
            raise PolicyUnmet(
                "Too few of the witnesses that the policy asks for have signed the checkpoint.",
                remedy="Wait for more cosignatures and fetch the checkpoint again.",
            )
        return checkpoint, opened

    def is_met_by(self, signed: Set[VerifierKey]) -> bool:
        """Return whether these keys, if they have signed, make the quorum; each group is asked after its members."""
        present = {witness.name for witness in self.witnesses if witness.key in signed}
        for group in self.groups:
            if sum(member in present for member in group.members) >= group.threshold:
                present.add(group.name)
        return self.quorum is None or self.quorum in present


def parse_policy(raw: bytes) -> Policy:
    """Return the policy in the file `raw`.

    Raises:
        NoteMalformed: a line is not written as the specification says, refers to a name that no line before it
            defines, or repeats a name, a key or the quorum; or the file is larger than the bounds above.

    Source: c2sp.org/tlog-policy, "Policy file syntax and structure".
    """
    if len(raw) > POLICY_SIZE_MAX_BYTES:
        raise _malformed("A policy is too large.")
    if _TEXT.fullmatch(raw) is None:
        raise _malformed("A policy holds a control character.")
    *lines, rest = raw.split(b"\n")
    if rest:
        raise _malformed("The last line of a policy does not end.")
    draft = _Draft()
    for line in lines:
        items = _ITEM.findall(line)
        if items and not items[0].startswith(b"#"):
            draft.take(items)
    return draft.finish()


class _Draft:
    """A policy of which some lines are read."""

    def __init__(self) -> None:
        self._logs: list[TrustedLog] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._free: dict[bytes, bool] = {}  # each name defined so far, and whether no group has it as a member yet
        self._quorums: list[bytes] = []

    def take(self, items: list[bytes]) -> None:
        match items:
            case [b"log", key, *url] if len(url) <= 1:
                self._logs.append(TrustedLog(_parse_key(key, _LOG_KINDS), _parse_url(url)))
                _require_distinct((log.key for log in self._logs), count_max=LOGS_MAX)
            case [b"witness", name, key, *url] if len(url) <= 1:
                self._define(name)
                self._witnesses.append(Witness(name, _parse_key(key, _WITNESS_KINDS), _parse_url(url)))
                _require_distinct((witness.key for witness in self._witnesses), count_max=WITNESSES_MAX)
            case [b"group", name, threshold, *members] if members:
                for member in members:
                    self._join(member)
                self._define(name)
                self._groups.append(Group(name, _parse_threshold(threshold, len(members)), tuple(members)))
                if len(self._groups) > GROUPS_MAX:
                    raise _malformed("A policy has too many groups.")
            case [b"quorum", name]:
                if name != b"none" and name not in self._free:
                    raise _malformed("The quorum of a policy is not defined before it.")
                self._quorums.append(name)
            case _:
                raise _malformed("A line of a policy is of no known form.")

    def finish(self) -> Policy:
        if len(self._quorums) != 1:
            raise _malformed("A policy does not have exactly one quorum.")
        quorum = None if self._quorums == [b"none"] else self._quorums[0]
        return Policy(tuple(self._logs), tuple(self._witnesses), tuple(self._groups), quorum)

    def _define(self, name: bytes) -> None:
        if name == b"none" or name in self._free:
            raise _malformed("A name in a policy is reserved, or defined twice.")
        self._free[name] = True

    def _join(self, member: bytes) -> None:
        if member not in self._free:
            raise _malformed("A member of a group is not defined before it.")
        if not self._free[member]:
            raise _malformed("A name is a member of a group twice, so it would count twice.")
        self._free[member] = False


def _parse_key(text: bytes, kinds: frozenset[int]) -> VerifierKey:
    try:
        key = VerifierKey.parse(text.decode())
    except UnicodeDecodeError as error:
        raise _malformed("A verifier key in a policy is not UTF-8.") from error
    if key.kind not in kinds:
        raise _malformed("A log's key makes cosignatures only, or a witness's key makes none.")
    return key


def _parse_url(items: list[bytes]) -> str | None:
    """Return the address, if there is one; it is opaque, so bytes that are not UTF-8 are kept as surrogates."""
    return items[0].decode(errors="surrogateescape") if items else None


def _parse_threshold(text: bytes, count: int) -> int:
    if text in (b"all", b"any"):
        return count if text == b"all" else 1
    if _COUNT.fullmatch(text) is None or int(text) > count:
        raise _malformed("A group's threshold is neither all, any, nor 1 to the number of its members.")
    return int(text)


def _require_distinct(keys: Iterable[VerifierKey], *, count_max: int) -> None:
    """Refuse one public key under two names: its holder would count twice."""
    public_keys = [key.public_key for key in keys]
    if len(public_keys) > count_max:
        raise _malformed("A policy has too many logs or witnesses.")
    if len(set(public_keys)) != len(public_keys):
        raise _malformed("A policy lists one public key twice.")


def _malformed(problem: str) -> NoteMalformed:
    return NoteMalformed(problem, remedy="Write policies as c2sp.org/tlog-policy says.")
