"""Actions among other assets: what is done before them, and what names or reads them wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lineal.assets.asset import Asset, Check
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.registries import PRODUCTION, Registries


def gates_before(assets: Iterable[Asset]) -> dict[str, tuple[str, ...]]:
    """Of each action the gates that move its alias: in a run they are done before it."""
    known = list(assets)
    moved: dict[tuple[str, str], list[str]] = {}
    for asset in known:
        if asset.gate is not None:
            moved.setdefault((asset.gate.registry, asset.gate.alias), []).append(asset.name)
    return {
        asset.name: tuple(moved.get((asset.action.registry, asset.action.alias), ()))
        for asset in known
        if asset.action is not None
    }


def misread(
    assets: Iterable[Asset], checks: Mapping[str, Sequence[Check]]
) -> Iterator[DefinitionError]:
    """What reads an action, or tests it: it is done, and what it returns is only kept."""
    known = list(assets)
    actions = {asset.name for asset in known if asset.action is not None}
    readers = [(f"`{asset.name}`", asset.where, asset.inputs) for asset in known]
    readers += [
        (f"the check `{check.name}`", check.where, check.inputs)
        for found in checks.values()
        for check in found
    ]
    for who, where, inputs in readers:
        for given in inputs:
            if given.asset in actions:
                yield DefinitionError(
                    f"{who} reads the action `{given.asset}`: an action is done, not read",
                    where=str(where),
                    advice="do that in the action itself, or in another one",
                )


def misnamed(assets: Iterable[Asset], registries: Registries) -> Iterator[DefinitionError]:
    """Actions on what is nearly the name of a registry, or of an alias of it.

    A name like none that is known is allowed: people may move it by hand.
    """
    known = list(assets)
    gates = [asset.gate for asset in known if asset.gate is not None]
    for asset in known:
        if asset.action is None:
            continue
        registry, alias = asset.action.registry, asset.action.alias
        names = {*registries, *(gate.registry for gate in gates)}
        if registry in names:
            of_gates = (gate.alias for gate in gates if gate.registry == registry)
            aliases = {PRODUCTION, *of_gates, *registries[registry].aliases()}
            near = "" if alias in aliases else did_you_mean(alias, aliases)
        else:
            near = did_you_mean(registry, names)
        if near:
            yield DefinitionError(
                f"nothing moves `{registry}@{alias}`, for which the action `{asset.name}` "
                f"is to run{near}",
                where=str(asset.where),
                advice="an alias that only people move may have any name that is less like it",
            )
