"""The digest of a table from those of its columns: what planning needs, without reading data."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.records import Column


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
