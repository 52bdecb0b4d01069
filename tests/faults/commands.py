"""A project whose steps wait at gates, and commands on it in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.faults import crowd_proofs as proofs

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds, on a busy machine

# In front of every pipeline: `gate` says where its process is, and waits until it may go on.
_GATES = '''
import os
import time

from lineal import asset, check, checks, source, sql_asset

OUTSIDE = "{outside}"


def computed(name):
    """Add a line to a record outside of the project."""
    with open(OUTSIDE + "/computed", "a") as file:
        file.write(name + "\\n")


def gate(name):
    """Tell the test that we are here, and wait for its word."""
    open(OUTSIDE + "/" + name + ".here", "w").close()
    while not os.path.exists(OUTSIDE + "/" + name + ".open"):
        time.sleep(0.01)
        if os.path.exists(OUTSIDE + "/over"):
            os._exit(0)


'''


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """A command that runs; what it says is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: list[str] = []
        self._heard: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._listen, args=pair, daemon=True)
            for pair in ((process.stdout, self._said), (process.stderr, self._heard))
        ]
        for reader in self._readers:
            reader.start()

    def _listen(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line)
                self._news.notify_all()

    def hears(self, words: str) -> None:
        """Until it says these words on standard error."""
        self._until(words, self._heard)

    def says(self, words: str) -> None:
        """Until it says these words on standard output."""
        self._until(words, self._said)

    def _until(self, words: str, lines: list[str]) -> None:
        with self._news:
            told = self._news.wait_for(lambda: any(words in line for line in lines), PATIENCE)
            assert told, f"never said {words!r}: {lines}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> Ended:
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return Ended(code, "".join(self._said), "".join(self._heard))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Place:
    """A project in a folder, the folder outside of it, and all commands started there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside = folder / "project", folder / "outside"
        self.store = self.root / ".lineal"
        self.temporary = folder / "temporary"  # where its processes put what they forget
        self._commands: list[Command] = []
        self.outside.mkdir(parents=True)
        self.temporary.mkdir()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pipeline(self, text: str) -> None:
        self.write(
            "pipeline.py", _GATES.format(outside=self.outside) + textwrap.dedent(text).lstrip("\n")
        )

    def start(self, *words: str) -> Command:
        return self.python("-m", "lineal.cli", *words)

    def python(self, *arguments: str) -> Command:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            env={
                **kept,
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(self.temporary),
                "LC_ALL": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._commands.append(Command(process))
        return self._commands[-1]

    def run(self, *words: str) -> Ended:
        return self.start(*words).end()

    def at(self, gate: str) -> None:
        """Until a process is at a gate; the next one there is told apart."""
        here = self.outside / f"{gate}.here"
        wait_until(here.exists, f"nobody came to the gate {gate}")
        here.unlink()

    def open(self, gate: str) -> None:
        (self.outside / f"{gate}.open").touch()

    def shut(self, gate: str) -> None:
        """A gate that some have passed is one again."""
        self.at(gate)
        (self.outside / f"{gate}.open").unlink()

    def computed(self) -> list[str]:
        """What was computed, in this order, as the functions themselves tell."""
        path = self.outside / "computed"
        return path.read_text().split() if path.exists() else []

    def past(self) -> proofs.Past:
        return proofs.read_past(self.store)

    def outcomes(self, asset: str) -> list[str]:
        """What became of an asset, attempt by attempt, in the order of the journal."""
        return [m.outcome for _, m in self.past().made.values() if m.asset == asset]

    def close(self) -> None:
        (self.outside / "over").touch()  # children of the killed go too
        for command in self._commands:
            command.close()


@contextmanager
def place_in(folder: Path) -> Iterator[Place]:
    place = Place(folder)
    try:
        yield place
    finally:
        place.close()


def wait_until(met: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < until, otherwise
        time.sleep(0.01)


def has_open(process: int, path: Path) -> bool:
    """Does a process hold this file open just now?"""
    folder = Path(f"/proc/{process}/fd")
    for name in folder.iterdir():
        try:
            if Path(os.readlink(name)) == path:
                return True
        except FileNotFoundError:  # closed meanwhile
            continue
    return False
