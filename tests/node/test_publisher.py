"""Publication survives a power failure between any two of its steps, and takes no published head back (P1, P2)."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import Forks
from signers import NOW_S

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.tlog.checkpoint import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import check_consistency, prove_consistency
from tallystick_ledger.tlog.proof import check_proof, parse_proof
from tallystick_ledger.tlog.signers import NoteSigner
from tallystick_ledger.tlog.tiles import CHECKPOINT, TILE_WIDTH, paths_between, paths_for
from tallystick_node.clock import SetClock
from tallystick_node.config import DATABASE_FILE
from tallystick_node.errors import LogNotContinued, LogReadOnly
from tallystick_node.jobs import open_log
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node

ORIGIN = "gym.example/log/2027"
SIZE_FIRST, SIZE_PUBLISHED, SIZE_COMMITTED = 7, 250, 300
"""One publication early; the last one, short of a full tile; and what is committed when the power fails."""


pytestmark = pytest.mark.sqlite  # folders are copied here, their database with them


def opened(folder: Path) -> Node:
    return open_node(folder, clock=SetClock(NOW_S))


def write(node: Node, size: int) -> None:
    """Append events until the log has `size` entries, in commits of different sizes."""

    def append(transaction: Transaction) -> None:
        open_log(node, transaction)
        for _ in range(count - len(transaction.entries)):
            transaction.append("event", {"commitment": to_base64url(node.random_bytes(32))})

    committed = committed_size(node.folder)
    while committed < size:
        count = min(size - committed, 1 + committed % 97)
        node.writer.submit(append).result(10)
        committed += count


def committed_size(folder: Path) -> int:
    """Return how many entries the database holds, as another process sees it."""
    connection = sqlite3.connect(f"file:{folder / DATABASE_FILE}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT size FROM head").fetchone()
    finally:
        connection.close()
    return 0 if row is None else int(row[0])


def published(node: Node) -> Checkpoint:
    """Return the head that is served; the audit checks its signatures."""
    return parse_checkpoint_body(node.publisher.checkpoint().partition(b"\n\n")[0] + b"\n")


def assert_continues(node: Node, heads: list[Checkpoint]) -> None:
    """The log holds under audit, covers all that is committed, and continues every head that was published before."""
    report = audit([DirectorySource(str(node.folder / "log"))])
    assert report.findings == ()
    last = published(node)
    assert last.size == report.sources[0].size == committed_size(node.folder)
    reader = node.publisher.reader(last.size)
    for head in heads:
        proof = prove_consistency(head.size, new_size=last.size, read=reader)
        check_consistency(proof, old_size=head.size, old_root=head.root, new_size=last.size, new_root=last.root)


def assert_stands(log: Path) -> None:
    """Whatever the power left, the head that stands there covers only files that are whole; others may lie about."""
    findings = audit([DirectorySource(str(log))]).findings
    assert {finding.rule for finding in findings} <= {"log.unexpected_file"}, findings


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Checkpoint]]:
    """A node's folder with two published heads and more that is committed; copy it before use."""
    folder = tmp_path_factory.mktemp("grown") / "gym"
    create_node(
        folder,
        host="gym.example",
        url="http://127.0.0.1:1",
        bind="127.0.0.1:1",
        sandbox=True,
        clock=SetClock(NOW_S),
        log_year=2027,
    )
    node = opened(folder)
    heads = []
    for size in (SIZE_FIRST, SIZE_PUBLISHED):
        write(node, size)
        node.publisher.publish()
        heads.append(published(node))
    write(node, SIZE_COMMITTED)
    node.close()
    return folder, heads


@pytest.fixture
def node(grown: tuple[Path, list[Checkpoint]], tmp_path: Path) -> Iterator[Node]:
    """That node, opened."""
    node = opened(shutil.copytree(grown[0], tmp_path / "gym"))
    yield node
    node.close()


def test_the_power_may_fail_before_every_step_of_a_publication(
    grown: tuple[Path, list[Checkpoint]], tmp_path: Path
) -> None:
    folder, heads = grown
    steps, ended = 0, False
    with Forks(errors=tmp_path / "errors") as forks:
        while not ended:
            copy = shutil.copytree(folder, tmp_path / f"gym-{steps}")
            ended = forks.publish(copy, steps=steps)
            # What was not made durable before the head was may also be there in part, or empty.
            is_covered = (copy / "log" / CHECKPOINT).read_bytes() != (folder / "log" / CHECKPOINT).read_bytes()
            unfinished = [] if is_covered else new_files(copy / "log", folder / "log")
            for kept in (1.0, 0.5, 0.0) if unfinished else (1.0,):
                again = shutil.copytree(copy, tmp_path / f"gym-{steps}-{kept}")
                for file in unfinished:
                    half = again / "log" / file.relative_to(copy / "log")
                    half.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
                assert_stands(again / "log")
                node = opened(again)
                try:
                    node.publisher.publish()
                    assert_continues(node, heads)
                finally:
                    node.close()
                shutil.rmtree(again)
            shutil.rmtree(copy)
            steps += 1
    # Each file is written; the head is renamed; some folders are made; then the partial tiles go.
    assert steps > len([*paths_between(SIZE_PUBLISHED, SIZE_COMMITTED), CHECKPOINT, "renamed", "001.p", "001.p"])
    assert (tmp_path / "errors").read_text() == ""


def new_files(log: Path, before: Path) -> list[Path]:
    """Return the files that lie in a log's folder, and did not before."""
    return [file for file in log.rglob("*") if file.is_file() and not (before / file.relative_to(log)).exists()]


def remove(path: str) -> Callable[[Path], None]:
    def damage(log: Path) -> None:
        shutil.rmtree(log / path) if (log / path).is_dir() else (log / path).unlink()

    return damage


