"""Whose signatures a log's checkpoint must carry, and who said so: key files, a policy, or a node's descriptor."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tallystick.descriptor import Descriptor
from tallystick_ledger.errors import BadInput
from tallystick_ledger.replay import Finding
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, ED25519, VerifierKey
from tallystick_ledger.tlog.policy import Policy

KEY_FILE_SIZE_MAX_BYTES = 512 * 1024

KEY_FILES = {
    "../log.vkey": frozenset({ED25519}),
    "../log-pq.vkey": frozenset({COSIGNATURE_ML_DSA_44}),
    "../witnesses.vkey": frozenset({COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44}),
}
"""The files beside a log's folder that say who signs it, and the kinds of key that each may hold."""

WITNESS_FILE = "../witnesses.vkey"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key, and where the auditor has it from."""

    key: VerifierKey
    source: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys to check one log under.

    Attributes:
        origins: the logs that it may be; empty where nothing says.
        required: each must have signed.
        allowed: each may have signed.
        policy: says how many of the allowed ones must have; None where all that must are required.
        closed: whether a line of any other key is a finding: whoever lists a log's witnesses lists all of them.
        notes: what the report must say of where the keys come from.
        findings: what was wrong with the key files.
        descriptor: where the keys come from the descriptor of a node: that one.
    """

    origins: frozenset[str]
    required: tuple[KnownKey, ...]
    allowed: tuple[KnownKey, ...] = ()
    policy: Policy | None = None
    closed: bool = True
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    descriptor: Descriptor | None = None

    def must_sign(self, origin: str) -> tuple[KnownKey, ...]:
        """Return the keys that must have signed a checkpoint of `origin`; a policy may list other logs as well."""
        if self.policy is None:
            return self.required
        return tuple(known for known in self.required if known.key.name == origin)

    def is_own(self, known: KnownKey, origin: str) -> bool:
        """Return whether a key is one of the log itself; a descriptor lists no others."""
        return self.descriptor is not None or known in self.must_sign(origin)


def keys_beside(folder: Path) -> Keys:
    """Return the keys in the files beside a log's folder; what cannot be read is a finding, what is absent is not.

    The file of witnesses lists all that are asked. One that is away holds up no head, so how many must have signed is
    for a policy to say; without one, it is any of them.
    """
    known: list[KnownKey] = []
    findings: list[Finding] = []
    for name, kinds in KEY_FILES.items():
        path = folder / name
        if not path.exists() and not path.is_symlink():
            continue
        try:
            known += (KnownKey(key, name) for key in parse_vkeys(_read(path), kinds=kinds))
        except (BadInput, OSError) as error:
            problem = error.problem if isinstance(error, BadInput) else "The file cannot be read."
            findings.append(Finding("log.keys", name, problem))
    own = tuple(each for each in known if each.source != WITNESS_FILE)
    witnesses = tuple(each for each in known if each.source == WITNESS_FILE)
    return Keys(frozenset(each.key.name for each in own), own, witnesses, findings=tuple(findings))


def keys_of_policy(policy: Policy, *, source: str) -> Keys:
    """Return the keys of a trust policy: every key of the log itself must sign, and witnesses up to the quorum."""
    logs = tuple(KnownKey(log.key, source) for log in policy.logs)
    witnesses = tuple(KnownKey(witness.key, source) for witness in policy.witnesses)
    return Keys(frozenset(each.key.name for each in logs), logs, witnesses, policy)


def parse_vkeys(raw: bytes, *, kinds: Iterable[int]) -> list[VerifierKey]:
    """Return the keys of a file with one verifier key a line; empty lines are passed over.

    Raises:
        BadInput: a line is no verifier key, of another kind than `kinds`, or stands twice; or there is none.
    """
    keys: list[VerifierKey] = []
    for line in raw.split(b"\n"):
        if not line:
            continue
        try:
            key = VerifierKey.parse(line.decode())
        except UnicodeDecodeError as error:
            raise _malformed("A key file is not UTF-8.") from error
        if key.kind not in kinds:
            raise _malformed("A key file holds a key of another kind than belongs there.")
        if key in keys:
            raise _malformed("A key file holds a key twice.")
        keys.append(key)
    if not keys:
        raise _malformed("A key file holds no key.")
    return keys


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(KEY_FILE_SIZE_MAX_BYTES + 1)
    if len(raw) > KEY_FILE_SIZE_MAX_BYTES:
        raise _malformed("A key file is too large.")
    return raw


def _malformed(problem: str) -> BadInput:
    return BadInput(problem, remedy="Write one verifier key a line, as c2sp.org/signed-note spells it.")
