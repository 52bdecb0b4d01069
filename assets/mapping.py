"""Which slices of an input a slice of its reader reads: by a rule, or as a marker says.  PURE"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lineal.assets.calendars import Calendar
from lineal.assets.errors import DefinitionError, UsageError
from lineal.assets.file_partitions import ByFile
from lineal.assets.keys import Keys, Listed, unknown
from lineal.assets.partitions import ByColumn, Grid, Partitions, Static, key_problem

_MARKERS = 'last(7), every(), previous() or only("…"), in Annotated[…] or in inputs='


@dataclass(frozen=True, slots=True)
class Marker:
    """Says which partitions of an input one partition of its reader reads."""

    word: Literal["last", "every", "previous", "only"]
    count: int = 0
    keys: tuple[str, ...] = ()
    of: Any = field(default=None, compare=False)  # the asset, where it isn't the parameter's name

    def canonical(self) -> tuple[Any, ...]:
        """Plain values that say all of it."""
        return self.word, self.count, *self.keys

    def __str__(self) -> str:
        said = ", ".join(f'"{key}"' for key in self.keys) or (str(self.count) if self.count else "")
        return f"{self.word}({said})"


def last(count: int, of: Any = None) -> Marker:
    """So many partitions, up to and including the same one; for a reader without, the last."""
    if type(count) is not int or count < 1:
        raise DefinitionError(
            f"last({count!r}): a number of partitions, at least 1", advice="write last(7)"
        )
    return Marker("last", count=count, of=of)


def every(of: Any = None) -> Marker:
    """All partitions, in order."""
    return Marker("every", of=of)


def previous(of: Any = None) -> Marker:
    """The partition before the same one; None for the first."""
    return Marker("previous", of=of)


def only(*keys: str, of: Any = None) -> Marker:
    """These partitions, in this order."""
    wrong = next((key for key in keys if key_problem(key)), None)
    if not keys or wrong is not None or len(set(keys)) < len(keys):
        raise DefinitionError(
            f"only({', '.join(map(repr, keys))}): the keys of partitions, each once",
            advice='write only("2013-01", "2013-02")',
        )
    return Marker("only", keys=keys, of=of)


def check_mapping(
    reader: Partitions | None, source: Partitions | None, marker: Marker | None, who: str
) -> None:
    """Is it settled which slices are read?

    Args:
        reader: the slices of the asset that reads.
        source: the slices of what it reads.
        marker: what is said about it.
        who: the name of the input, for errors.

    Raises:
        DefinitionError: without a place; no rule applies, or the marker says nothing here.
    """
    if source is None:
        if marker is not None:
            raise DefinitionError(
                f"{who} has no partitions, so `{marker}` says nothing", advice="leave it out"
            )
        return
    if marker is None:
        if reader is not None and not (same_slices(reader, source) or _finer(reader, source)):
            raise _no_rule(reader, source, who)
        return
    if marker.word == "only":
        _check_only(marker, source, who)
    elif marker.word == "previous" and reader is None:
        raise DefinitionError(
            f"`{marker}` of {who}, for a reader that has no partitions", advice="use last(1)"
        )
    elif marker.word in ("last", "previous") and reader and not same_slices(reader, source):
        raise DefinitionError(
            f"`{marker}`: {who} is {source.describe()}, and its reader {reader.describe()}",
            advice='both need the same kind of partitions; else say every() or only("…")',
        )


def reads(
    reader: Partitions | None,
    key: str | None,
    source: Partitions | None,
    source_keys: Keys,
    marker: Marker | None,
    who: str = "input",
) -> Sequence[str | None]:
    """The slices of an input that one slice of its reader reads, in order.

    Args:
        reader: the slices of the asset that reads, None when it has none.
        key: which of them.
        source: the slices of what it reads; None when it has none: read as a whole, `(None,)`.
        source_keys: those that exist.
        marker: what is said about it.
        who: the name of the input, for errors.

    Raises:
        DefinitionError: as `check_mapping`; or a key of `only(…)` that does not exist.
    """
    check_mapping(reader, source, marker, who)
    if source is None:
        return (None,)
    if marker is not None and marker.word == "only":
        return _existing(marker.keys, source_keys, who)
    if reader is None or key is None or (marker is not None and marker.word == "every"):
        return source_keys[-marker.count :] if marker and marker.word == "last" else source_keys
    if marker is None and not same_slices(reader, source):
        return _inside(reader, key, source, source_keys)
    if marker is not None and marker.word == "previous":
        return _before(key, source_keys)
    place = source_keys.place(key)
    if place is None:
        return ()
    count = 1 if marker is None else marker.count
    return source_keys[max(0, place + 1 - count) : place + 1]


def same_slices(reader: Partitions, source: Partitions) -> bool:
    """Do equal keys mean the same slice?"""
    if reader.period is not None or source.period is not None:
        return reader.period == source.period
    if isinstance(reader, Grid) or isinstance(source, Grid):
        ours, theirs = (d.names if isinstance(d, Grid) else () for d in (reader, source))
        return ours == theirs
    if _numbered(reader) or _numbered(source):
        return reader == source
    texts = (Static, ByColumn, ByFile)
    return isinstance(reader, texts) and isinstance(source, texts)


def _numbered(definition: Partitions) -> bool:
    """Are its keys numbers of files, which mean nothing elsewhere?"""
    return isinstance(definition, ByFile) and definition.every is not None


def _finer(reader: Partitions, source: Partitions) -> bool:
    return (
        reader.period is not None
        and source.period is not None
        and source.period.fits(reader.period)
    )


def _inside(reader: Partitions, key: str, source: Partitions, source_keys: Keys) -> Keys:
    ours, theirs = reader.period, source.period
    if ours is None or theirs is None:
        return Listed(())
    return source_keys.between(theirs.within(ours, ours.number(key)))


def _before(key: str, source_keys: Keys) -> Sequence[str]:
    """The one before the same one; where that is missing, the one right before it in time."""
    place = source_keys.place(key)
    if place is not None:
        return source_keys[max(0, place - 1) : place]
    if source_keys.period is None:
        return ()
    number = source_keys.period.number(key)
    return source_keys.between(range(number - 1, number))


def _existing(keys: tuple[str, ...], source_keys: Keys, who: str) -> Sequence[str]:
    lost = next((key for key in keys if key not in source_keys), None)
    if lost is not None:
        error = unknown(lost, source_keys, who.strip("`"))  # it is put between such
        raise DefinitionError(f"only(…): {error.message}", advice=error.advice)
    return keys


def _check_only(marker: Marker, source: Partitions, who: str) -> None:
    if isinstance(source, Static | Grid | Calendar | ByFile):
        for key in marker.keys:
            try:
                source.partition(key)
            except UsageError as error:
                raise DefinitionError(
                    f"`{marker}` of {who}: {error.message}", advice=error.advice
                ) from error


def _no_rule(reader: Partitions, source: Partitions, who: str) -> DefinitionError:
    return DefinitionError(
        f"{who} is {source.describe()}, and its reader {reader.describe()}: "
        "nothing says which partitions are read",
        advice=f"say it by a marker: {_MARKERS}",
    )
