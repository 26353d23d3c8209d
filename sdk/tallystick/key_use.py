"""Which of a partner's keys count for something that came with a head of its log.

A key that was given up or revoked since counts only for what is shown to be older than that. The head shows it: a
cosignature on it carries a time, and what stands in the log that it covers was there by then.

Source: CONSTRUCTIONS (keys); c2sp.org/tlog-cosignature.
"""

from tallystick.descriptor import Descriptor
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.note import open_note


def keys_for(descriptor: Descriptor, head: bytes, *, origin: str, now_s: int) -> Descriptor:
    """Return the descriptor with the keys that count now, and those that counted when `head` was cosigned.

    Args:
        descriptor: all that is known of the partner's keys.
        head: a note of the partner's log, from anybody.
        origin: which of its logs.
        now_s: seconds since 1970-01-01 UTC.
    """
    live = descriptor.live(now_s)
    if len(live.keys) == len(descriptor.keys):
        return live
    shown_s = _shown_time_s(live, head, origin)
    if shown_s is None:
        return live
    known = {key.id for key in live.keys}
    then = (key for key in descriptor.good_at(min(shown_s, now_s)).keys if key.id not in known)
    return live.model_copy(update={"keys": (*live.keys, *then)})


def _shown_time_s(live: Descriptor, head: bytes, origin: str) -> int | None:
    """Return the earliest time at which a key that counts now had cosigned a head; None where none has."""
    try:
        verified = open_note(head, live.log_keys(origin)).verified
    except TallyError:
        return None
    return min((each.timestamp_s for each in verified if each.timestamp_s), default=None)
