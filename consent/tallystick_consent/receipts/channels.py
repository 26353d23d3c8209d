"""One-time codes for people without an app: sent by letter, told at a desk or on the phone.

Pure. A code is never kept: the node derives it from its letter's id under a key in custody, so a stolen database has
nothing to guess at, and whoever guesses has to ask the node, which counts.

The arithmetic: a code has 12 symbols of 32, 60 bits. After `TRIES_MAX` wrong codes told for one customer, all its open
codes are dead; it has at most `OPEN_MAX` of them. So somebody who guesses for one customer gets in with a chance of at
most 5 * 3 / 2^60, about 1.3e-17 for each set of letters that the company prints; who tries all of a million customers,
1.3e-11. A letter lives 30 days, so the chance of such a campaign, kept up for ten years, is below 2e-9.

Source: NIST SP 800-63B section 5.1.2 (look-up secrets: 20 bits at least where tries are limited), CONSTRUCTIONS.
"""

import hashlib
import hmac
import re

from tallystick_ledger.encoding import length_prefixed
from tallystick_ledger.times import DAY_S

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no I, L, O or U."""

CODE_SYMBOLS = 12
TRIES_MAX = 5
OPEN_MAX = 3
CODE_LIFE_S = 30 * DAY_S

_LABEL = "tallystick/letter/v1"
_HEARD_AS = str.maketrans("ILO", "110")
_SYMBOLS = re.compile(f"[{ALPHABET}]{{{CODE_SYMBOLS}}}")


def letter_code(key: bytes, *, letter: str, subject: str) -> str:
    """Return the code of a letter, such as `7K3M-9QXT-0WZ4`.

    Args:
        key: 32 random bytes, in custody, for nothing else.
        letter: the letter's id.
        subject: our own id of the customer it goes to.
    """
    drawn = int.from_bytes(hmac.digest(key, length_prefixed(_LABEL, subject, letter), hashlib.sha256)[:8], "big")
    symbols = "".join(ALPHABET[drawn >> 5 * place & 31] for place in range(CODE_SYMBOLS))
    return "-".join(symbols[start : start + 4] for start in range(0, CODE_SYMBOLS, 4))


def is_same_code(told: str, code: str) -> bool:
    """Return whether what somebody told is a letter's code; case, dashes, spaces and look-alikes do not matter.

    What is not of a code's form is no code; the comparison takes the same time for all that are.
    """
    symbols = re.sub("[- ]", "", told.upper()).translate(_HEARD_AS)
    return _SYMBOLS.fullmatch(symbols) is not None and hmac.compare_digest(symbols, code.replace("-", ""))
