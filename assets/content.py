"""A table by the digests of its columns: its own digest, and how two differ; no data is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.records import Column, Content


def content_digest(rows: int, columns: Sequence[Column]) -> str:
    """The content digest of a table: row count and (name, type, digest) of its columns in order."""
    return digest_of((SCHEME, "table", rows, [tuple(column) for column in columns]))


def shape_digest(rows: int, columns: Sequence[Column], read: Collection[str]) -> str:
    """The digest of some columns of a table, and of the shape of the others."""
    seen = [tuple(c) if c.name in read else (c.name, c.type, None) for c in columns]
    return digest_of((SCHEME, "shape", rows, seen))


def used_digest(rows: int, columns: Sequence[Column]) -> str:
    """The digest of what one reader reads: these columns, in the order they are handed over.

    Reading all columns in their own order is reading the content: the two digests are then equal.
    """
    return content_digest(rows, columns)


def columns_difference(
    before: Content, after: Content, read: Sequence[str] | None = None, *, shape: bool = False
) -> str:
    """`columns a, b` or `+3 rows`, in a few words.

    Args:
        read: the columns that count; None: all of them.
        shape: which others there are counts too, and their types.
    """
    if before.rows != after.rows and before.rows is not None and after.rows is not None:
        return f"{after.rows - before.rows:+,} rows"
    old, new = _by_name(before, read, shape), _by_name(after, read, shape)
    both = [name for name in old if name in new and old[name] != new[name]]
    types = [name for name in both if old[name].type != new[name].type]
    values = [name for name in both if name not in types]
    told = [_counted(few(values), len(values))] if values else []
    told += [f"{name} is {new[name].type} now, before {old[name].type}" for name in types[:2]]
    for word, names in (("new", [*new.keys() - old]), ("no", [*old.keys() - new])):
        told += [f"{word} {_counted(few(sorted(names)), len(names))}"] if names else []
    return ", ".join(told) or ("order of columns" if list(old) != list(new) else "")


def _by_name(content: Content, read: Sequence[str] | None, shape: bool) -> dict[str, Column]:
    """The columns as far as they are seen."""
    seen = {c.name: c for c in content.columns if read is None or shape or c.name in read}
    if read is None:
        return seen
    return {name: c if name in read else c._replace(digest="") for name, c in seen.items()}


def _counted(names: str, count: int) -> str:
    return f"column{'s' if count > 1 else ''} {names}"


def few(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
