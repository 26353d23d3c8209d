"""A sealed stream is opened whole or refused: by Tink's own bytes, at every size, and in no order but the right one."""

import io
import random

import pytest

from tallystick_ledger.encoding import from_base64url
from tallystick_node.backups.sealed import HEADER_SIZE_BYTES, SealedWriter, open_sealed
from tallystick_node.errors import BackupRefused

KEY = bytes(range(32))
SEGMENT = 96
FIRST_ROOM, ROOM = SEGMENT - HEADER_SIZE_BYTES - 16, SEGMENT - 16

BY_TINK = (
    "KHKAB9wr5GAsJ6PK_CPTPqCrFw5e4vhvoOLPiRA8mwtjHiBz13y33Ljk-32ErXZApUjQb6uH5-HZu2TyGJvkGFyo9W9y5wha9bDB2_BZTG3sU8GG"
    "6btA45E4ZUc80cG_uwT4IU4IKYugyqCN6RTLTdSifuvwE5MzawCvIc11ru4fKEul2ULQrI2BNkyuR983A2bZ_rXOwQ8HYK9tHxJJLA-VJ2I"
)
"""Made by PyPI's `tink` 1.16.1 (AesGcmHkdfStreamingKey, SHA-256, segments of 96 bytes, associated data `header`)."""


def sealed(plain: bytes, *, in_pieces_of: int = 7) -> bytes:
    out, drawn = io.BytesIO(), random.Random(1)  # noqa: S311  # not secret here
    writer = SealedWriter(out, key=KEY, associated=b"header", random_bytes=drawn.randbytes, segment_size_bytes=SEGMENT)
    for begin in range(0, len(plain), in_pieces_of):
        writer.write(plain[begin : begin + in_pieces_of])
    writer.finish()
    return out.getvalue()


def opened(raw: bytes, *, key: bytes = KEY, associated: bytes = b"header") -> bytes:
    return b"".join(open_sealed(io.BytesIO(raw), key=key, associated=associated, segment_size_bytes=SEGMENT))


def test_what_tink_sealed_is_opened() -> None:
    said = b"A tally stick was split in two: each party kept a half, neither could change its half alone."
    assert opened(from_base64url(BY_TINK)) == said


@pytest.mark.parametrize("size", [0, 1, FIRST_ROOM, FIRST_ROOM + 1, FIRST_ROOM + ROOM, FIRST_ROOM + ROOM + 1, 1_000])
@pytest.mark.parametrize("in_pieces_of", [1, 7, 1_000])
def test_a_stream_of_any_size_is_what_it_was(size: int, in_pieces_of: int) -> None:
    plain = random.Random(size).randbytes(size)  # noqa: S311  # nor here
    raw = sealed(plain, in_pieces_of=in_pieces_of)
    later = max(0, size - FIRST_ROOM)
    assert len(raw) == HEADER_SIZE_BYTES + size + 16 * (1 + -(-later // ROOM))
    assert opened(raw) == plain


THREE = sealed(bytes(FIRST_ROOM + 2 * ROOM))
PARTS = [
    THREE[:HEADER_SIZE_BYTES],
    THREE[HEADER_SIZE_BYTES:SEGMENT],
    THREE[SEGMENT : 2 * SEGMENT],
    THREE[2 * SEGMENT :],
]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (b"".join(PARTS[:3]), "backup_cut_short"),
        (b"".join(PARTS[:2]), "backup_cut_short"),
        (PARTS[0][:-1], "backup_cut_short"),
        (THREE[:-1], "backup_changed"),
        (PARTS[0], "backup_changed"),
        (b"".join((PARTS[0], PARTS[1], PARTS[3])), "backup_changed"),
        (b"".join((PARTS[0], PARTS[1], PARTS[3], PARTS[2])), "backup_changed"),
        (THREE + PARTS[3], "backup_changed"),
        (bytes([24]) + THREE[1:], "backup_changed"),
    ],
)
def test_what_was_cut_changed_or_put_in_another_order_is_refused(lie: bytes, code: str) -> None:
    with pytest.raises(BackupRefused) as refused:
        opened(lie)
    assert refused.value.code == code


def test_another_key_or_another_line_in_clear_opens_nothing() -> None:
    for wrong in ({"key": bytes(32)}, {"associated": b"heade"}):
        with pytest.raises(BackupRefused) as refused:
            opened(THREE, **wrong)
        assert refused.value.code == "backup_changed"


def test_every_byte_counts() -> None:
    for place in range(len(THREE)):
        with pytest.raises(BackupRefused):
            opened(THREE[:place] + bytes([THREE[place] ^ 1]) + THREE[place + 1 :])
