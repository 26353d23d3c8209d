"""A stream of any length, sealed in segments: each is checked before it is used, and none can be left out or moved.

Pure but for the two files. It is Tink's AES256-GCM-HKDF streaming AEAD, byte for byte: a key of its own for each
stream, drawn by HKDF from a salt; a nonce that counts the segments and says of one that it is the last. Memory is two
segments, whatever the stream's length.

Source: developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming; Hoang and Shen, "Security of Streaming
Encryption in Google's Tink Library" (2020); RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick_node.errors import BackupRefused

SEGMENT_SIZE_BYTES = 1024 * 1024
KEY_SIZE_BYTES = 32
PREFIX_SIZE_BYTES = 7
TAG_SIZE_BYTES = 16
HEADER_SIZE_BYTES = 1 + KEY_SIZE_BYTES + PREFIX_SIZE_BYTES


class SealedWriter:
    """Seals what is written to it; without `finish` what was written is a stream that is cut short."""

    def __init__(
        self,
        out: BinaryIO,
        *,
        key: bytes,
        associated: bytes,
        random_bytes: Callable[[int], bytes],
        segment_size_bytes: int = SEGMENT_SIZE_BYTES,
    ) -> None:
        """Begin a stream in `out`.

        Args:
            out: where the sealed bytes go.
            key: 32 bytes, from which the stream's own is drawn.
            associated: what is not sealed, and must be the same when it is opened.
            random_bytes: where salt and nonce prefix come from.
            segment_size_bytes: of a sealed segment.
        """
        salt, self._prefix = random_bytes(KEY_SIZE_BYTES), random_bytes(PREFIX_SIZE_BYTES)
        self._out = out
        self._cipher = _cipher(key, salt, associated)
        self._room_bytes = segment_size_bytes - TAG_SIZE_BYTES
        self._segment = 0
        self._waiting = bytearray()
        out.write(bytes([HEADER_SIZE_BYTES]) + salt + self._prefix)

    def write(self, plain: bytes) -> None:
        """Seal some more."""
        self._waiting += plain
        while len(self._waiting) > self._next_room():  # what may be the last is kept back
            self._seal(self._next_room(), is_last=False)

    def finish(self) -> None:
        """Seal what is left, as the last."""
        self._seal(len(self._waiting), is_last=True)

    def _next_room(self) -> int:
        return self._room_bytes - (HEADER_SIZE_BYTES if self._segment == 0 else 0)

    def _seal(self, size: int, *, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._segment, is_last=is_last)
        self._out.write(self._cipher.encrypt(nonce, bytes(self._waiting[:size]), None))
        del self._waiting[:size]
        self._segment += 1


def open_sealed(
    sealed: BinaryIO, *, key: bytes, associated: bytes, segment_size_bytes: int = SEGMENT_SIZE_BYTES
) -> Iterator[bytes]:
    """Yield what a stream holds, piece by piece, each checked; what was yielded is whole only if this ends quietly.

    Args:
        sealed: from where the stream begins.
        key: 32 bytes, as it was sealed under.
        associated: what was not sealed.
        segment_size_bytes: of a sealed segment.

    Raises:
        BackupRefused: it ends too early (`backup_cut_short`), or is not what was sealed under this key
            (`backup_changed`).
        OSError: it cannot be read.
    """
    header = sealed.read(HEADER_SIZE_BYTES)
    if len(header) < HEADER_SIZE_BYTES:
        raise _cut_short()
    if header[0] != HEADER_SIZE_BYTES:
        raise _changed(0)
    cipher, prefix = _cipher(key, header[1 : 1 + KEY_SIZE_BYTES], associated), header[1 + KEY_SIZE_BYTES :]
    segment, held = 0, sealed.read(segment_size_bytes - HEADER_SIZE_BYTES)
    while True:
        after = sealed.read(segment_size_bytes)
        try:
            yield cipher.decrypt(_nonce(prefix, segment, is_last=not after), held, None)
        except InvalidTag:
            raise (
                _cut_short() if not after and _is_whole(cipher, prefix, segment, held) else _changed(segment)
            ) from None
        if not after:
            return
        segment, held = segment + 1, after


def _is_whole(cipher: AESGCM, prefix: bytes, segment: int, held: bytes) -> bool:
    """Return whether what ends a stream is a segment after which another should have come."""
    try:
        cipher.decrypt(_nonce(prefix, segment, is_last=False), held, None)
    except InvalidTag:
        return False
    return True


def _cipher(key: bytes, salt: bytes, associated: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_SIZE_BYTES, salt=salt, info=associated).derive(key))


def _nonce(prefix: bytes, segment: int, *, is_last: bool) -> bytes:
    return prefix + segment.to_bytes(4, "big") + bytes([is_last])


def _cut_short() -> BackupRefused:
    return BackupRefused(
        "backup_cut_short", "The backup is cut short: its end is missing.", remedy="Copy it again, or take another one."
    )


def _changed(segment: int) -> BackupRefused:
    return BackupRefused(
        "backup_changed",
        f"The backup was changed, or cut off, in its part {segment + 1}.",
        remedy="Copy it again, or take another one.",
    )
