"""lineal: pipelines that recompute only what is stale and can say where every number came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineal.assets import checks
    from lineal.assets.asset import Folder, Result, Retry, Rule, columns
    from lineal.assets.calendars import daily, hourly, monthly, weekly
    from lineal.assets.captured import opaque
    from lineal.assets.declare import asset, check, csv, json, parquet, source
    from lineal.assets.declare_action import action
    from lineal.assets.declare_best import best_of
    from lineal.assets.declare_gate import gate
    from lineal.assets.declare_resource import resource
    from lineal.assets.declare_sql import sql_asset, sql_assets
    from lineal.assets.file_partitions import by_file
    from lineal.assets.mapping import every, last, only, previous
    from lineal.assets.partitions import Partition, by_column, grid, static
    from lineal.assets.promoted import Promotion
    from lineal.assets.register import register
    from lineal.assets.secrets import secret
    from lineal.project import open  # noqa: A004  `lineal.open`, as `gzip.open`
    from lineal.serving import load
    from lineal.tuning import study

    __version__: str

__all__ = [
    "Folder",
    "Partition",
    "Promotion",
    "Result",
    "Retry",
    "Rule",
    "__version__",
    "action",
    "asset",
    "best_of",
    "by_column",
    "by_file",
    "check",
    "checks",
    "columns",
    "csv",
    "daily",
    "every",
    "gate",
    "grid",
    "hourly",
    "json",
    "last",
    "load",
    "monthly",
    "only",
    "opaque",
    "open",
    "parquet",
    "previous",
    "register",
    "resource",
    "secret",
    "source",
    "sql_asset",
    "sql_assets",
    "static",
    "study",
    "weekly",
]

# Where each public name lives: `import lineal` itself imports nothing (PEP 562).
_HOMES = {
    "Folder": "lineal.assets.asset",
    "Partition": "lineal.assets.partitions",
    "Promotion": "lineal.assets.promoted",
    "Result": "lineal.assets.asset",
    "Retry": "lineal.assets.asset",
    "Rule": "lineal.assets.asset",
    "action": "lineal.assets.declare_action",
    "asset": "lineal.assets.declare",
    "best_of": "lineal.assets.declare_best",
    "by_column": "lineal.assets.partitions",
    "by_file": "lineal.assets.file_partitions",
    "check": "lineal.assets.declare",
    "checks": "lineal.assets",
    "columns": "lineal.assets.asset",
    "csv": "lineal.assets.declare",
    "daily": "lineal.assets.calendars",
    "every": "lineal.assets.mapping",
    "gate": "lineal.assets.declare_gate",
    "grid": "lineal.assets.partitions",
    "hourly": "lineal.assets.calendars",
    "json": "lineal.assets.declare",
    "last": "lineal.assets.mapping",
    "load": "lineal.serving",
    "monthly": "lineal.assets.calendars",
    "only": "lineal.assets.mapping",
    "opaque": "lineal.assets.captured",
    "open": "lineal.project",
    "parquet": "lineal.assets.declare",
    "previous": "lineal.assets.mapping",
    "register": "lineal.assets.register",
    "resource": "lineal.assets.declare_resource",
    "secret": "lineal.assets.secrets",
    "source": "lineal.assets.declare",
    "sql_asset": "lineal.assets.declare_sql",
    "sql_assets": "lineal.assets.declare_sql",
    "static": "lineal.assets.partitions",
    "study": "lineal.tuning",
    "weekly": "lineal.assets.calendars",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found: Any = version("lineal")
        except PackageNotFoundError:  # a checkout that was never installed
            found = "unknown"
    else:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'lineal' has no attribute {name!r}")
        from importlib import import_module

        module = import_module(home)
        if name == "checks":
            module = import_module("lineal.assets.checks")
        found = module if name == "checks" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
