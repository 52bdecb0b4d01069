"""Folders for steps to write into: they go with who needs them, and nobody else takes them away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from lineal.storage.objects import Objects
from lineal.storage.scratch import Folders

LONG_AGO = 1_000_000.0
HOLDER = """
import sys
from pathlib import Path
from lineal.storage.scratch import Folders
print(Folders(Path(sys.argv[1])).new(), flush=True)
sys.stdin.read()
"""


def _grow_old(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_folders_are_removed_with_what_they_hold(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "store" / "tmp")
    one, other = folders.new(), folders.new()
    (one / "sub").mkdir()
    (one / "sub" / "file").write_text("x")
    assert one != other
    folders.close()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_an_old_folder_stays_as_long_as_its_process_lives(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "tmp")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
    )
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    (folder / "half").write_text("x")
    _grow_old(folder)
    objects = Objects(tmp_path)
    assert objects.clear_leftovers(LONG_AGO + 1) == 0
    assert (folder / "half").exists()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert objects.clear_leftovers(LONG_AGO) == 0  # not older than that
    assert objects.clear_leftovers(LONG_AGO + 1) == 1
    assert not folder.exists()


def test_an_old_folder_named_after_a_process_stays_as_long_as_it_runs(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folders = [tmp_path / "tmp" / f"duckdb-{pid}-140" for pid in (os.getpid(), ended.pid)]
    for folder in folders:
        folder.mkdir(parents=True)
        _grow_old(folder)
    assert Objects(tmp_path).clear_leftovers(LONG_AGO + 1) == 1
    assert [folder.exists() for folder in folders] == [True, False]
