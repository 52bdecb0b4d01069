"""A warm interpreter: it imports the heavy libraries once and forks for each call.

A call runs as in a fresh process (nothing of a project is ever imported in the parent), at a
hundredth of the price of starting one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow.csv",
    "pyarrow.parquet",
    "duckdb",
    "polars",
    "sklearn.tree",
)


class CallFailed(AssertionError):
    """The called function raised, died or took too long; the message holds its traceback."""


class Warm:
    """A process to call functions in, each in its own fork: `call("tests.oracle:compute", x)`."""

    def __init__(self, flags: Sequence[str] = (), preload: Sequence[str] = LIBRARIES):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-m", "tests.warm", *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )

    def call(self, target: str, *arguments: Any, seconds: float = 120) -> Any:
        """The result of `module:function` on the arguments, from a fork of the warm interpreter."""
        assert self._process.stdin is not None and self._process.stdout is not None
        _send(self._process.stdin, (target, arguments))
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self._process.kill()
            raise CallFailed(f"{target} took more than {seconds:.0f} s")
        try:
            good, result = _receive(self._process.stdout)
        except EOFError:
            raise CallFailed(f"the warm interpreter is gone before {target}") from None
        if not good:
            raise CallFailed(result)
        return result

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _send(pipe: IO[bytes], message: Any) -> None:
    body = pickle.dumps(message)
    pipe.write(len(body).to_bytes(8, "little") + body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    size = pipe.read(8)
    if len(size) < 8:
        raise EOFError
    return pickle.loads(pipe.read(int.from_bytes(size, "little")))


def _answer(target: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    module, _, name = target.partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(*arguments)
        atexit._run_exitfuncs()
        pickle.dumps(result)
    except BaseException:  # noqa: BLE001 (whatever it is, the caller is told)
        return False, traceback.format_exc()
    return True, result


def serve(preload: Sequence[str]) -> None:
    """Answer calls from standard input until it closes."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a call prints must not mix with the replies
    for module in preload:
        importlib.import_module(module)
    gc.freeze()  # else the first collection in each fork copies every page
    while True:
        try:
            target, arguments = _receive(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            _send(replies, _answer(target, arguments))
            sys.stderr.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if status != 0:
            _send(replies, (False, f"{target} died with status {status}"))


if __name__ == "__main__":
    serve(sys.argv[1:])
    os._exit(0)  # frozen objects can't be torn down in order
