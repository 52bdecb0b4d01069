"""How a query may write the assets of a project."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lineal.assets.errors import DefinitionError
from lineal.assets.names import identifier
from lineal.storage.sql_walk import TableReference


def spellings(asset: str) -> tuple[str, ...]:
    """How a query may write an asset: `raw/orders` → `raw.orders`, `raw_orders`, `"raw/orders"`."""
    segments = asset.split("/")
    dotted = (".".join(segments),) if len(segments) == 2 else ()
    quoted = (f'"{asset}"',) if len(segments) > 1 else ()
    return (*dotted, identifier(asset), *quoted)


class Spellings:
    """The assets of a graph by every way to write them in SQL."""

    def __init__(self, asset_names: Iterable[str]):
        self._exact: dict[str, str] = {}
        self._joined: dict[str, list[str]] = {}
        for name in asset_names:
            self._exact[name.casefold()] = name
            self._joined.setdefault(identifier(name).casefold(), []).append(name)

    def resolve(self, reference: TableReference) -> str | None:
        """The asset a reference means, or None; raises DefinitionError when it may mean two."""
        parts = [part.casefold() for part in reference.parts]
        if parts[:2] == ["memory", "main"] and len(parts) == 3:
            parts = parts[2:]
        elif parts[:1] == ["main"] and len(parts) == 2:
            parts = parts[1:]
        if len(parts) == 1 and "/" not in parts[0]:
            return self._by_identifier(reference, parts[0])
        found = self._exact.get("/".join(parts))
        if found is not None and len(parts) > 2:
            raise DefinitionError(
                f"`{reference.text}` has three parts: SQL reads the first as a database",
                advice=f'write `{identifier(found)}` or `"{found}"`',
            )
        return found

    def _by_identifier(self, reference: TableReference, spelt: str) -> str | None:
        candidates = sorted(self._joined.get(spelt, ()))
        if len(candidates) > 1:
            clear = [spellings(name)[0] for name in candidates if identifier(name) != name]
            raise DefinitionError(
                f"`{reference.text}` may be {' or '.join(f'`{name}`' for name in candidates)}",
                advice=f"write {' or '.join(f'`{c}`' for c in clear)}, or rename one of them",
            )
        return candidates[0] if candidates else None


def resolve(reference: TableReference, asset_names: Collection[str]) -> str | None:
    """The asset a reference means, in any of the three spellings, whatever its case."""
    return Spellings(asset_names).resolve(reference)
