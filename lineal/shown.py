"""What the past says of an asset: of one version, or of all its partitions in an overview."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lineal.answers import Overview, PartitionShown, Shown
from lineal.assets.errors import IntegrityError
from lineal.assets.keys import in_order
from lineal.assets.names import Step
from lineal.assets.records import SLICES, Brief, CheckResult, Content, Decided, Materialization
from lineal.lineage.facts import History

_ENDS = 10  # partitions at either end that are described, if not all are
_COUNTED = 1000  # partitions up to which their rows are counted: every fact is read for that


def shown(history: History, name: str, readable: Callable[[Content | None], Any]) -> Shown:
    """A version as it was made and judged: `flights`, `flights 2013-12`, `flights@9f3a2c`.

    Args:
        readable: gives a value to describe.

    Raises:
        UsageError: there is no such version.
    """
    from lineal.lineage.questions import resolve_version

    made = resolve_version(history, name)
    current = history.current(made.asset, made.partition)
    return Shown(
        made=made,
        told=history.asset_facts(made.asset),
        checks=_judged(history, made),
        versions=tuple(history.versions_of(made.asset, made.partition)),
        current=current.id if current is not None else None,
        feeds=_readers(history, made.asset),
        value=readable(made.content),
        decided=_decided(history, made),
        registered=tuple(_names(history, made)),
    )


def _decided(history: History, made: Materialization) -> Decided | None:
    """What a gate made of its scores, in whichever registry."""
    if made.kind != "gate":
        return None
    found = (registry.decided_on(made) for registry in history.registries().values())
    return next((each for each in found if each is not None), None)


def _names(history: History, made: Materialization) -> list[str]:
    return history.registries().names(made.asset, made.content.digest) if made.content else []


def overview(
    history: History, name: str, readable: Callable[[Content | None], Any], whole: bool
) -> Overview:
    """All partitions of an asset; those at either end are described, or all of them if `whole`."""
    briefs = history.partitions(name)
    keys = keys_of(briefs)
    described = keys if whole or len(keys) <= 2 * _ENDS else keys[:_ENDS] + keys[-_ENDS:]
    newest = max(keys, key=lambda key: _order(briefs[key]), default=None)
    made = history.current(name, newest) if newest is not None else None
    few = whole or len(keys) <= _COUNTED
    retired = [r for key, r in history.retired(name).items() if key is not None]
    return Overview(
        asset=name,
        told=history.asset_facts(name),
        keys=tuple(keys),
        parts=tuple(_part(history, name, key) for key in described),
        rows=_rows(history.current(name, key) for key in keys) if few else None,
        bytes=sum(o.bytes for key in keys for o in briefs[key].objects),
        newest=made,
        value=readable(made.content if made is not None else None),
        feeds=_readers(history, name),
        retired=tuple(sorted(retired, key=lambda r: int(r.run[1:]))),
    )


def keys_of(briefs: Mapping[str | None, Brief]) -> list[str]:
    """The partitions that are current, in order."""
    return in_order(briefs)


def parts_of(history: History, name: str) -> dict[str, Materialization]:
    """What is current of each partition of an asset, in order."""
    found = {key: history.current(name, key) for key in keys_of(history.partitions(name))}
    return {key: made for key, made in found.items() if made is not None}


def is_in_partitions(history: History, name: str) -> bool:
    """Has it, or had it, partitions, and is it not shown as a whole instead?"""
    briefs = history.partitions(name)
    if not briefs:
        return any(key is not None for key in history.retired(name))
    return any(key is not None or brief.format == SLICES for key, brief in briefs.items())


def _part(history: History, name: str, key: str) -> PartitionShown:
    made = history.current(name, key)
    if made is None:
        raise IntegrityError(f"`{Step(name, key)}` is current, and nothing is recorded of it")
    return PartitionShown(key, made, _judged(history, made))


def _judged(history: History, made: Materialization) -> tuple[CheckResult, ...]:
    """The results of its checks; slices of a table were judged with it as a whole."""
    whole = history.current(made.asset, None) if made.partition is not None else None
    together = whole is not None and whole.run == made.run
    checks = whole.checks if whole is not None and together else made.checks
    results = [history.check(fingerprint) for fingerprint in checks]
    return tuple(result for result in results if result is not None)


def _order(brief: Brief) -> tuple[int, int]:
    """The later a version was made, the greater: `r12.5` → (12, 5)."""
    run, _, position = brief.materialization.partition(".")
    return int(run[1:]), int(position)


def _rows(made: Iterable[Materialization | None]) -> int | None:
    """How many in all; None if one is no table."""
    counts = [m.content.rows if m is not None and m.content is not None else None for m in made]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _readers(history: History, name: str) -> tuple[str, ...]:
    """The assets that read it now, by what was made last of each: of many partitions, of one."""
    found = []
    for asset in {step.asset for step in history.steps()} - {name}:
        briefs = history.partitions(asset)
        if briefs:
            made = history.current(asset, max(briefs, key=lambda key: _order(briefs[key])))
            if made is not None and any(used.asset == name for used in made.inputs):
                found.append(asset)
    return tuple(sorted(found))
