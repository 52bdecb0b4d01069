"""Slices of a source by its files: a placeholder in their path, or so many files each.  PURE"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lineal.assets.calendars import timed
from lineal.assets.errors import DefinitionError, UsageError
from lineal.assets.keys import Keys, Listed
from lineal.assets.partitions import Partition, Partitions, key_problem
from lineal.assets.periods import EXAMPLES, UNITS, Period

_CLASS = re.compile(r"\[[!^]?\]?[^\]/]*\]")  # `[{]` of a glob: a brace that means itself
_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")


@dataclass(frozen=True, slots=True)
class ByFile:
    """One slice for each text at a placeholder of the path, or for every so many files.

    Without either: by the placeholder of the source's path, which `file_partitions` puts here.
    """

    placeholder: str | None = None
    every: int | None = None

    @property
    def period(self) -> Period | None:
        kind = UNITS.get(self.placeholder or "")
        return None if kind is None else Period(kind)

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        if self.period is None:
            return Listed(found)
        return Listed(sorted(found, key=self.period.number), self.period)

    def partition(self, key: str) -> Partition:
        problem = self._problem(key)
        if problem:
            raise UsageError(f"`{key}` is no partition of those {self.describe()}: {problem}")
        values = {} if self.placeholder is None else {self.placeholder: key}
        if self.period is not None:
            return timed(self.period, key, self.period.number(key), values)
        return Partition(key, None, values)

    def parameters(self, key: str) -> dict[str, Any]:
        return {}

    @property
    def called(self) -> tuple[str, ...]:
        return () if self.placeholder is None else (self.placeholder,)

    def canonical(self) -> tuple[Any, ...]:
        return ("by_file", self.placeholder, self.every)

    def describe(self) -> str:
        if self.every is not None:
            return "by file" if self.every == 1 else f"by {self.every} files"
        return "by file" if self.placeholder is None else f"by {{{self.placeholder}}} in the path"

    def keys_of_files(self, paths: Iterable[str], pattern: str) -> dict[str, tuple[str, ...]]:
        """The files of each slice, by key in order: of time, else sorted.

        Args:
            paths: relative to the folder that the pattern is relative to.
            pattern: the path of the source.

        Raises:
            DefinitionError: without a place; a file whose text at the placeholder is no key.
        """
        ordered = sorted(paths)
        if self.every is not None:
            chunks = range(0, len(ordered), self.every)
            return {
                f"{number:04}": tuple(ordered[first : first + self.every])
                for number, first in enumerate(chunks, start=1)
            }
        match = _matcher(pattern)
        found: dict[str, list[str]] = {}
        for path in ordered:
            found.setdefault(self._key(path, match(path)), []).append(path)
        order = sorted(found, key=None if self.period is None else self.period.number)
        return {key: tuple(found[key]) for key in order}

    def _key(self, path: str, key: str | None) -> str:
        problem = "there is nothing" if key is None else self._problem(key)
        if key is None or problem:
            raise DefinitionError(
                f"the file {path} has {key!r} where {{{self.placeholder}}} stands: {problem}",
                advice="rename the file, or make the path say which files are meant",
            )
        return key

    def _problem(self, key: str) -> str | None:
        if self.period is not None and not self.period.has(key):
            return f"it is no {self.placeholder} such as {EXAMPLES[self.period.kind]}"
        return key_problem(key)


def by_file(every: int | None = None) -> ByFile:
    """One slice for each text at the `{placeholder}` of the source's path, or for `every` files."""
    if every is not None and (type(every) is not int or every < 1):
        raise DefinitionError(
            f"by_file({every!r}): a slice is of a whole number of files, at least 1",
            advice='by_file(10); or a placeholder in the path: "data/{day}.csv"',
        )
    return ByFile(None, every)


def file_partitions(pattern: str, given: Partitions | None) -> ByFile | None:
    """The slices of a source of files, from its path and its `partitions=`.

    Raises:
        DefinitionError: without a place; a path with two placeholders, or one that `partitions=`
            contradicts, or slices that files can't have.
    """
    name = placeholder(pattern)
    if given is None:
        return None if name is None else ByFile(name)
    if not isinstance(given, ByFile):
        raise DefinitionError(
            f"the slices of files come from the files, not from `{given.describe()}`",
            advice='put a placeholder into the path, "data/{day}.csv", or use by_file(10)',
        )
    if name is None and given.every is None:
        raise DefinitionError(
            f"by_file() needs a placeholder, and the path `{pattern}` has none",
            advice='"data/{day}.csv", or so many files a slice: by_file(10)',
        )
    if name is not None and given.every is not None:
        raise DefinitionError(
            f"the path has the placeholder {{{name}}}, and by_file({given.every}) says otherwise",
            advice="leave out one of them",
        )
    return ByFile(name, given.every)


def placeholder(pattern: str) -> str | None:
    """The name of the placeholder in a path.

    Raises:
        DefinitionError: without a place; more than one, or braces that are none.
    """
    bare = _CLASS.sub("", pattern)
    names = _PLACEHOLDER.findall(bare)
    wrong = next((name for name in names if not name.isidentifier()), None)
    if wrong is not None or set(_PLACEHOLDER.sub("", bare)) & set("{}"):
        raise DefinitionError(
            f"the braces in `{pattern}` are no placeholder",
            advice='"data/{day}.csv"; a brace that means itself is written [{] or [}]',
        )
    if len(names) > 1:
        raise DefinitionError(
            f"`{pattern}` has {len(names)} placeholders", advice="one, and `*` for what else varies"
        )
    return names[0] if names else None


def placeholder_glob(pattern: str) -> str:
    """The glob that finds the files of a path with a placeholder."""
    name = placeholder(pattern)
    return pattern if name is None else pattern.replace(f"{{{name}}}", "*")


def placeholder_key(pattern: str, path: str) -> str | None:
    """What stands in a path at the placeholder; None when the path is none of the pattern's."""
    return _matcher(pattern)(path)


def _matcher(pattern: str) -> Callable[[str], str | None]:
    """A function from a path to the text at the placeholder."""
    segments = posixpath.normpath(pattern).split("/")
    *folders, last = map(_segment, segments)
    text = "".join("(?:[^/]+/)*" if each is None else f"{each}/" for each in folders)
    compiled = re.compile(f"{text}{last or '[^/]+'}", re.DOTALL)

    def match(path: str) -> str | None:
        found = compiled.fullmatch(posixpath.normpath(path))
        return str(found["key"]) if found and "key" in compiled.groupindex else None

    return match


def _segment(segment: str) -> str | None:
    """The regular expression of one folder or file name; None for `**`."""
    if segment == "**":
        return None
    found: list[str] = []
    rest = segment
    while rest:
        piece = _CLASS.match(rest) or _PLACEHOLDER.match(rest)
        taken = piece[0] if piece else rest[0]
        rest = rest[len(taken) :]
        if piece and taken.startswith("{"):
            found.append("(?P<key>[^/]+)")
        elif taken == "*":
            found.append("[^/]*?")
        elif taken == "?":
            found.append("[^/]")
        else:  # a class, or a letter that means itself
            found.append(fnmatch.translate(taken)[4:-3] if piece else re.escape(taken))
    return "".join(found)
