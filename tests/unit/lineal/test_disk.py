"""Seals and caches: whatever bit of a file flips, it is not taken for the one that was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.disk import (
    Disk,
    break_seal,
    clear_staged,
    keep,
    kept,
    seal,
    seal_of,
    state_of_seal,
)

BODY = b'{"current":[1,2,3]}\n' * 3


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with one bit of it changed, for every bit."""
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def put(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    seal(path, Disk())
    return path


def test_what_was_kept_is_given_back(tmp_path: Path) -> None:
    keep(tmp_path / "new" / "file", BODY, Disk())
    assert kept(tmp_path / "new" / "file") == BODY
    assert kept(tmp_path / "other") is None


def test_a_kept_file_with_any_bit_flipped_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    keep(path, BODY, Disk())
    for data in flipped(path.read_bytes()):
        put(path, data)
        assert kept(path) is None


@pytest.mark.parametrize("size", [0, 1, 64, 65, 66, -1])
def test_a_kept_file_cut_short_counts_as_absent(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    keep(path, BODY, Disk())
    put(path, path.read_bytes()[:size])
    assert kept(path) is None


def test_a_sealed_file_is_whole_until_its_seal_is_broken(sealed: Path) -> None:
    assert state_of_seal(sealed) == "whole"
    break_seal(sealed, Disk())
    assert state_of_seal(sealed) == "open"
    break_seal(sealed, Disk())
    sealed.write_bytes(b"changed")
    seal(sealed, Disk())
    assert state_of_seal(sealed) == "whole"


def test_a_sealed_file_with_any_bit_flipped_is_damaged(sealed: Path) -> None:
    for data in flipped(BODY):
        put(sealed, data)
        assert state_of_seal(sealed) == "damaged"
    for data in (b"", BODY[:-1], BODY + b"\n"):
        put(sealed, data)
        assert state_of_seal(sealed) == "damaged"


def test_a_seal_with_any_bit_flipped_is_none_of_its_file(sealed: Path) -> None:
    mark = Path(seal_of(sealed))
    written = mark.read_bytes()
    for data in (*flipped(written), b"", written[:-1], written + b"\n"):
        put(mark, data)
        assert state_of_seal(sealed) == "damaged"


def test_a_copy_is_held_against_the_seal_of_its_original(sealed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(BODY)
    assert state_of_seal(sealed, copy) == "whole"
    copy.write_bytes(BODY[1:])
    assert state_of_seal(sealed, copy) == "damaged"
    assert state_of_seal(sealed) == "whole"


def test_a_file_that_is_gone_is_not_whole(sealed: Path) -> None:
    sealed.unlink()
    assert state_of_seal(sealed) == "open"


def test_what_cannot_be_sealed_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    Path(seal_of(path)).mkdir()
    seal(path, Disk())
    Path(seal_of(path)).rmdir()
    assert state_of_seal(path) == "open"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_staged_for_the_cache_is_cleared_once_it_is_old(
    tmp_path: Path,
) -> None:
    keep(tmp_path / "facts-1.jsonl", BODY, Disk())
    for name in ("facts-1.jsonl.4242-0badcafe", "code.4242-cafe", "stat.json"):
        put(tmp_path / name, BODY)
    clear_staged(tmp_path, 0.0, Disk())
    assert len(list(tmp_path.iterdir())) == 4
    clear_staged(tmp_path, 4e9, Disk())
    assert {p.name for p in tmp_path.iterdir()} == {"code.4242-cafe", "facts-1.jsonl", "stat.json"}
    clear_staged(tmp_path / "missing", 4e9, Disk())
