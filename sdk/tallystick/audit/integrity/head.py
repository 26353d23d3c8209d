"""Who signed a log's checkpoint, and does that suffice?

What is wrong is a finding and never an error, so that each wrong line is named.

Source: c2sp.org/tlog-checkpoint, c2sp.org/tlog-policy.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tallystick.audit.findings import Findings
from tallystick.audit.keys import WITNESS_FILE, Keys, KnownKey
from tallystick.audit.source import CHECKPOINT, Source
from tallystick_ledger.errors import NoteMalformed, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, SignatureLine, open_note, parse_lines


@dataclass(frozen=True, slots=True)
class Signed:
    """A key whose line in the checkpoint is right, and when it signed; None where its kind carries no time."""

    known: KnownKey
    timestamp_s: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """A log's checkpoint as it was read.

    Attributes:
        note: the signed note, verbatim.
        signed: the keys whose lines are right.
        unlisted_count: how many lines are of keys that nobody listed.
        wrong_lines: the lines of known keys that are wrong: which line, and whose.
        witnesses: those of `signed` that are not of the log itself.
    """

    note: bytes
    checkpoint: Checkpoint
    signed: tuple[Signed, ...]
    unlisted_count: int
    wrong_lines: tuple[tuple[int, VerifierKey], ...] = ()
    witnesses: tuple[Signed, ...] = ()

    @property
    def first_signed_s(self) -> int | None:
        """When the head was first cosigned, seconds since 1970-01-01 UTC; None where no line tells.

        Entries that it covers were there then, so the earliest time tells most. The log's own word convicts the log,
        and so do two witnesses; one of these alone may have a clock, or a will, that is wrong.
        """
        own = [each.timestamp_s for each in self.signed if each.timestamp_s and each not in self.witnesses]
        return min([*own, *self._witnessed_s()[1:2]], default=None)

    @property
    def lonely_s(self) -> int | None:
        """The earliest time that a witness tells and no other one bears out; None where there is none."""
        return next(iter(self._witnessed_s()), None)

    def _witnessed_s(self) -> list[int]:
        """Return the earliest time of each witness, the earliest first; one with two keys counts once."""
        first: dict[str, int] = {}
        for each in self.witnesses:
            if each.timestamp_s:
                name = each.known.key.name
                first[name] = min(each.timestamp_s, first.get(name, each.timestamp_s))
        return sorted(first.values())


def check_head(source: Source, found: Findings) -> Head | None:
    """Return the log's head; None, which is a finding, where there is none that can be read."""
    raw = source.files.read(CHECKPOINT, size_max_bytes=NOTE_SIZE_MAX_BYTES)
    if raw is None:
        found.add("log.missing_file", CHECKPOINT, "There is no checkpoint, or it cannot be read.")
        return None
    keys = source.keys
    try:
        body, lines = _split(raw)
        checkpoint = parse_checkpoint_body(body)
    except NoteMalformed as error:
        found.add("log.checkpoint", CHECKPOINT, error.problem)
        return None
    if keys.origins and checkpoint.origin not in keys.origins:
        found.add("log.checkpoint", CHECKPOINT, "The checkpoint is of another log than its keys.")
    signed = _check_signatures(keys, checkpoint.origin, body, lines, found)
    _check_quorum(keys, checkpoint.origin, raw, signed, found)
    listed = {(each.key.name, each.key.key_id) for each in (*keys.required, *keys.allowed)}
    unlisted = [line for line in lines if (line.name, line.key_id) not in listed]
    for line in unlisted if keys.closed else ():
        found.add("log.unlisted_line", CHECKPOINT, f"A line of {line.name}+{line.key_id.hex()} is of no listed key.")
    known = {(each.key.name, each.key.key_id): each.key for each in (*keys.required, *keys.allowed)}
    right = {each.known.key for each in signed}
    wrong = [
        (at, known[line.name, line.key_id])
        for at, line in enumerate(lines)
        if (line.name, line.key_id) in known and known[line.name, line.key_id] not in right
    ]
    witnesses = tuple(each for each in signed if not keys.is_own(each.known, checkpoint.origin))
    return Head(raw, checkpoint, signed, len(unlisted), tuple(wrong), witnesses)


def _split(raw: bytes) -> tuple[bytes, tuple[SignatureLine, ...]]:
    """Return a note's text and lines, none of them checked: each is looked at alone, to say which one is wrong."""
    with suppress(SignatureRejected):  # nobody is trusted here; what is wanted is that a malformed note is refused
        open_note(raw, ())
    text, _, block = raw.rpartition(b"\n\n")
    return text + b"\n", parse_lines(block)


def _check_signatures(
    keys: Keys, origin: str, body: bytes, lines: Sequence[SignatureLine], found: Findings
) -> tuple[Signed, ...]:
    required = keys.must_sign(origin)
    if not required:
        found.add("log.signature", CHECKPOINT, "No key of this log is known, so nothing shows who signed it.")
    signed: list[Signed] = []
    for known in (*required, *(each for each in keys.allowed if each not in required)):
        key = known.key
        name = f"{key.name}+{key.key_id.hex()}"
        payloads = [line.payload for line in lines if (line.name, line.key_id) == (key.name, key.key_id)]
        if len(payloads) > 1:
            found.add("log.signature", CHECKPOINT, f"There are two lines of {name}.")
        elif payloads:
            try:
                signed.append(Signed(known, key.check(body, payloads[0])))
            except (SignatureRejected, NoteMalformed):
                found.add("log.signature", CHECKPOINT, f"The signature of {name} is wrong.")
        elif known in required:
            found.add("log.signature", CHECKPOINT, f"The line of {name} ({known.source}) is missing.")
    return tuple(signed)


def _check_quorum(keys: Keys, origin: str, raw: bytes, signed: Sequence[Signed], found: Findings) -> None:
    if keys.policy is None:
        listed = any(known.source == WITNESS_FILE for known in keys.allowed)
        if listed and not any(each.known.source == WITNESS_FILE for each in signed):
            found.add("log.quorum", CHECKPOINT, "No witness that is listed has signed.")
        return
    with suppress(SignatureRejected):  # found already, key by key
        try:
            keys.policy.check(raw, origin)
        except PolicyUnmet as error:
            found.add("log.quorum", CHECKPOINT, error.problem)
