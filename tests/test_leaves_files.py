"""Writing files: the old content or the new, never half, also on a full disk."""

import multiprocessing
import os
import resource
import signal
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from qnn._files import check_writable, create_atomic, write_atomic
from qnn.errors import StorageError


def write_with_little_room(path: Path, sender: Connection) -> None:
    """In a process of its own, whose files cannot be larger than 1000 bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    write_atomic(path, "new and small")
    try:
        write_atomic(path, "x" * 100_000)
    except StorageError as error:
        sender.send(str(error))


def test_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    assert write_atomic(path, "één\n") == path
    assert path.read_bytes() == "één\n".encode()
    write_atomic(str(path), b"\x00two")
    assert path.read_bytes() == b"\x00two"
    assert os.listdir(path.parent) == ["file.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_of_several_writers_one_creates_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as on FAT

    for name, links in (("linked", True), ("renamed", False)):
        if not links:
            monkeypatch.setattr(os, "link", without_links)
        path, start = tmp_path / "new" / name, threading.Barrier(8)

        def create(number: int, path: Path = path, start: threading.Barrier = start) -> bool:
            start.wait(60)
            return create_atomic(path, f"writer {number}")

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(create, range(8)))
        assert sum(made) == 1 and path.read_text() == f"writer {made.index(True)}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644 and path.stat().st_nlink == 1
        assert not create_atomic(path, "late") and path.read_text() == f"writer {made.index(True)}"
    assert sorted(os.listdir(tmp_path / "new")) == ["linked", "renamed"]


def test_the_name_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a name may be missing, or old, whose file was written, unless the folder is synchronised."""
    synced, fsync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), sorted(os.listdir(tmp_path))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write_atomic(tmp_path / "file", "content")
    (of_file, before), (of_folder, after) = synced
    assert (of_file, of_folder, after) == (False, True, ["file"]) and before != after


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("old")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=write_with_little_room, args=(path, sender))
    child.start()
    child.join(60)
    assert child.exitcode == 0 and receiver.poll(), "the second file was written"
    message = receiver.recv()
    assert "`path` must be writable" in message and "File too large" in message
    assert "what was there before is untouched" in message
    assert path.read_text() == "new and small"
    assert os.listdir(tmp_path) == ["records.jsonl"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"`path` must be writable; writing .* failed") as caught:
        write_atomic(tmp_path / "file" / "below", "text")
    assert isinstance(caught.value, OSError) and isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StorageError, match="failed: Is a directory"):
        write_atomic(tmp_path, "text")
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_place_is_looked_at_before_there_is_anything_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    check_writable(tmp_path / "new" / "folder" / "a.txt", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(StorageError, match=r'`out` must be where a file can be written; got ".*a\.txt": Not a dir'):
        check_writable(tmp_path / "file" / "a.txt", "out")
