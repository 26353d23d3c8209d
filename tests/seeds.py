"""The secrets of a node's keys, for tests to look for where they must not be."""

from tallystick.descriptor import Role
from tallystick_consent.sealing import SealKey
from tallystick_node.keys.external import HeldEd25519Key, HeldMLDSA44Key
from tallystick_node.keys.ring import SEED_SIZE_BYTES, NodeKeys


def seeds_of(keys: NodeKeys) -> dict[Role, bytes]:
    """Return the secrets in this process of the keys that are used for what is new, by role."""
    here = {role: keys.private[keys.id(role)] for role in SEED_SIZE_BYTES if keys.ring.has(role)}
    return {
        role: key.raw if isinstance(key, SealKey) else key.private_bytes_raw()
        for role, key in here.items()
        if not isinstance(key, HeldEd25519Key | HeldMLDSA44Key)
    }
