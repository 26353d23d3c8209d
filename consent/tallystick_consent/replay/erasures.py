"""Replay of erasures: asked for once, attested once, and nothing is answered for the link after it.

Source: DESIGN flow 8 and P9.
"""

from tallystick_consent.entries import AcceptanceBody, DisclosureBody, ErasureBody, Signature
from tallystick_consent.replay.state import ConsentState, Report


def take_erasure(state: ConsentState, body: ErasureBody, report: Report) -> None:
    """Replay a step of an erasure."""
    known = state.erasures.get(body.erasure)
    if state.host not in (body.origin, body.partner):
        report("P9.party", "An erasure is between two other partners.")
    if known is None:
        if body.state == "attested" and state.host == body.origin:
            report("P9.step", "A partner attested to an erasure that is not in this ledger.")
        elif body.state == "erased" and state.host == body.partner:
            report("P9.step", "A subject is erased here in another partner's name.")
    elif known.state == "attested" or body.state == "erased" or _asked(known) != _asked(body):
        report("P9.step", f"An erasure that was {known.state} is {body.state}, or changed.")
    lives = (state.receipts.get(receipt) for receipt in body.receipts)
    # A request names what its sender likes: only receipts that stand here, between the two, are over by it.
    ended = [life for life in lives if life and {life.body.issuer, life.body.recipient} == {body.origin, body.partner}]
    if any(life.live_leaf is not None for life in ended):
        report("P9.still_live", "A link is erased while a receipt of it is live.")
    state.erasures[body.erasure] = body
    state.erased |= {life.body.receipt for life in ended}


def is_erased(state: ConsentState, body: DisclosureBody | AcceptanceBody, report: Report) -> bool:
    """Return whether an answer names a receipt of an erased link; no other rule is about it then."""
    if body.receipt not in state.erased:
        return False
    report("P9.after", "An answer is issued, delivered or accepted for a link that was erased.")
    return True


def finish_erasures(state: ConsentState) -> None:
    """Report what is said to be signed for an erasure's request and is not its attestation: a partner that is asked for
    both the erasure and the ending of a receipt answers once."""
    for erasure in state.erasures.values():
        for receipt in erasure.receipts:
            life = state.receipts.get(receipt)
            for each in () if life is None else life.acknowledged:
                if (
                    each.signed == erasure.request
                    and Signature(at=each.at_s, digest=each.digest) != erasure.attestation
                ):
                    report = state.reporter(each.index)
                    report(
                        "P5.acknowledgement", "An ending by erasure is signed for otherwise than by its attestation."
                    )


def _asked(body: ErasureBody) -> ErasureBody:
    """Return the body without what its steps may change."""
    return body.model_copy(update={"state": "erased", "attestation": None})
