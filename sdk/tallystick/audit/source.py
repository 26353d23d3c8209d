"""Where a log is read from: a directory, which is walked whole, or a node, of which only what is needed is fetched."""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import httpx

from tallystick.audit.findings import printable
from tallystick.audit.keys import Keys, KnownKey, keys_beside, keys_of_policy
from tallystick.bounded import PLAIN, chunks_of, until
from tallystick.descriptor import open_descriptor, open_self_signed
from tallystick_consent.places import LOG_NAME_PATTERN
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, unchecked_text
from tallystick_ledger.tlog.policy import Policy

DESCRIPTOR_SIZE_MAX_BYTES = 256 * 1024
TIMEOUT_S = 20.0
"""How long a connection, and then each read, may take."""

FILE_DEADLINE_S = 120.0
"""How long one file may take in all."""

CHECKPOINT = "checkpoint"
_BUNDLES = "tile/entries/"
_LOG_URL = re.compile(r"(?P<node>https?://[^\s?#@]+)/log/(?P<year>" + LOG_NAME_PATTERN + r")/?")
_API_KEY = re.compile(r"[!-~]{1,200}")
_NODE_URL = re.compile(r"(?P<node>https?://[^\s?#@/]+(/[^\s?#@]*[^\s?#@/])?)/?")


class AuditNotRun(TallyError):
    """The audit could not be run: nothing is known of the log, good or bad."""

    code = "audit_not_run"


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies directly in one folder below a log.

    Attributes:
        prefix: the folder's path with a slash behind it; "" for the log's own.
        files: names of the regular files, sorted.
        others: names of everything else that is no folder, sorted: links, devices; "" where it cannot be opened.
    """

    prefix: str
    files: tuple[str, ...]
    others: tuple[str, ...]


class Files(Protocol):
    """The files of a log, path by path."""

    def read(self, path: str, *, size_max_bytes: int) -> bytes | None:
        """Return the bytes at `path` below the log, None where there are none.

        What is longer than `size_max_bytes` is cut one byte past it, so that it cannot pass for right.

        Raises:
            AuditNotRun: nobody can say whether there are any.
        """
        ...


class Source(Protocol):
    """A log that can be read."""

    @property
    def where(self) -> str:
        """How the caller named it."""
        ...

    @property
    def keys(self) -> Keys:
        """The keys that its checkpoint must be signed with."""
        ...

    @property
    def files(self) -> Files:
        """Its files, to be read through; these alone go to where the work is done."""
        ...

    @property
    def portable(self) -> bool:
        """Whether another process can read through `files`."""
        ...

    def walk(self) -> Iterator[Folder] | None:
        """Return everything there is, folder by folder; None where it cannot be listed."""
        ...


def shown_origin(source: Source) -> str:
    """Return the origin that a log's checkpoint states, whoever signed it; "" where it states none."""
    raw = source.files.read(CHECKPOINT, size_max_bytes=NOTE_SIZE_MAX_BYTES)
    try:
        return parse_checkpoint_body(unchecked_text(raw or b"")).origin
    except BadInput:
        return ""


