"""The halves of a link's secret: each is drawn at one end, and sealed for the other.

Source: CONSTRUCTIONS (link secret).
"""

from collections.abc import Mapping
from itertools import product

from tallystick.descriptor import Descriptor
from tallystick.wire import HINT_MAX_CHARS
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES
from tallystick_consent.sealing import Context, open_from, seal_to
from tallystick_ledger.encoding import canonical_json, from_base64url, parse_canonical_json, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_node.node import Node


def seal_half(node: Node, half: bytes, hint: str, partner: Descriptor) -> dict[str, str]:
    """Seal our half, with what the owner recognises our account by: the partner shows it to the same person."""
    return seal_to(
        canonical_json({"half": to_base64url(half), "hint": hint}),
        recipient_key=from_base64url(partner.key("seal").public),
        context=Context(sender=node.host, recipient=partner.host, key_id=partner.key("seal").id, purpose="link"),
        signing_key=node.keys.ed25519("receipt"),
    )


def open_half(node: Node, sealed: Mapping[str, str], partner: Descriptor) -> tuple[bytes, str]:
    """Return a partner's half, and what the owner recognises their account there by.

    Raises:
        SignatureRejected, BadInput: it is not the partner's, not sealed for us, or not of its form.
    """
    opened = parse_canonical_json(_open_from(node, sealed, partner))
    half, hint = opened.get("half"), opened.get("hint")
    if opened.keys() != {"half", "hint"} or not isinstance(half, str) or not isinstance(hint, str):
        raise BadInput("A link half is not of its form.", remedy="Seal it with this version's node.")
    secret = from_base64url(half)
    if len(secret) != SECRET_SIZE_BYTES or not 1 <= len(hint) <= HINT_MAX_CHARS or not hint.isprintable():
        raise BadInput("A link half is not of its form.", remedy="Seal it with this version's node.")
    return secret, hint


def _open_from(node: Node, sealed: Mapping[str, str], partner: Descriptor) -> bytes:
    """Return what a partner sealed; a message names no keys, and in an overlap either side has two."""
    refused: SignatureRejected | None = None
    for (key_name, key), sender_key in product(node.keys.seals(), partner.ed25519("receipt").values()):
        context = Context(sender=partner.host, recipient=node.host, key_id=key_name, purpose="link")
        try:
            return open_from(sealed, key=key, context=context, sender_key=sender_key)
        except SignatureRejected as error:
            refused = error
    raise refused or BadInput("A partner has no key to seal under.", remedy="Ask the partner for its descriptor.")
