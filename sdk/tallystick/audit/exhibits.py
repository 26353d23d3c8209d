"""The evidence that an audit leaves: files from which a third party sees what was found, without the log.

Each is checked here as the third party will check it, and what does not convince is not kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tallystick.audit.integrity import Head, reader_of
from tallystick.audit.integrity.files import WrongFile
from tallystick.audit.source import Source
from tallystick.evidence import Evidence, WrongLine, two_heads, wrong_tile
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HashReader
from tallystick_ledger.tlog.tiles import BundlePath

EXHIBITS_MAX = 32
"""Each is at most 2 MiB; after so many, more of them convince nobody more."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One file of evidence.

    Attributes:
        name: to write it under, such as `001-P1.split_view.json`.
        raw: the file, for `tally verify`.
    """

    name: str
    raw: bytes


@dataclass(slots=True)
class Exhibits:
    """What an audit has kept so far."""

    kept: list[Exhibit] = field(default_factory=list[Exhibit])

    def two_heads(self, rule: str, one: bytes, other: bytes, *, keys: Sequence[VerifierKey], read: HashReader) -> None:
        """Keep two signed notes that cannot be one log's, where both convince under `keys`.

        Args:
            rule: what was found by them.
            one: a signed note; empty where there is none.
            other: another one.
            keys: the log's and its witnesses', as far as they are known.
            read: hashes of the larger head's tree.
        """
        if one and other:
            self._keep(rule, partial(two_heads, one, other, keys=keys, read=read), keys)

    def wrong_lines(self, head: Head) -> None:
        """Keep the lines of a head that are not signatures of the keys that they name."""
        for line, key in head.wrong_lines:
            self._keep("log.signature", partial(WrongLine, (key,), head.note, line), [key])

    def wrong_files(self, source: Source, head: Head, wrong: Sequence[WrongFile], *, root: bytes | None) -> None:
        """Keep tiles and bundles that are not what the signed head covers.

        Args:
            source: the log.
            head: its head.
            wrong: the files.
            root: what the entries lead to: where that is the signed root, they are right and the tiles wrong.
        """
        if not wrong:
            return
        keys, size = known_keys(source), head.checkpoint.size
        right = {each.place.path: each.expected for each in wrong if each.expected}
        entries_are_right = root == head.checkpoint.root
        read = reader_of(source.files, size, instead=right if entries_are_right else {})
        for each in wrong:
            path, served, rule = each.place.path, each.served, "log.tile"
            if isinstance(each.place, BundlePath):
                rule = "log.bundle"
            elif not entries_are_right and each.place.level == 0:
                path, served, rule = BundlePath(each.place.index, each.place.width).path, each.expected, "log.bundle"
            self._keep(rule, partial(wrong_tile, head.note, path, served, keys=keys, read=read), keys)

    def _keep(self, rule: str, make: Callable[[], Evidence], keys: Sequence[VerifierKey]) -> None:
        if len(self.kept) == EXHIBITS_MAX:
            return
        try:
            evidence = make()
            evidence.check(keys)
        except (TallyError, LookupError):
            return  # the log's own tiles do not lead to its head, or nobody we know has signed it
        self.kept.append(Exhibit(f"{len(self.kept) + 1:03}-{rule}.json", evidence.encode()))


def known_keys(source: Source) -> list[VerifierKey]:
    """Return every key that an auditor has for a source: the log's, and its witnesses'."""
    return [known.key for known in (*source.keys.required, *source.keys.allowed)]
