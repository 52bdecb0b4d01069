"""Secrets: values that come from the environment when code runs, and are kept out of all texts."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from lineal.assets.asset import Where, caller, place, refused
from lineal.assets.errors import DefinitionError, StepError

HIDDEN = "***"
SHORTEST = 4  # shorter values are not taken out of texts: they would be found everywhere


class _Told:
    """What this process must not tell; nothing that was a secret ever stops to be one."""

    names: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Secret:
    """The environment variable `name`, as a value. Its canonical form is its name only."""

    name: str

    def __post_init__(self) -> None:
        _Told.names |= {self.name}

    def __repr__(self) -> str:
        return f"secret({self.name})"

    @property
    def value(self) -> str:
        """What the variable holds now; only while a step runs, a resource opens, or in a test.

        Raises:
            DefinitionError: asked while a module is imported: it would be part of the code.
            StepError: the variable is not set.
        """
        importing = _importing()
        if importing is not None:
            raise DefinitionError(
                f"the value of {self!r} is asked for while a module is imported",
                where=str(importing),
                advice="ask for it in the function that needs it, or make "
                f'secret("{self.name}") the default of a parameter',
            )
        return self._found("", str(caller()))

    def _found(self, who: str, where: str | None) -> str:
        found = os.environ.get(self.name)
        if found is None:
            whose = f", which {who} needs," if who else ""
            raise StepError(
                f"the environment variable `{self.name}`{whose} is not set: {self!r} has no value",
                where=where,
                advice=f"set it where lineal is started: export {self.name}=…",
            )
        _Told.names |= {self.name}
        _Told.values |= {found}
        return found


def secret(name: str) -> Any:
    """A value that comes from an environment variable when a step or a resource needs it.

    As the default of a parameter of an asset or a resource, the function receives the value; in a
    body, `secret("NAME").value` is it. Only the name counts and is shown: the value is in no
    fingerprint, log or lineage.
    """
    if not isinstance(name, str) or not name.strip() or "=" in name or "\0" in name:
        refused(
            DefinitionError(
                f"secret({name!r}) is not the name of an environment variable",
                where=str(caller()),
                advice='write secret("DATABASE_PASSWORD")',
            )
        )
        return Secret("invalid")
    return Secret(name)


def _importing() -> Where | None:
    """The line of a module that is being imported just now, if it is that which asks."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith("lineal."):
        spec = frame.f_globals.get("__spec__")
        if frame.f_code.co_name == "<module>" and getattr(spec, "_initializing", False):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


# ------------------------------------------------------------------------------------ handing over


def reveal(
    parameters: Mapping[str, Any], who: str = "", where: str | None = None
) -> dict[str, Any]:
    """Parameters as a function receives them: each secret in its value's place.

    Args:
        parameters: resolved values; secrets may lie in lists, tuples and dicts among them.
        who: has these parameters (`` `orders` ``), and `where` it is declared, for errors.

    Raises:
        StepError: the variable of a secret is not set.
    """
    return {name: _revealed(value, who, where) for name, value in parameters.items()}


def _revealed(value: Any, who: str, where: str | None) -> Any:
    if isinstance(value, Secret):
        return value._found(who, where)
    if type(value) is list or type(value) is tuple:
        return type(value)(_revealed(item, who, where) for item in value)
    if type(value) is dict:
        return {key: _revealed(item, who, where) for key, item in value.items()}
    return value


def secrets_in(value: Any) -> Iterable[Secret]:
    """The secrets among the values of parameters."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)


# ------------------------------------------------------------------------------------ keeping quiet


def hidden_texts() -> tuple[str, ...]:
    """What must be in no text that leaves this process, as it may be spelt, longest first.

    The values of all secrets that were declared or handed over here.
    """
    if not _Told.names:
        return ()
    now = {os.environ[name] for name in _Told.names if name in os.environ}
    return _spelt(_Told.values | now)


@functools.lru_cache(maxsize=16)  # asked for every text that is written
def _spelt(values: frozenset[str]) -> tuple[str, ...]:
    """Values as they are, in a repr, in a JSON text and in a URL."""
    import json
    from urllib.parse import quote, quote_plus

    found = set[str]()
    for value in values:
        if len(value) >= SHORTEST:
            found |= {value, repr(value)[1:-1], json.dumps(value)[1:-1]}
            found |= {quote(value, safe=""), quote_plus(value)}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def scrub(text: str, values: Iterable[str]) -> str:
    """A text without these values: `***` stands in the place of each; PURE.

    Values of fewer than four characters stay: they would be found in everything.
    """
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    return text


def scrubbed(text: str) -> str:
    """A text without the value of any secret that this process knows."""
    return scrub(text, hidden_texts())


def held_back(text: str, values: Iterable[str]) -> int:
    """How many characters at the end of a text may be the beginning of a value."""
    longest = 0
    for value in values:
        start = max(0, len(text) - len(value) + 1)
        while (start := text.find(value[0], start)) != -1 and len(text) - start > longest:
            if value.startswith(text[start:]):
                longest = len(text) - start
            start += 1
    return longest
