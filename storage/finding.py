"""What a check found, and what a check function's answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import ContentError, LinealError

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 5
SAMPLE_COLUMNS = 8


class RuleError(Exception):
    """A rule that can't be asked of this table; the message says why."""


class Finding(NamedTuple):
    """What one check found."""

    passed: bool
    failing_rows: int | None = None
    message: str = ""
    sample: tuple[tuple[str, ...], ...] = ()  # header row, then failing rows as text


def no_table(error: LinealError) -> Finding:
    """The finding of a ready-made check on a version that is not a table."""
    return Finding(False, message=f"ready-made checks need a table: {error.message}")


def judge_value(returned: Any, name: str) -> Finding:
    """What the answer of a check function means: a bool, failing rows, or what it raised.

    An empty table passes. Anything else, None too, is a check that has not decided: it fails and
    says so.
    """
    if isinstance(returned, BaseException):
        said = str(returned)
        kind = type(returned).__name__
        plain = isinstance(returned, AssertionError) and said
        return Finding(False, message=said if plain else f"{kind}: {said}" if said else kind)
    if isinstance(returned, bool) or type(returned).__name__ in ("bool", "bool_"):
        return Finding(bool(returned), message="" if returned else "returned False")
    rows = _failing(returned)
    if rows is not None:
        if not rows.num_rows:
            return Finding(True, 0)
        count = f"{rows.num_rows:,} failing row{'' if rows.num_rows == 1 else 's'}"
        return Finding(False, rows.num_rows, count, _as_text(rows))
    what = "nothing" if returned is None else f"a {type(returned).__qualname__}"
    return Finding(
        False,
        message=f"the check `{name}` returned {what}; return a bool or a table of the failing rows",
    )


def _failing(returned: Any) -> pa.Table | None:
    """A returned table of failing rows as Arrow; None when it is no table."""
    module = type(returned).__module__.partition(".")[0]
    if module not in ("pandas", "polars", "pyarrow", "duckdb", "_duckdb"):
        return None
    if type(returned).__name__ in ("Series", "Index") and str(returned.dtype) in _BOOLEAN:
        return None  # `frame.x > 0`: which rows fail can't be told from which pass
    from lineal.storage.frames import canonical_value

    try:
        return canonical_value(returned, rows=False)
    except ContentError:
        return None


_BOOLEAN = frozenset({"bool", "boolean", "Boolean", "bool[pyarrow]"})


def _as_text(table: pa.Table) -> tuple[tuple[str, ...], ...]:
    names = table.column_names[:SAMPLE_COLUMNS]
    rows = table.select(names).slice(0, SAMPLE_ROWS).to_pylist()
    texts = [tuple("null" if v is None else str(v) for v in row.values()) for row in rows]
    return (tuple(names), *texts)