def cut(path: str) -> Callable[[Path], None]:
    def damage(log: Path) -> None:
        (log / path).write_bytes((log / path).read_bytes()[:-20])

    return damage


def leave_unfinished(log: Path) -> None:
    (log / "tile/0/001.p").mkdir()
    (log / "tile/0/001.p/.17.new").write_bytes(b"half of a tile")
    (log / f".{CHECKPOINT}.new").write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        remove(CHECKPOINT),
        cut(CHECKPOINT),
        remove("tile"),
        remove("tile/entries"),
        remove(f"tile/entries/000.p/{SIZE_PUBLISHED}"),
        remove(f"tile/0/000.p/{SIZE_PUBLISHED}"),
        cut(f"tile/0/000.p/{SIZE_PUBLISHED}"),
        leave_unfinished,
        shutil.rmtree,
    ],
)
def test_what_is_lost_of_the_files_is_made_again(
    grown: tuple[Path, list[Checkpoint]], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(grown[0], tmp_path / "gym")
    damage(folder / "log")
    node = opened(folder)
    node.publisher.publish()
    assert_continues(node, grown[1])
    node.close()


def test_partial_tiles_are_served_until_the_full_one_is(grown: tuple[Path, list[Checkpoint]], node: Node) -> None:
    def widths(path: str) -> list[int]:
        return [width for width in range(1, TILE_WIDTH) if node.publisher.file(f"{path}.p/{width}") is not None]

    for path in ("tile/0/000", "tile/entries/000"):
        assert widths(path) == [SIZE_FIRST, SIZE_PUBLISHED]
        assert node.publisher.file(path) is None
    node.publisher.publish()
    for path in ("tile/0/000", "tile/entries/000"):
        assert widths(path) == []
        assert node.publisher.file(path) is not None
    files = {str(file.relative_to(node.folder / "log")) for file in (node.folder / "log").rglob("*") if file.is_file()}
    assert files == {CHECKPOINT, *(place.path for place in paths_for(SIZE_COMMITTED))}
    assert_continues(node, grown[1])


def test_partial_tiles_left_by_a_crash_after_the_head_are_gone_after_a_start(
    grown: tuple[Path, list[Checkpoint]], tmp_path: Path
) -> None:
    folder = shutil.copytree(grown[0], tmp_path / "gym")
    node = opened(folder)
    node.publisher.publish()
    node.close()
    shutil.copytree(grown[0] / "log/tile/0/000.p", folder / "log/tile/0/000.p")
    node = opened(folder)
    node.close()
    assert not (folder / "log/tile/0/000.p").exists()


def test_nothing_is_published_before_it_is_committed(node: Node) -> None:
    writing = threading.Thread(target=write, args=(node, SIZE_COMMITTED + 1500))
    writing.start()
    seen = []
    while writing.is_alive():
        node.publisher.publish()
        seen.append(published(node).size)
        assert seen[-1] <= committed_size(node.folder)
    writing.join()
    node.publisher.publish()
    assert len(set(seen)) > 2
    assert_continues(node, [])


def test_a_proof_fits_its_head_whatever_is_published_meanwhile(node: Node) -> None:
    node.publisher.publish()
    keys = [signer.verifier_key for signer in (NoteSigner(ORIGIN, node.keys.ed25519("log")),)]
    done = threading.Event()

    def grow() -> None:
        for size in range(SIZE_COMMITTED + 1, SIZE_COMMITTED + 2 * TILE_WIDTH, 29):
            write(node, size)
            node.publisher.publish()
        done.set()

    growing = threading.Thread(target=grow)
    growing.start()
    sizes = set()
    while not done.is_set():
        proven = node.proofs.entry(SIZE_COMMITTED - 1)
        assert proven is not None
        proof = parse_proof(proven.proof.encode())
        sizes.add(check_proof(proof, entry=proven.entry.encode(), origin=ORIGIN, keys=keys).size)
    growing.join()
    assert len(sizes) > 2
    assert node.proofs.entry(published(node).size) is None
    assert node.proofs.entry(-1) is None


def test_a_database_from_before_the_published_head_is_refused(
    grown: tuple[Path, list[Checkpoint]], tmp_path: Path
) -> None:
    folder = shutil.copytree(grown[0], tmp_path / "gym")
    node = opened(folder)
    write(node, SIZE_COMMITTED + 1)
    node.publisher.publish()
    node.close()
    for file in folder.glob(f"{DATABASE_FILE}*"):
        file.unlink()
    shutil.copy(grown[0] / DATABASE_FILE, folder)
    behind = opened(folder)
    with pytest.raises(LogReadOnly):
        write(behind, SIZE_COMMITTED + 1)
    assert not behind.publisher.publish()
    assert published(behind).size == SIZE_COMMITTED + 1
    behind.close()


def test_a_head_that_does_not_continue_the_last_one_is_not_published(
    grown: tuple[Path, list[Checkpoint]], tmp_path: Path
) -> None:
    """The database was restored from before the head, went on elsewhere, and is as long again."""
    here, elsewhere = (shutil.copytree(grown[0], tmp_path / name) for name in ("here", "elsewhere"))
    for folder, more in ((here, 5), (elsewhere, 9)):
        node = opened(folder)
        write(node, SIZE_COMMITTED + more)
        node.publisher.publish()
        node.close()
    head = (here / "log" / CHECKPOINT).read_bytes()
    for file in here.glob(f"{DATABASE_FILE}*"):
        file.unlink()
    shutil.copy(elsewhere / DATABASE_FILE, here)
    node = opened(here)
    with pytest.raises(LogNotContinued):
        node.publisher.publish()
    node.close()
    assert (here / "log" / CHECKPOINT).read_bytes() == head
