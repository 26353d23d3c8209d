"""The secrets of a node's subjects: under which names custody keeps them, and the vault that reads by their keys.

Source: CONSTRUCTIONS (sealing at rest, erasure).
"""

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from tallystick_ledger.encoding import length_prefixed, to_base64url
from tallystick_ledger.errors import PayloadUnavailable
from tallystick_ledger.vault import Vault
from tallystick_node.keys.custody import Custody, erased


class SubjectSecrets:
    """What custody keeps of each subject.

    Attributes:
        vault: seals and opens the payloads of any subject, each by a key that is read when it is needed.
    """

    def __init__(self, custody: Custody, *, origin: str, random_bytes: Callable[[int], bytes]) -> None:
        """Keep the secrets in `custody`; `origin` is the node's host, to which payloads are bound."""
        self._custody = custody
        self._origin = origin
        self._random_bytes = random_bytes
        self.vault = self._vault({})

    def name(self, kind: str, subject: str) -> str:
        """Return the name under which custody keeps a subject's secret of a kind: a keyed hash, which tells nothing."""
        return self.names(kind, [subject])[subject]

    def names(self, kind: str, subjects: Iterable[str]) -> dict[str, str]:
        """Return the names under which custody keeps a secret of a kind of each of these subjects."""
        index_key = self._custody.find_or_make("index")
        named = {
            subject: hmac.digest(index_key, length_prefixed("tallystick/secret-name/v1", kind, subject), "sha256")
            for subject in subjects
        }
        return {subject: f"{kind}/{to_base64url(mac)}" for subject, mac in named.items()}

    def vault_of(self, subjects: Collection[str]) -> Vault:
        """Return the vault with the keys of these subjects at hand, read all at once; to be dropped after use."""
        names = self.names("subject", subjects)
        keys = self._custody.find_many(names.values())
        return self._vault({subject: keys[name] for subject, name in names.items() if name in keys})

    def require_not_erased(self, subject: str) -> None:
        """Return quietly unless a subject was erased: nothing is written about that one again.

        Raises:
            PayloadErased: it was.
        """
        if self._custody.is_destroyed(self.name("subject", subject)):
            raise erased()

    def _vault(self, keys: Mapping[str, bytes]) -> Vault:
        asked = SubjectKeys(self._custody, lambda subject: self.name("subject", subject), read=keys)
        return Vault(asked, origin=self._origin, random_bytes=self._random_bytes)


class SubjectKeys:
    """Payload keys by subject, as the vault asks for them; names are keyed hashes and tell nothing."""

    def __init__(
        self, custody: Custody, name_of: Callable[[str], str], *, read: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        """Ask custody for keys.

        Args:
            name_of: under which name custody keeps a subject's key.
            read: keys by subject that were read just now, and are not asked for again.
        """
        self._custody = custody
        self._name_of = name_of
        self._read = read

    def key_of(self, subject: str) -> bytes:
        """Return the subject's key.

        Raises:
            PayloadErased: it was destroyed.
            PayloadUnavailable: there is none.
        """
        if subject in self._read:
            return self._read[subject]
        name = self._name_of(subject)
        key = self._custody.find(name)
        if key is None:
            if self._custody.is_destroyed(name):
                raise erased()
            raise PayloadUnavailable("A subject has no payload key here.", remedy="Restore keys.db from its backup.")
        return key

    def key_for(self, subject: str) -> bytes:
        """Return the subject's key, made first where there is none.

        Raises:
            PayloadErased: the subject was erased.
        """
        return self._custody.find_or_make(self._name_of(subject))
