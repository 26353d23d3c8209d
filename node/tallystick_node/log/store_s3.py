"""A log's files in an S3-compatible object store, for whoever serves them from there or through a CDN.

Tiles and bundles are put in parallel, and `flush` waits for all of them; an object is there whole or not at all. The
checkpoint is replaced only if it is still the one that was read or written here last (`If-Match`), so that of two
writers neither takes the other's head back: it is read by who judges it, and never for a reader. Every wait has a
bound; a store that does not answer is an `OSError`, and publication waits.

Bucket, prefix and endpoint stand in the settings; credentials and region come from the environment, as the store's own
tools read them (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, ...).

Source: DESIGN sections 6 and 8; RFC 9110 section 13.1.1 (If-Match).
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallystick_ledger.tlog.tiles import CHECKPOINT
from tallystick_node.config import Settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.log.store import FolderStore, LogStore

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"

CONNECT_TIMEOUT_S = 3
REQUEST_TIMEOUT_S = 10
"""How long one attempt at one object may take."""

RETRIES_MAX = 2
RETRY_DEADLINE_S = 20
"""How long all attempts at one object may take together."""

PUTS_AT_ONCE_MAX = 16
BACKLOG_SIZE_MAX_BYTES = 64 * 1024 * 1024
"""What may wait to be put; whoever writes faster than that waits."""

UNSURE_MAX = 8
"""How many heads are remembered of which nobody knows whether they were put; each is a head, of at most 512 KB."""

CACHE_SIZE_MAX_BYTES = 32 * 1024 * 1024


class S3LogStore:
    """The files of one log below a prefix of a bucket; safe to call from several threads.

    Every method raises `OSError` where the store cannot be reached, or refuses.
    """

    def __init__(self, store: "S3Store", *, cache_size_max_bytes: int = CACHE_SIZE_MAX_BYTES) -> None:
        """Keep the files in `store`; what was read last is kept here as well, up to so many bytes."""
        self._store = store
        self._pool = ThreadPoolExecutor(PUTS_AT_ONCE_MAX, thread_name_prefix="log-store")
        self._room = threading.Condition()
        self._waiting_bytes = 0
        self._puts: dict[str, Future[None]] = {}
        self._cache = _Cache(cache_size_max_bytes)
        self._known_tag: str | None = None
        self._unsure: deque[bytes] = deque(maxlen=UNSURE_MAX)

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            LookupError: there is none.
        """
        put = self._puts.get(path)
        if put is not None:
            wait([put])  # what this process is writing is read as written; if that failed, `flush` says so
        content = None if path == CHECKPOINT else self._cache.find(path)
        return content if content is not None else self._get(path)

    def write(self, path: str, content: bytes) -> None:
        """Begin to put a file; `flush` waits until it is there."""
        with self._room:
            self._room.wait_for(
                lambda: not self._waiting_bytes or self._waiting_bytes + len(content) <= BACKLOG_SIZE_MAX_BYTES
            )
            self._waiting_bytes += len(content)
        self._cache.forget(path)
        self._puts[path] = self._pool.submit(self._put, path, content)

    def flush(self) -> None:
        """Return once everything that was written is there.

        Raises:
            OSError: something is not; whoever wrote it writes all of it again.
        """
        puts, self._puts = self._puts, {}
        wait(puts.values())
        for put in puts.values():
            put.result()

    def replace(self, path: str, content: bytes) -> None:
        """Put a file whole; the checkpoint only over the one that was read or written here last.

        One whose answer was lost may have been put or not: the next one then goes over it too.

        Raises:
            OSError: another process has replaced it meanwhile, or the store cannot be reached.
        """
        self._cache.forget(path)
        if path != CHECKPOINT:
            self._put_now(path, content, mode="overwrite")
            return
        try:
            self._known_tag = self._put_over(path, content)
        except _Conflict:
            raise
        except OSError:
            self._unsure.append(content)
            raise
        self._unsure.clear()

    def _put_over(self, path: str, content: bytes) -> str | None:
        """Put the checkpoint over the one that is known; return its tag."""
        known = self._known_tag
        try:
            return self._put_now(path, content, mode="create" if known is None else {"e_tag": known})
        except _Conflict:
            # An attempt whose answer was lost may have succeeded: then what stands there is ours.
            standing = self._standing()
            if standing == content:
                return self._known_tag
            if standing is not None and standing in self._unsure:
                return self._put_now(path, content, mode={"e_tag": self._known_tag})
            self._known_tag = known
            raise

    def _standing(self) -> bytes | None:
        """Return the checkpoint that stands there, None where there is none; its tag is known from then on."""
        try:
            return self._get(CHECKPOINT)
        except LookupError:
            return None

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        from obstore import delete

        self._cache.forget(path)
        with suppress(FileNotFoundError), _errors():
            delete(self._store, path)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files that lie directly in a folder."""
        from obstore import list_with_delimiter  # pyright: ignore[reportUnknownVariableType]  # one form has no stub

        with _errors():
            found = list_with_delimiter(self._store, prefix=folder)
        prefix = f"{folder}/" if folder else ""
        return sorted(each["path"].removeprefix(prefix) for each in found["objects"])

    def close(self) -> None:
        """Give up what waits, and release the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _get(self, path: str) -> bytes:
        from obstore import get

        try:
            with _errors():
                found = get(self._store, path)
                content = bytes(found.bytes())
        except FileNotFoundError as error:
            raise LookupError(path) from error
        if path == CHECKPOINT:
            self._known_tag = found.meta["e_tag"]
        else:
            self._cache.keep(path, content)
        return content

    def _put(self, path: str, content: bytes) -> None:
        try:
            self._put_now(path, content, mode="overwrite")
        finally:
            with self._room:
                self._waiting_bytes -= len(content)
                self._room.notify_all()

    def _put_now(self, path: str, content: bytes, *, mode: Any) -> str | None:
        from obstore import put

        with _errors():
            return put(self._store, path, content, mode=mode, use_multipart=False)["e_tag"]


