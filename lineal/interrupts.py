"""Ctrl-C and SIGTERM during a run: the first lets what runs end, the second stops it at once.

A worker process hears neither of them: its parent decides, and it ends when its parent is gone.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
_SAME = 0.05  # seconds: `timeout` and other wrappers send one request to stop twice at once
_LOOK = 0.5  # seconds between two looks for the parent of a worker
_TOLD_WITHIN = 1.0  # seconds that the end of a run waits for the words about its first signal
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>

_Handler = Callable[[int, FrameType | None], Any] | int


class Interrupts:
    """While open, the first SIGINT or SIGTERM asks the run to end and the second stops it.

    The first sets `asked`, calls `wake`, and has `on_first` called in a thread of its own, so that
    it may print. One that follows counts from when `on_first` is called: it calls `on_second` and
    raises KeyboardInterrupt in the main thread, whatever that does.

    A signal that this process ignores stays ignored (nohup, a job in the background). Where
    handlers can't be set, as outside of the main thread, nothing is caught: see `caught`.

    Args:
        on_first: tells the person.
        on_second: stops what runs in other processes. Called in a signal handler: no printing,
            and no lock that the main thread takes.
        wake: wakes whoever waits. Called in a signal handler: `queue.SimpleQueue.put` may be.
    """

    def __init__(
        self,
        on_first: Callable[[], None],
        on_second: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._on_first, self._on_second, self._wake = on_first, on_second, wake
        self._before: dict[int, _Handler] = {}
        self._told = _thread.allocate_lock()
        self._armed = False  # does another signal count as the second?
        self._over = False
        self._late: int | None = None  # came when the block was left already
        self.asked = False

    @property
    def caught(self) -> bool:
        """Are signals caught now?"""
        return bool(self._before) and not self._over

    def __enter__(self) -> Interrupts:
        for number in STOPPING:
            before = signal.getsignal(number)
            if before is None or before == signal.SIG_IGN:
                continue  # set by other means than Python's, or ignored on purpose
            try:
                signal.signal(number, self._hear)
            except ValueError:  # not the main thread
                break
            self._before[number] = before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over = True
        for number, before in self._before.items():
            signal.signal(number, before)
        if self.asked and self._told.acquire(timeout=_TOLD_WITHIN):
            self._told.release()
        if self._late is not None and not self.asked:
            signal.raise_signal(self._late)  # whoever hears it now

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._over or (frame is not None and frame.f_code is Interrupts.__exit__.__code__):
            self._late = number
        elif not self.asked:
            self.asked = True
            self._told.acquire()
            self._wake()
            try:
                _thread.start_new_thread(self._tell, ())
            except RuntimeError:  # no more threads: better unsaid than deaf
                self._armed = True
                self._told.release()
        elif self._armed:
            try:
                self._on_second()
            finally:
                raise KeyboardInterrupt

    def _tell(self) -> None:
        """Not in the handler: the main thread may be in the middle of printing."""
        time.sleep(_SAME)
        self._armed = True
        try:
            self._on_first()
        finally:
            self._told.release()


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While open, SIGTERM is what Ctrl-C is: KeyboardInterrupt, unless something else heard it."""
    before = signal.getsignal(signal.SIGTERM)
    if before != signal.SIG_DFL:
        yield
        return
    try:
        signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------ worker processes


def ignore_in_worker(
    parent: int | None = None, until_gone: Callable[[], object] | None = None
) -> None:
    """Called once in a worker process, in its main thread: only its parent ends it.

    It gets a process group of its own, so that Ctrl-C in a terminal reaches neither it nor what it
    starts; and it is killed when its parent has died, however that came about. On Linux the kernel
    does that at the end of the *thread* that started the worker: that must live as long.

    Args:
        parent: the process id of who started it, if that can be gone already.
        until_gone: waits until the parent is gone, where another process forked this one for it.
    """
    # Not SIG_IGN: what a step starts would inherit it, and could not be told to end.
    for number in STOPPING:
        signal.signal(number, _nothing)
    if hasattr(signal, "pthread_sigmask"):  # who forked it may have them blocked
        _unblock()
    if hasattr(os, "register_at_fork"):  # what a step forks can be told to end, from the first
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_hear_again)
    if hasattr(os, "setpgid"):
        with contextlib.suppress(OSError):  # it leads a session
            os.setpgid(0, 0)
    expected = os.getppid() if parent is None else parent
    _have_kernel_kill()
    _thread.start_new_thread(_end_with, (until_gone or (lambda: _while_child_of(expected)),))


def _nothing(number: int, frame: FrameType | None) -> None:
    """Heard, and that is all."""


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _hear_again() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


def _have_kernel_kill() -> None:
    """Ask Linux to kill this process with its parent: also while code in C keeps Python waiting."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)
    except (ImportError, AttributeError, OSError, TypeError):
        return  # another system: `_end_with` looks


def _while_child_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)


def _end_with(until_gone: Callable[[], object]) -> None:
    until_gone()
    if hasattr(os, "getpgid") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with all that a step started
    os._exit(1)
