"""The head of a log as text: the body of a checkpoint, before anyone signs it.

Pure: bytes and values. `checkpoint` opens the signed form; this file lies below the signatures because a cosigner's
message is made from the head and not from the note.

Source: c2sp.org/tlog-checkpoint ("Note text").
"""

import re
from dataclasses import dataclass

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, NoteMalformed
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES
from tallystick_ledger.tlog.merkle import SIZE_MAX

ORIGIN_SIZE_MAX_BYTES = 255
"""The longest origin that fits the message of an ML-DSA-44 cosignature."""

EXTENSIONS_MAX = 16

_LINE = re.compile("[^\x00-\x1f\ud800-\udfff]+")  # surrogates, which JSON can smuggle into a str, are not UTF-8
_DECIMAL = re.compile(rb"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself when it signs: so many entries, with this root.

    Attributes:
        origin: name of the log, one line; recommended is a URL without its scheme.
        size: leaves in the tree.
        root: root hash of the tree, 32 bytes.
        extensions: further lines, opaque; nobody audits them and an ML-DSA-44 cosignature does not cover them.

    Raises:
        NoteMalformed: no checkpoint can say that.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.extensions) > EXTENSIONS_MAX:
            raise _malformed("A checkpoint has too many extension lines.")
        if any(_LINE.fullmatch(line) is None for line in (self.origin, *self.extensions)):
            raise _malformed("A line of a checkpoint is empty or holds a control character.")
        if len(self.origin.encode()) > ORIGIN_SIZE_MAX_BYTES:
            raise _malformed("The origin of a checkpoint is longer than 255 bytes.")
        if not 0 <= self.size <= SIZE_MAX:
            raise _malformed("The size of a checkpoint is 2^63 or more.")
        if len(self.root) != HASH_SIZE_BYTES:
            raise _malformed("The root of a checkpoint is not 32 bytes.")

    def body(self) -> bytes:
        """Return the text that the log signs, with its final newline."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


def parse_checkpoint_body(body: bytes) -> Checkpoint:
    """Return the checkpoint whose text is `body`, final newline included.

    Raises:
        NoteMalformed: the text is not the one spelling of any checkpoint.
    """
    lines = body.split(b"\n")
    if len(lines) < 4 or lines.pop() != b"":
        raise _malformed("A checkpoint has fewer than three lines, or its last one does not end.")
    origin, size, root, *extensions = lines
    try:
        return Checkpoint(
            origin.decode(), parse_decimal(size), from_base64(root), tuple(line.decode() for line in extensions)
        )
    except UnicodeDecodeError as error:
        raise _malformed("A checkpoint is not UTF-8.") from error
    except BadInput as error:
        raise _malformed(error.problem) from error


def parse_decimal(text: bytes) -> int:
    """Return the number, 0 to 2^63 - 1, that ASCII digits without leading zeros spell.

    Raises:
        BadInput: anything else, such as the signs, underscores, spaces and foreign digits that `int` takes.
    """
    if _DECIMAL.fullmatch(text) is None or int(text) > SIZE_MAX:
        raise BadInput("A number is not plain decimal below 2^63.", remedy="Write ASCII digits, no leading zero.")
    return int(text)


def _malformed(problem: str) -> NoteMalformed:
    return NoteMalformed(problem, remedy="Write checkpoints as c2sp.org/tlog-checkpoint says.")
