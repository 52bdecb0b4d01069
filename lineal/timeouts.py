"""The timeout of a step that runs in lineal's own process: interrupted where that is possible.

Where it is not (in a thread, on Windows, while code in C runs) it is noticed when the step ends.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any

from lineal.assets.errors import StepTimeout

_AGAIN = (0.1, 1.0)  # seconds between two interruptions, if the first is swallowed
_SOON = 1e-6  # seconds: zero would switch a timer off


class TimeIsUp(BaseException):
    """Raised in the middle of user code; no Exception, so that `except Exception` lets it pass."""


def overdue(step: str, seconds: float, *, killed: bool = False) -> StepTimeout:
    """The error of a step that took too long; `killed`: with its worker process."""
    advice = "give it a longer `timeout`, or less to do"
    if not killed:
        advice += "; with `--jobs` a step is killed even in the middle of code in C"
    return StepTimeout(
        f"`{step}` took longer than its timeout of {_duration(seconds)}", advice=advice
    )


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


class limited:  # noqa: N801  (used as a function is)
    """A block that may take so many seconds; None: as many as it likes. Use it in a plain `with`.

    Raises:
        StepTimeout: it took longer, whatever else it raised; what was interrupted is its cause.
    """

    def __init__(self, seconds: float | None, step: str) -> None:
        self._seconds = seconds
        self._step = step
        self._deadline = float("inf")
        self._alarm = False  # is a timer of ours set?
        self._before: Any = None  # the handler that stood before
        self._outer_due = float("inf")  # when the timer that stood before rings
        self._outer_again = 0.0
        self._over = False

    def __enter__(self) -> None:
        if self._seconds is None:
            return
        now = time.monotonic()
        self._deadline = now + self._seconds
        if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is None:
            return
        left, outer_again = signal.getitimer(signal.ITIMER_REAL)
        if left:
            self._outer_due, self._outer_again = now + left, outer_again
        try:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        except ValueError:  # not the main thread
            return
        self._alarm = True
        first = min(self._seconds, left or self._seconds)
        again = min(max(first, _AGAIN[0]), _AGAIN[1])
        signal.setitimer(signal.ITIMER_REAL, max(first, _SOON), again)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over = True
        late = time.monotonic() >= self._deadline
        if self._alarm:
            # Python delivers a signal that came already before it changes a handler: to ours.
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._give_back()
        if late and self._seconds is not None and _may_be_replaced(error):
            raise overdue(self._step, self._seconds) from error

    def _give_back(self) -> None:
        """The timer that stood before goes on, as if there had been none between."""
        if self._outer_due < float("inf"):
            left = max(self._outer_due - time.monotonic(), _SOON)
            signal.setitimer(signal.ITIMER_REAL, left, self._outer_again)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._over or (frame is not None and frame.f_code in _OWN):
            return  # not yet, or no more, within the block; it rings again
        now = time.monotonic()
        if now >= self._deadline:
            raise TimeIsUp
        if now >= self._outer_due:
            again = self._outer_again
            self._outer_due = now + again if again else float("inf")
            if callable(self._before):
                self._before(number, frame)


_OWN = tuple(f.__code__ for f in (limited.__enter__, limited.__exit__, limited._ring))


def _may_be_replaced(error: BaseException | None) -> bool:
    """Not the wish to stop the whole run."""
    return not isinstance(error, KeyboardInterrupt | SystemExit)
