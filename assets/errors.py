"""Every error a person can meet, in one tree: what happened, where, and how to mend it.

LinealError
├── DefinitionError          a declaration that can't be right              exit 2
│   └── DefinitionErrors     all of them, told at once                      exit 2
├── SettingsError            lineal.toml                                    exit 2
├── UsageError               words on the command line                      exit 2
│   └── SelectionError       a selection that names nothing                 exit 2
├── SourceMissing            a source's files are not there                 exit 2
├── QueryError               SQL that can't run, with its line and a caret  exit 2
├── StepError                one step could not be made                     exit 1
│   ├── UserCodeError        the user's own code raised                     exit 1
│   ├── ContentError         a value that can't be stored                   exit 1
│   ├── InputsChanged        a source or the code moved during the run      exit 1
│   ├── StepTimeout          an attempt took longer than its timeout        exit 1
│   └── WorkerDied           the process that made it died                  exit 1
├── StoreError               the disk said no                               exit 1
└── IntegrityError           the memory does not hold together              exit 3
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class LinealError(Exception):
    """The root: a message in one sentence, where it applies, and advice on how to mend it."""

    kind = "error"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        advice: str | None = None,
        excerpt: str | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = advice
        self.excerpt = excerpt  # the line of code or SQL, with a caret below where that helps
        for note in filter(None, (where, advice)):  # Python's own traceback shows them too
            self.add_note(note)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by calling their class with `args`, which knows no keywords.
        return _unpickled, (type(self), self.args, dict(vars(self)))

    def as_json(self) -> dict[str, str | None]:
        return {
            "kind": self.kind,
            "message": self.message,
            "where": self.where,
            "advice": self.advice,
        }


def _unpickled(
    kind: type[LinealError], args: tuple[Any, ...], state: Mapping[str, Any]
) -> LinealError:
    """An error as it was in another process, with all its fields."""
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class DefinitionError(LinealError):
    kind = "definition"
    exit_code = 2


class DefinitionErrors(DefinitionError):
    """Several definition errors, gathered so that all are told at once."""

    def __init__(self, errors: Sequence[DefinitionError]):
        self.errors = tuple(errors)
        count = len(self.errors)
        super().__init__(f"{count} error{'s' if count != 1 else ''} in the definitions")


class SettingsError(LinealError):
    kind = "settings"
    exit_code = 2


class UsageError(LinealError):
    kind = "usage"
    exit_code = 2


class SelectionError(UsageError):
    kind = "selection"


class SourceMissing(LinealError):
    kind = "source_missing"
    exit_code = 2


class QueryError(LinealError):
    """SQL that can't be parsed, bound or run; `excerpt` is its line with a caret below."""

    kind = "query"
    exit_code = 2


class StepError(LinealError):
    kind = "step"


class UserCodeError(StepError):
    """The user's own code raised: `line` is the source text at `where`, in their own code."""

    kind = "user_code"

    def __init__(
        self,
        error_type: str,
        message: str,
        *,
        where: str | None = None,
        line: str | None = None,
        traceback: str = "",
        types: tuple[str, ...] = (),
    ):
        told = f"{error_type}: {message}" if message else error_type
        super().__init__(told, where=where, excerpt=line)
        self.error_type = error_type
        self.line = line
        self.traceback = traceback
        self.types = types  # qualified names of the exception's class and its bases


class ContentError(StepError):
    """A value that has no canonical form, so can't be stored or compared."""

    kind = "content"


class InputsChanged(StepError):
    """A source file or the code changed between planning and the end of the step."""

    kind = "inputs_changed"


class StepTimeout(StepError):
    """An attempt took longer than the `timeout` of its asset."""

    kind = "timeout"


class WorkerDied(StepError):
    """The process that made a step died: out of memory, a crash in C code, `os._exit`, …"""

    kind = "worker_died"


class StoreError(LinealError):
    kind = "store"


class IntegrityError(LinealError):
    kind = "integrity"
    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None when nothing is close."""
    candidates = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), candidates, n=1, cutoff=0.6)
    return candidates[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean `x`?`, or nothing."""
    near = nearest(name, known)
    return f"; did you mean `{near}`?" if near else ""
