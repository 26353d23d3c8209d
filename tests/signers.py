"""Keys for tests, each from a fixed seed: a log with two keys, and witnesses of both kinds."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner

ORIGIN = "gym.example/log"
NOW_S = 1_772_323_200  # 2026-03-01 00:00 UTC


def ed25519_key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed.encode().ljust(32))


def ml_dsa_key(seed: str) -> MLDSA44PrivateKey:
    return MLDSA44PrivateKey.from_seed_bytes(seed.encode().ljust(32))


LOG = NoteSigner(ORIGIN, ed25519_key("log"))
LOG_PQ = CosignatureSigner(ORIGIN, ml_dsa_key("log"))
WITNESS = CosignatureSigner("witness.example/w1", ed25519_key("w1"))
WITNESS_PQ = CosignatureSigner("witness.example/w2", ml_dsa_key("w2"))
STRANGER = NoteSigner("stranger.example", ed25519_key("stranger"))