def open_log_store(settings: Settings, folder: Path) -> LogStore:
    """Return where the log's files lie by the settings: in the data folder, or in a bucket.

    Raises:
        SettingsInvalid: it is a bucket, and the extra [s3] is not installed, or its settings are not of their form.
    """
    if not settings.log_store:
        return FolderStore(folder / settings.log_folder)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        raise SettingsInvalid(
            "A log in an object store needs a library that is not installed.", remedy="pip install 'tallystick[s3]'"
        ) from error
    bucket, _, prefix = settings.log_store.removeprefix(SCHEME).partition("/")
    where: dict[str, Any] = {"endpoint": settings.log_store_endpoint} if settings.log_store_endpoint else {}
    try:
        store = S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
                "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
                "allow_http": settings.log_store_endpoint.startswith("http://"),
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=RETRY_DEADLINE_S)},
            **where,
        )
    except (BaseError, ValueError) as error:
        raise SettingsInvalid(
            "The object store cannot be used with these settings.",
            remedy="Compare log_store and log_store_endpoint with docs/operating.md.",
        ) from error
    return S3LogStore(store)


class _Conflict(OSError):
    """An object is not the one that was to be replaced."""


@contextmanager
def _errors() -> Generator[None]:
    """Turn the library's errors into `OSError`; what is not there stays `FileNotFoundError`."""
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        yield
    except (AlreadyExistsError, PreconditionError) as error:
        raise _Conflict("the object was replaced by somebody else") from error
    except BaseError as error:
        # Its text quotes addresses and answers, so only what kind it is goes on.
        raise OSError(f"the object store failed: {type(error).__name__}") from error


class _Cache:
    """Files that were read last, up to so many bytes; safe to call from several threads."""

    def __init__(self, size_max_bytes: int) -> None:
        self._size_max_bytes = size_max_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: str) -> bytes | None:
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
            return self._kept.get(path)

    def keep(self, path: str, content: bytes) -> None:
        with self._lock:
            self._size_bytes += len(content) - len(self._kept.pop(path, b""))
            self._kept[path] = content
            while self._size_bytes > self._size_max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._size_bytes -= len(dropped)

    def forget(self, path: str) -> None:
        with self._lock:
            self._size_bytes -= len(self._kept.pop(path, b""))