_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link is not followed, and a pipe does not wait for its writer."""


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """The files below a folder, in as few calls of the system as it takes: a log has two for every 256 entries."""

    folder: str

    def read(self, path: str, *, size_max_bytes: int) -> bytes | None:
        """Return the file at `path`; None where no regular file is there, or it cannot be read."""
        try:
            number = os.open(f"{self.folder}/{path}", _OPEN_FLAGS)
        except OSError:
            return None
        try:
            about = os.fstat(number)
            if not stat.S_ISREG(about.st_mode):
                return None
            wanted = min(about.st_size, size_max_bytes + 1)
            raw = os.read(number, wanted)
            while len(raw) < wanted and (more := os.read(number, wanted - len(raw))):
                raw += more
        except OSError:
            return None
        else:
            return raw
        finally:
            os.close(number)


class DirectorySource:
    """A log in a folder: `checkpoint`, `tile/...`, and the files of `keys.KEY_FILES` beside it."""

    portable = True

    def __init__(self, where: str, *, policy: Policy | None = None, policy_name: str = "the policy") -> None:
        """Look whether the folder holds a log.

        Args:
            where: its path.
            policy: whose keys to check under; None for the files beside the folder.
            policy_name: what the report calls the policy.

        Raises:
            AuditNotRun: there is no such folder, or neither a checkpoint in it nor a key beside it.
        """
        self.where = where
        folder = Path(where)
        if not folder.is_dir():
            raise AuditNotRun(
                f"{printable(where)} is not a folder.", remedy="Give the folder that holds `checkpoint`, or a URL."
            )
        self.files = DirectoryFiles(where)
        self.keys = keys_beside(folder) if policy is None else keys_of_policy(policy, source=policy_name)
        there = os.path.lexists(folder / CHECKPOINT)
        if not there and (policy or not (self.keys.required or self.keys.findings)):
            raise AuditNotRun(
                f"{printable(where)} holds no checkpoint, and nothing says that a log should be there.",
                remedy="Give the folder that holds `checkpoint`, such as `gym/log`.",
            )

    def walk(self) -> Iterator[Folder]:
        """Yield the folder and all below it, in the order of their names; no link is followed."""
        return _walk(self.where)


class WebSource:
    """A log that a node serves. It is read by the auditor's own process, since the key goes nowhere else."""

    portable = False

    def __init__(
        self,
        log_url: str,
        keys: Keys,
        *,
        http: httpx.Client,
        api_key: str | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the log at `log_url`; `api_key` is shown for entry bundles alone, `monotonic_s` is for deadlines."""
        self.where = log_url
        self.keys = keys
        self._http = http
        self._monotonic_s = monotonic_s
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    @property
    def files(self) -> "WebSource":
        """The log itself."""
        return self

    def walk(self) -> None:
        """Return None: a node lists nothing."""

    def read(self, path: str, *, size_max_bytes: int) -> bytes | None:
        """Return what the node serves at `path`; None where it says there is nothing.

        Raises:
            AuditNotRun: it cannot be reached, refuses, or answers with anything else.
        """
        headers = self._headers if path.startswith(_BUNDLES) else {}
        url = f"{self.where}/{path}"
        return _get(self._http, url, headers=headers, size_max_bytes=size_max_bytes, monotonic_s=self._monotonic_s)


def open_web(
    url: str,
    *,
    http: httpx.Client,
    year: int | str,
    year_is_guessed: bool = False,
    api_key: str | None = None,
    expected_fingerprint: str | None = None,
    policy: Policy | None = None,
    policy_name: str = "the policy",
) -> WebSource:
    """Return the log that `url` names: a node's log of `year`, or `URL/log/NAME` itself: a year's, or a successor's.

    Args:
        url: the node's or the log's.
        http: one of `tallystick.bounded.client`; carries the requests; closed by whoever opened it.
        year: which log, where the URL does not say: a year's, or a successor's by its name, such as `2027-2`.
        year_is_guessed: nobody named the year, so a log that is not there is no finding, but nothing to audit.
        api_key: with the scope `audit:read`; entry bundles need it.
        expected_fingerprint: of the node's identity key; None takes the one it shows, and the report says so.
        policy: whose keys to check under; None for those of the node's descriptor.
        policy_name: what the report calls the policy.

    Raises:
        AuditNotRun: the URL is none, or `year` names no log; or the node cannot be reached.
        SignatureRejected: the descriptor is not signed by the key with that fingerprint.
        BadInput: the descriptor is none.
    """
    match = _LOG_URL.fullmatch(url)
    node = match or _NODE_URL.fullmatch(url)
    if node is None:
        raise AuditNotRun(
            "A source's URL is not of its form.",
            remedy="Give http(s)://HOST, or http(s)://HOST/log/2027, or .../2027-2 of a successor.",
        )
    if api_key is not None and not _API_KEY.fullmatch(api_key):
        raise AuditNotRun("An auditor's key is not of its form.", remedy="Give the key as the node printed it.")
    base, name = node["node"], match["year"] if match else str(year)
    if not re.fullmatch(LOG_NAME_PATTERN, name):
        raise AuditNotRun("A log is not named so.", remedy="Name its year, 2027, or a successor as it is: 2027-2.")
    if policy is not None:
        keys = keys_of_policy(policy, source=policy_name)
    else:
        token = _get(http, f"{base}/.well-known/tallystick", headers={}, size_max_bytes=DESCRIPTOR_SIZE_MAX_BYTES)
        keys = _keys_of_descriptor(token, name=name, expected_fingerprint=expected_fingerprint)
    source = WebSource(f"{base}/log/{name}", keys, http=http, api_key=api_key)
    if year_is_guessed and match is None and source.read("checkpoint", size_max_bytes=NOTE_SIZE_MAX_BYTES) is None:
        # Nobody named this year's log, so its absence accuses nobody.
        raise AuditNotRun(f"The node shows no log of {year}.", remedy="Name the year of its log with --year.")
    return source


def _keys_of_descriptor(token: bytes | None, *, name: str, expected_fingerprint: str | None) -> Keys:
    try:
        text = (token or b"").decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise AuditNotRun("A node shows no descriptor.", remedy="Check the URL, or give the log's keys with --policy.")
    if expected_fingerprint:
        descriptor, shown = open_descriptor(text, expected_fingerprint=expected_fingerprint), expected_fingerprint
    else:
        descriptor, shown = open_self_signed(text)
    note = f"Keys from the descriptor of {descriptor.host}, whose identity key has the fingerprint {shown}"
    note += "." if expected_fingerprint else ": NOT COMPARED WITH ANYTHING, taken as the node showed it."
    origin = f"{descriptor.host}/log/{name}"
    newest = {
        from_base64url(descriptor.key(key.role).public) for key in descriptor.keys if key.role in ("log", "log-pq")
    }
    known = [KnownKey(key, "descriptor") for key in descriptor.log_keys(origin)]
    return Keys(
        frozenset({origin}),
        tuple(each for each in known if each.key.public_key in newest),
        tuple(each for each in known if each.key.public_key not in newest),
        closed=False,  # a descriptor does not say who witnesses the log
        notes=(note,),
        descriptor=descriptor,
    )


def _get(
    http: httpx.Client,
    url: str,
    *,
    headers: dict[str, str],
    size_max_bytes: int,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> bytes | None:
    host = printable(url.split("/", 3)[2])  # of several, the one that is meant; no secret stands in it
    try:
        with (
            until(monotonic_s() + FILE_DEADLINE_S, monotonic_s=monotonic_s),
            http.stream("GET", url, headers={**PLAIN, **headers}, timeout=TIMEOUT_S, follow_redirects=False) as reply,
        ):
            if reply.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return None
            if reply.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise AuditNotRun(
                    f"The node at {host} lets only auditors read this.",
                    remedy="Give a key with the scope audit:read.",
                )
            if reply.status_code != HTTPStatus.OK:
                raise AuditNotRun(
                    f"The node at {host} answers with status {reply.status_code}.",
                    remedy="Try again, or ask its operator.",
                )
            return _bounded(reply, size_max_bytes)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AuditNotRun(
            f"The node at {host} cannot be reached ({type(error).__name__}).",
            remedy="Check the URL, and that the node runs.",
        ) from error


def _bounded(reply: httpx.Response, size_max_bytes: int) -> bytes:
    raw = bytearray()
    for chunk in chunks_of(reply, may_be_gzip=True):
        raw += chunk
        if len(raw) > size_max_bytes:
            break
    return bytes(raw[: size_max_bytes + 1])


def _walk(top: str) -> Iterator[Folder]:
    """Yield folder by folder, so that a log of any size is listed in the memory of its fullest one."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        files: list[str] = []
        others: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(f"{top}/{prefix}") as entries:
                for entry in entries:
                    if entry.is_symlink():
                        others.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    else:
                        others.append(entry.name)
        except OSError:
            others.append("")
        yield Folder(prefix, tuple(sorted(files)), tuple(sorted(others)))
        waiting += (f"{prefix}{name}/" for name in sorted(folders, reverse=True))
