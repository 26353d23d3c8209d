"""A log in an object store: a real S3 protocol over a real socket (moto's server), and one that fails as told."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from signers import NOW_S

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.tlog.merkle import root_at
from tallystick_node.clock import SetClock
from tallystick_node.config import Settings, load_settings
from tallystick_node.errors import SettingsInvalid, StoreUnavailable
from tallystick_node.jobs import open_log
from tallystick_node.log.store import LogStore
from tallystick_node.log.store_s3 import S3LogStore, open_log_store
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node

pytest.importorskip("obstore", reason="the extra [s3] is not installed")
pytest.importorskip("moto", reason="no S3 server is installed")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server, and the credentials that it does not look at."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator sets in the node's environment."""
    for name, value in {"ACCESS_KEY_ID": "someone", "SECRET_ACCESS_KEY": "something", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    httpx.put(f"{server}/{name}").raise_for_status()
    return name


def settings(server: str, bucket: str) -> Settings:
    where = {"log_store": f"s3://{bucket}/gym/2027", "log_store_endpoint": server}
    return Settings(
        host="gym.example",
        url="http://gym",
        bind="a:1",
        sandbox=True,
        log_year=2027,
        **where,  # type: ignore[arg-type]
    )


def opened(server: str, bucket: str, *, cache_size_max_bytes: int | None = None) -> S3LogStore:
    store = open_log_store(settings(server, bucket), Path("unused"))
    assert isinstance(store, S3LogStore)
    return (
        store if cache_size_max_bytes is None else S3LogStore(store._store, cache_size_max_bytes=cache_size_max_bytes)
    )


@pytest.fixture
def store(server: str, bucket: str) -> Iterator[S3LogStore]:
    """An empty store."""
    made = opened(server, bucket)
    yield made
    made.close()


# The store


def test_what_was_written_is_there_after_a_flush_and_for_others_too(
    server: str, bucket: str, store: S3LogStore
) -> None:
    files = {f"tile/0/{at:03}": bytes([at]) * 100 for at in range(20)}
    for path, content in files.items():
        store.write(path, content)
    store.flush()
    other = opened(server, bucket)
    assert {path: other.read(path) for path in files} == files
    assert store.names("tile/0") == other.names("tile/0") == [path.rpartition("/")[2] for path in files]
    other.close()


def test_what_is_being_written_is_read_as_written(store: S3LogStore) -> None:
    store.write("tile/0/000", b"one")
    assert store.read("tile/0/000") == b"one"
    store.write("tile/0/000", b"two")
    assert store.read("tile/0/000") == b"two"
    store.flush()


def test_what_is_not_there_is_a_lookup_error_and_may_be_deleted(store: S3LogStore) -> None:
    for path in ("checkpoint", "tile/0/000"):
        with pytest.raises(LookupError):
            store.read(path)
        store.delete(path)
    assert store.names("tile/0") == []


def test_a_deleted_file_is_gone_from_the_cache_too(store: S3LogStore) -> None:
    store.replace("tile/0/000.p/3", b"content")
    assert store.read("tile/0/000.p/3") == b"content"
    store.delete("tile/0/000.p/3")
    with pytest.raises(LookupError):
        store.read("tile/0/000.p/3")


def test_of_two_writers_the_second_does_not_take_the_first_one_s_head_back(
    server: str, bucket: str, store: S3LogStore
) -> None:
    other = opened(server, bucket)
    store.replace("checkpoint", b"one")
    with pytest.raises(OSError, match="somebody else"):
        other.replace("checkpoint", b"another one")
    assert other.read("checkpoint") == b"one"
    other.replace("checkpoint", b"two")
    with pytest.raises(OSError, match="somebody else"):
        store.replace("checkpoint", b"one and a half")
    assert store.read("checkpoint") == b"two"
    other.close()


def test_a_head_whose_answer_was_lost_is_not_taken_for_somebody_else_s(
    server: str, bucket: str, store: S3LogStore
) -> None:
    other = opened(server, bucket)
    store.replace("checkpoint", b"one")
    other.read("checkpoint")
    other.replace("checkpoint", b"two")  # as our own first attempt would have
    store.replace("checkpoint", b"two")
    store.replace("checkpoint", b"three")
    other.close()


def lossy(put: Callable[..., str | None]) -> Callable[..., str | None]:
    def lost(path: str, content: bytes, *, mode: object) -> str | None:
        put(path, content, mode=mode)
        raise OSError("the object store failed: TimeoutError")

    return lost


def test_after_answers_that_were_lost_for_good_the_next_heads_are_put(
    server: str, bucket: str, store: S3LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store._put_now
    for first in (b"one", b"four"):
        with monkeypatch.context() as patched:
            patched.setattr(store, "_put_now", lossy(put))
            with pytest.raises(OSError, match="TimeoutError"):
                store.replace("checkpoint", first)
        for content in (first + b" and more", b"three"):
            store.replace("checkpoint", content)
            assert store.read("checkpoint") == content
    other = opened(server, bucket)
    other.read("checkpoint")
    other.replace("checkpoint", b"one")
    with pytest.raises(OSError, match="somebody else"):
        store.replace("checkpoint", b"five")  # what was lost once does not count for ever
    other.close()


def test_the_cache_is_bounded_and_never_holds_the_head(server: str, bucket: str) -> None:
    small = opened(server, bucket, cache_size_max_bytes=250)
    for at in range(5):
        small.replace(f"tile/0/00{at}", bytes(100))
        small.read(f"tile/0/00{at}")
    small.replace("checkpoint", b"head")
    small.read("checkpoint")
    assert list(small._cache._kept) == ["tile/0/003", "tile/0/004"]
    assert small._cache._size_bytes == 200
    small.replace("tile/0/009", bytes(251))
    assert len(small.read("tile/0/009")) == 251
    assert small._cache._size_bytes == 0
    small.close()


# A node on it


def write(node: Node, count: int) -> None:
    def work(transaction: Transaction) -> None:
        open_log(node, transaction)
        for _ in range(count - len(transaction.entries)):
            transaction.append("event", {"commitment": to_base64url(os.urandom(32))})

    node.writer.submit(work).result(20)


def make(folder: Path, server: str, bucket: str) -> None:
    create_node(
        folder, host="gym.example", url="http://gym", bind="a:1", sandbox=True, clock=SetClock(NOW_S), log_year=2027
    )
    kept = settings(server, bucket)
    where = {"log_store": kept.log_store, "log_store_endpoint": kept.log_store_endpoint}
    (folder / "node.toml").write_text(load_settings(folder).model_copy(update=where).text())


def fetched(server: str, bucket: str, folder: Path) -> Path:
    """Return the log as an auditor fetches it from the bucket with tools of its own, beside the keys."""
    import obstore

    store = opened(server, bucket)
    for batch in obstore.list(store._store):
        for each in batch:
            target = folder / "log" / each["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytes(obstore.get(store._store, each["path"]).bytes()))
    store.close()
    return folder / "log"


def test_a_node_publishes_to_a_bucket_restarts_and_goes_on_and_an_auditor_fetches_it(
    tmp_path: Path, server: str, bucket: str
) -> None:
    make(tmp_path / "gym", server, bucket)
    node = open_node(tmp_path / "gym", clock=SetClock(NOW_S))
    for count in (3, 200):
        write(node, count)
        assert node.publisher.publish()
    node.close()
    node = open_node(tmp_path / "gym", clock=SetClock(NOW_S))
    assert node.publisher.published_size == 203
    write(node, 100)
    assert node.publisher.publish()
    head, _ = node.publisher.published
    assert root_at(head.size, node.publisher.reader(head.size)) == head.root
    assert not (tmp_path / "gym" / "log").exists()
    node.close()
    copy = tmp_path / "auditor"
    log = fetched(server, bucket, copy)
    for name in ("log.vkey", "log-pq.vkey"):
        (copy / name).write_text((tmp_path / "gym" / name).read_text())
    report = audit([DirectorySource(str(log))])
    assert report.holds, report.findings
    assert report.sources[0].size == 303
    partial = [path.parent.name for path in log.rglob("*.p/*")]
    assert set(partial) <= {"001.p", "000.p"}
    assert not list((log / "tile" / "0").glob("000.p/*")), "partial tiles are removed once the full one is there"


def test_a_head_that_somebody_else_put_there_is_not_taken_back_however_often_it_is_read(
    tmp_path: Path, server: str, bucket: str
) -> None:
    make(tmp_path / "gym", server, bucket)
    node = open_node(tmp_path / "gym", clock=SetClock(NOW_S))
    write(node, 3)
    node.publisher.publish()
    other = opened(server, bucket)
    other.read("checkpoint")
    other.replace("checkpoint", b"a head that nobody here has judged")
    write(node, 3)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            node.publisher.publish()
        node.say_who_signs()
        assert node.publisher.file("checkpoint") == node.publisher.published[1]
    assert other.read("checkpoint") == b"a head that nobody here has judged"
    other.close()
    node.close()


def test_a_copied_node_that_publishes_too_is_stopped_at_the_head(tmp_path: Path, server: str, bucket: str) -> None:
    make(tmp_path / "gym", server, bucket)
    node = open_node(tmp_path / "gym", clock=SetClock(NOW_S))
    write(node, 3)
    thief = opened(server, bucket)
    thief.replace("checkpoint", b"the copy's head\n")
    with pytest.raises(StoreUnavailable):
        node.publisher.publish()
    assert thief.read("checkpoint") == b"the copy's head\n"
    thief.close()
    node.close()


# A store that fails


class Sick(BaseHTTPRequestHandler):
    """Answers every request with the status that its server is told, or not at all."""

    def handle_one_request(self) -> None:
        server: SickServer = self.server  # type: ignore[assignment]
        if server.status is None:
            self.close_connection = True
            server.released.wait(30)
            return
        super().handle_one_request()

    def _answer(self) -> None:
        server: SickServer = self.server  # type: ignore[assignment]
        assert server.status is not None
        server.asked += 1
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class SickServer(ThreadingHTTPServer):
    status: int | None = 500
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Sick)
        self.released = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join(10)
        self.server_close()


@pytest.fixture
def sick() -> Iterator[SickServer]:
    made = SickServer()
    yield made
    made.end()


def every_call(store: LogStore) -> None:
    """Each way to use a store ends in an `OSError` that is not a `LookupError`, and names no address."""
    store.write("tile/0/000", b"content")
    for call in (
        store.flush,
        lambda: store.read("checkpoint"),
        lambda: store.replace("checkpoint", b"head"),
        lambda: store.delete("tile/0/000"),
        lambda: store.names("tile/0"),
    ):
        with pytest.raises(OSError, match="object store") as refused:
            call()
        assert "127.0.0.1" not in str(refused.value)
    store.flush()  # what failed is not waited for twice


@pytest.mark.parametrize("status", [403, 500])
def test_a_store_that_refuses_or_fails_is_tried_a_few_times_and_then_an_error(sick: SickServer, status: int) -> None:
    sick.status = status
    store = opened(f"http://127.0.0.1:{sick.server_port}", "bucket")
    every_call(store)
    assert sick.asked <= 5 * 3
    store.close()


def test_a_store_that_nobody_listens_at_is_an_error() -> None:
    store = opened("http://127.0.0.1:1", "bucket")
    every_call(store)
    store.close()


def test_a_store_that_says_nothing_is_not_waited_for_for_ever(
    sick: SickServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick.status = None
    monkeypatch.setattr("tallystick_node.log.store_s3.REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr("tallystick_node.log.store_s3.RETRIES_MAX", 0)
    store = opened(f"http://127.0.0.1:{sick.server_port}", "bucket")
    every_call(store)
    store.close()


def test_a_publication_waits_for_its_store_and_the_old_head_stands(
    tmp_path: Path, server: str, bucket: str, sick: SickServer
) -> None:
    make(tmp_path / "gym", server, bucket)
    node = open_node(tmp_path / "gym", clock=SetClock(NOW_S))
    write(node, 3)
    node.publisher.publish()
    store = node.publisher._store
    assert isinstance(store, S3LogStore)
    healthy = store._store
    store._store = opened(f"http://127.0.0.1:{sick.server_port}", bucket)._store
    write(node, 300)  # a node whose store is away still records
    with pytest.raises(StoreUnavailable):
        node.publisher.publish()
    assert node.publisher.published_size == 3
    store._store = healthy
    assert node.publisher.publish()
    assert node.publisher.published_size == 303
    node.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"log_store": "http://bucket"},
        {"log_store": "s3://"},
        {"log_store": "s3://UPPER/x"},
        {"log_store": "s3://bucket/../x y"},
        {"log_store": "s3://bucket//x"},
        {"log_store_endpoint": "ftp://x"},
    ],
    ids=str,
)
def test_settings_that_name_no_store_are_refused(tmp_path: Path, wrong: dict[str, str], server: str) -> None:
    make(tmp_path, server, "bucket")
    path = tmp_path / "node.toml"
    (name, value) = next(iter(wrong.items()))
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{name} ")]
    path.write_text("\n".join([*lines, f'{name} = "{value}"', ""]))
    with pytest.raises(SettingsInvalid):
        open_node(tmp_path, clock=SetClock(NOW_S))
