"""Names of assets and steps: what is allowed, how a name is spelt in Python and in SQL."""

from __future__ import annotations

import re
from typing import NamedTuple

from lineal.assets.errors import DefinitionError

_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_OTHERWISE = re.compile(r"v[0-9]+\Z|[0-9a-f]{6,64}\Z", re.IGNORECASE)  # a version, or a digest
RESERVED = frozenset({"lineage", "main", "temp", "system", "information_schema", "pg_catalog"})


class Step(NamedTuple):
    """A step is (asset, partition or None): the unit of planning, running and recording."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        return self.asset if self.partition is None else f"{self.asset} {self.partition}"


def in_partition(name: str, partition: str | None) -> str:
    """`flights` or `flights@9f3a2c`, of a partition: `flights 2013-12@9f3a2c`."""
    if partition is None:
        return name
    asset, at, digest = name.partition("@")
    return f"{asset} {partition}{at}{digest}"


def check_name(name: object, where: str | None = None) -> str:
    """The name itself if it can be an asset's; raises DefinitionError saying why it can't."""
    if not isinstance(name, str):
        raise DefinitionError(f"{name!r} is not an asset name: it is no text", where=where)
    segments = name.split("/")
    for segment in segments:
        if not _SEGMENT.match(segment):
            raise DefinitionError(
                f"`{name}` is not an asset name",
                where=where,
                advice="use letters, digits and _ in segments that start with a letter, "
                "such as `raw/orders`",
            )
    if segments[0].casefold() in RESERVED:
        raise DefinitionError(
            f"`{name}` can't be an asset name: `{segments[0]}` is a schema of lineal or DuckDB",
            where=where,
            advice="choose another first segment",
        )
    return name


def check_alias(name: object) -> str:
    """The name itself if it can be an alias of a registry: it can't be taken for a version.

    Raises:
        DefinitionError: without a place.
    """
    if not isinstance(name, str) or not _ALIAS.match(name):
        raise DefinitionError(
            f"{name!r} can't be an alias",
            advice="use letters, digits, _ and -, the first a letter: `production`",
        )
    if _OTHERWISE.match(name):
        raise DefinitionError(
            f"`{name}` can't be an alias: after an @ it means a version by its number or digest",
            advice="choose a word such as `production` or `canary`",
        )
    return name


def identifier(name: str) -> str:
    """How an asset is spelt as a Python parameter or a SQL view: `raw/orders` → `raw_orders`."""
    return name.replace("/", "_")
