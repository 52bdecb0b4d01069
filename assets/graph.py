"""The graph: the validated, immutable DAG of assets, with one deterministic topological order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lineal.assets.action_edges import gates_before, misread
from lineal.assets.asset import Asset, Check, Declaration, Input, Resource
from lineal.assets.declare_best import choose
from lineal.assets.declare_gate import gate_errors
from lineal.assets.errors import DefinitionError, DefinitionErrors, did_you_mean
from lineal.assets.mapping import check_mapping, every
from lineal.assets.names import identifier
from lineal.assets.partitions import SameAs


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What exists: assets by name with their inputs found, in an order where inputs come first.

    `maker` maps every output to the asset that makes it (itself, unless a function makes several).
    `checks` maps every output to its checks. `upstream` and `downstream` are between assets' names
    and hold direct edges only, those of checks included. Resources are no assets: what takes one
    has it in its own `resources`.
    """

    assets: Mapping[str, Asset]
    order: tuple[str, ...]
    maker: Mapping[str, str]
    checks: Mapping[str, tuple[Check, ...]]
    upstream: Mapping[str, tuple[str, ...]]
    downstream: Mapping[str, tuple[str, ...]]
    resources: Mapping[str, Resource] = field(default_factory=dict)
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of actions, their gates

    @staticmethod
    def build(declared: Iterable[Declaration]) -> Graph:
        """Bind declarations to each other; all errors at once.

        Raises:
            DefinitionErrors: names that clash, inputs that don't exist, cycles.
        """
        return _Builder(declared).build()

    def needed_by(self, names: Iterable[str]) -> set[str]:
        """These assets and all they need."""
        return _closure(names, self.upstream)

    def fed_by(self, names: Iterable[str]) -> set[str]:
        """These assets and all they feed."""
        return _closure(names, self.downstream)

    def reads_as_table(self, source: str) -> bool:
        """Does anything read this file source as a table (rather than as paths)?

        A source without readers is read as a table: it is there to be looked at. So is one with
        checks or a contract, which speak of rows and columns.
        """
        asset = self.assets[source]
        if self.checks.get(source) or asset.contract.primary_key or asset.contract.schema:
            return True
        arrivals = [
            (given if asset.partitions is None else given.alone).arrival
            for reader in self.downstream[source]
            for given in self._all_inputs(reader)
            if given.asset == source
        ]
        return not arrivals or any(a not in ("path", "paths") for a in arrivals)

    def reads_of(self, reader: str, other: str) -> list[Input]:
        """The inputs by which an asset, or a check of it, reads another."""
        return [g for g in self._all_inputs(reader) if self.maker.get(g.asset or "") == other]

    def _all_inputs(self, name: str) -> list[Input]:
        asset = self.assets[name]
        found = list(asset.inputs)
        for output in asset.outputs:
            for check in self.checks.get(output, ()):
                found.extend(check.inputs)
        return found


def _closure(names: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(edges[name])
    return seen


class _Spellings(NamedTuple):
    """What names may mean, whatever their case: outputs, their identifiers, resources."""

    exact: Mapping[str, str]
    by_identifier: Mapping[str, tuple[str, ...]]
    resources: Mapping[str, Resource]

    def resource(self, name: str) -> Resource | None:
        return self.resources.get(name.casefold())

    def known(self) -> list[str]:
        resources = (resource.name for resource in self.resources.values())
        return [*self.exact.values(), *self.by_identifier, *resources]


class _Taken(NamedTuple):
    """What the parameters without a default turned out to be."""

    inputs: tuple[Input, ...]
    resources: tuple[tuple[str, Resource], ...]


class _Builder:
    """Binds declarations step by step, keeping every error it meets."""

    def __init__(self, declared: Iterable[Declaration]) -> None:
        self.errors: list[DefinitionError] = []
        assets: dict[int, Asset] = {}
        checks: dict[int, Check] = {}
        resources: dict[int, Resource] = {}
        for thing in declared:
            if isinstance(thing, DefinitionError):
                self.errors.append(thing)
            elif isinstance(thing, Asset):
                assets.setdefault(id(thing), thing)
            elif isinstance(thing, Check):
                checks.setdefault(id(thing), thing)
            elif isinstance(thing, Resource):
                resources.setdefault(id(thing), thing)
        self.declared = list(assets.values())
        self.declared_resources = list(resources.values())
        self.free_checks = [c for c in checks.values() if c.asset is not None]

    def build(self) -> Graph:
        assets = self._unique_names()
        maker = {output: a.name for a in assets.values() for output in a.outputs}
        resources = self._resources(assets, maker)
        spellings = _spell(maker, resources)
        bound = {name: self._bind(asset, spellings) for name, asset in assets.items()}
        bound = self._share_partitions(bound, maker, spellings)
        checks = self._bind_checks(bound, maker, spellings)
        upstream = {name: _direct(asset, checks, maker) for name, asset in bound.items()}
        after = gates_before(bound.values())
        before = {name: (*needed, *after.get(name, ())) for name, needed in upstream.items()}
        order = self._order(list(bound), before, bound)
        self._check_slices(bound, checks, maker)
        self.errors.extend(gate_errors(bound, maker, checks))
        self.errors.extend(misread(bound.values(), checks))
        if self.errors:
            raise DefinitionErrors(self.errors)
        downstream: dict[str, list[str]] = {name: [] for name in bound}
        for name in order:
            for needed in upstream[name]:
                downstream[needed].append(name)
        return Graph(
            assets=bound,
            order=tuple(order),
            maker=maker,
            checks=checks,
            upstream=upstream,
            downstream={name: tuple(found) for name, found in downstream.items()},
            resources=resources,
            after=after,
        )

    def _unique_names(self) -> dict[str, Asset]:
        taken: dict[str, Asset] = {}
        assets: dict[str, Asset] = {}
        for asset in self.declared:
            clash = None
            for name in dict.fromkeys((asset.name, *asset.outputs)):
                other = taken.setdefault(name.casefold(), asset)
                if other is not asset:
                    clash = (name, other)
            if clash is None:
                assets[asset.name] = asset
                continue
            name, other = clash
            self.errors.append(
                DefinitionError(
                    f"two assets are called `{name}`: here and at {other.where}",
                    where=str(asset.where),
                    advice="give one of them another name (name=…)",
                )
            )
        return assets

    def _resources(
        self, assets: Mapping[str, Asset], maker: Mapping[str, str]
    ) -> dict[str, Resource]:
        """Resources by name: settings tell them from assets, and from each other, by it alone."""
        taken: dict[str, Asset | Resource] = {
            output.casefold(): assets[name] for output, name in maker.items()
        }
        found: dict[str, Resource] = {}
        for resource in self.declared_resources:
            other = taken.setdefault(resource.name.casefold(), resource)
            if other is resource:
                found[resource.name] = resource
                continue
            both = "two resources" if isinstance(other, Resource) else "an asset and a resource"
            self.errors.append(
                DefinitionError(
                    f"{both} are called `{resource.name}`: here and at {other.where}",
                    where=str(resource.where),
                    advice="give one of them another name (name=…)",
                )
            )
        return found

    def _bind(self, asset: Asset, names: _Spellings) -> Asset:
        where = f"{asset.where}"
        if asset.kind in ("fetch", "action"):
            taken = self._take_resources(asset, names, where)
        else:
            taken = self._take(asset.inputs, names, f"`{asset.name}`", where)
        for given in taken.inputs:
            if given.asset in asset.outputs:
                self.errors.append(
                    DefinitionError(f"`{asset.name}` takes itself as an input", where=where)
                )
        others = tuple(given for given in taken.inputs if given.asset not in asset.outputs)
        return replace(asset, inputs=others, resources=taken.resources)

    def _share_partitions(
        self, assets: Mapping[str, Asset], maker: Mapping[str, str], names: _Spellings
    ) -> dict[str, Asset]:
        """Those that have the partitions of another asset find it."""
        found: dict[str, Asset] = {}
        for name, asset in assets.items():
            if isinstance(asset.partitions, SameAs):
                found[name] = self._sharing(asset, asset.partitions, assets, maker, names)
            else:
                found[name] = asset
        return found

    def _sharing(
        self,
        asset: Asset,
        said: SameAs,
        assets: Mapping[str, Asset],
        maker: Mapping[str, str],
        names: _Spellings,
    ) -> Asset:
        who, where = f"`{asset.name}`", str(asset.where)
        seen: list[str] = []
        while True:
            exact = names.exact.get(said.asset.casefold())
            if exact is None:
                self._unknown(said.asset, names, f"{who} in partitions=", where)
                return replace(asset, partitions=None)
            other = assets[maker[exact]]
            if other.name in seen or other.name == asset.name:
                told = " → ".join([asset.name, *seen, other.name])
                self.errors.append(DefinitionError(f"partitions in a circle: {told}", where=where))
                return replace(asset, partitions=None)
            seen.append(other.name)
            if other.partitions is None:
                self.errors.append(
                    DefinitionError(
                        f"{who} has the partitions of `{exact}`, which has none",
                        where=where,
                        advice="give them: partitions=monthly(…), or leave it out",
                    )
                )
                return replace(asset, partitions=None)
            if not isinstance(other.partitions, SameAs):
                root = other.partitions_of or other.name
                return replace(asset, partitions=other.partitions, partitions_of=root)
            said = other.partitions

    def _check_slices(
        self,
        assets: Mapping[str, Asset],
        checks: Mapping[str, tuple[Check, ...]],
        maker: Mapping[str, str],
    ) -> None:
        """For every input: is it settled which slices of it are read?"""
        for asset in assets.values():
            read = [(f"`{given.parameter}` of `{asset.name}`", given) for given in asset.inputs]
            for output in asset.outputs:
                for check in checks.get(output, ()):
                    others = (g for g in check.inputs if g.asset != output)
                    read += [(f"`{g.parameter}` of check `{check.name}`", g) for g in others]
            for who, given in read:
                source = assets[maker[given.asset or ""]].partitions
                ours = asset.partitions if asset.sliced_by is None else None
                try:
                    if asset.function is choose and source is None:
                        raise _no_choice(asset, given)
                    check_mapping(ours, source, given.marker, who)
                except DefinitionError as error:
                    error.where = error.where or str(asset.where)
                    self.errors.append(error)

    def _take_resources(self, source: Asset, names: _Spellings, where: str) -> _Taken:
        """What a source or an action takes: it has no inputs."""
        found: list[tuple[str, Resource]] = []
        for given in source.inputs:
            resource = names.resource(given.parameter)
            if resource is not None:
                self._refuse_slices(given, resource, f"`{source.name}`", where)
                found.append((given.parameter, resource))
                continue
            near = did_you_mean(given.parameter, [r.name for r in names.resources.values()])
            what = "action" if source.action is not None else "source"
            other = (
                f'or read `{source.action.parameter}.model`, or lineal.load("…")'
                if source.action is not None
                else "or use @asset for what is computed from other assets"
            )
            self.errors.append(
                DefinitionError(
                    f"the {what} `{source.name}` can't take `{given.parameter}`: "
                    f"{'an' if what == 'action' else 'a'} {what} has no inputs{near}",
                    where=where,
                    advice=f"give it a default, which makes it a parameter; {other}",
                )
            )
        return _Taken((), tuple(found))

    def _take(self, given: Iterable[Input], names: _Spellings, who: str, where: str) -> _Taken:
        """Inputs find their assets; those that are resources go apart."""
        inputs: list[Input] = []
        resources: list[tuple[str, Resource]] = []
        for each in given:
            found = self._find(each, names, who, where)
            if isinstance(found, Resource):
                self._refuse_slices(each, found, who, where)
                resources.append((each.parameter, found))
            elif found is not None:
                inputs.append(found)
        return _Taken(tuple(inputs), tuple(resources))

    def _find(
        self, given: Input, names: _Spellings, who: str, where: str
    ) -> Input | Resource | None:
        resource = names.resource(given.asset or given.parameter)
        if given.asset is not None:
            exact = names.exact.get(given.asset.casefold())
            if exact is not None:
                return replace(given, asset=exact)
            if resource is None:
                self._unknown(given.asset, names, who, where)
            return resource
        matches = names.by_identifier.get(given.parameter.casefold(), ())
        if resource is not None:
            matches = (*matches, resource.name)
            if len(matches) == 1:
                return resource
        if len(matches) == 1:
            return replace(given, asset=matches[0])
        if not matches:
            self._unknown(given.parameter, names, who, where)
        else:
            both = " and ".join(f"`{m}`" for m in matches)
            self.errors.append(
                DefinitionError(
                    f"the input `{given.parameter}` of {who} could be {both}",
                    where=where,
                    advice=f'say which: inputs={{"{given.parameter}": "{matches[0]}"}}',
                )
            )
        return None

    def _refuse_slices(self, given: Input, resource: Resource, who: str, where: str) -> None:
        if given.columns is not None or given.marker is not None:
            self.errors.append(
                DefinitionError(
                    f"`{given.parameter}` of {who} is the resource `{resource.name}`, "
                    "which has no columns or partitions",
                    where=where,
                    advice="annotate it with the type of what it is",
                )
            )

    def _unknown(self, name: str, names: _Spellings, who: str, where: str) -> None:
        what = "asset or resource" if names.resources else "asset"
        self.errors.append(
            DefinitionError(
                f"no {what} `{name}`, an input of {who}{did_you_mean(name, names.known())}",
                where=where,
                advice="an input is a parameter with the name of an asset; "
                "a parameter with a default is a setting",
            )
        )

    def _bind_checks(
        self, assets: Mapping[str, Asset], maker: Mapping[str, str], names: _Spellings
    ) -> dict[str, tuple[Check, ...]]:
        found: dict[str, list[Check]] = {output: [] for output in maker}
        for asset in assets.values():
            for check in asset.checks:
                for output in asset.outputs if check.asset is None else (check.asset,):
                    self._attach(replace(check, asset=output), found, names)
        for check in self.free_checks:
            self._attach(check, found, names)
        return {
            output: tuple(_with_every(check, assets, maker) for check in checks)
            for output, checks in found.items()
            if checks
        }

    def _attach(self, check: Check, found: dict[str, list[Check]], names: _Spellings) -> None:
        who, where = f"check `{check.name}`", str(check.where)
        target = names.exact.get((check.asset or "").casefold())
        if target is None:
            self._unknown(check.asset or "", names, who, where)
            return
        if any(other.name == check.name for other in found[target]):
            self.errors.append(
                DefinitionError(
                    f"`{target}` has two checks called `{check.name}`",
                    where=where,
                    advice="give one of them another name (name=…)",
                )
            )
            return
        taken = self._take(check.inputs, names, who, where)
        for given in taken.inputs:
            if given.asset == target and _is_drift(check):
                self.errors.append(
                    DefinitionError(
                        f"{who} compares `{target}` with itself",
                        where=where,
                        advice='with what was current before: drift("previous")',
                    )
                )
            if given.asset == target and given.arrival == "result":
                self.errors.append(
                    DefinitionError(
                        f"`{given.parameter}` of {who} is the very version that it judges, "
                        "which is no Result yet",
                        where=where,
                        advice="annotate it with the type of the value",
                    )
                )
        found[target].append(
            replace(check, asset=target, inputs=taken.inputs, resources=taken.resources)
        )

    def _order(
        self, names: list[str], upstream: Mapping[str, Sequence[str]], assets: Mapping[str, Asset]
    ) -> list[str]:
        """Inputs first, else in the order of declaration."""
        place = {name: i for i, name in enumerate(names)}
        missing = {name: len(upstream[name]) for name in names}
        feeds: dict[str, list[str]] = {name: [] for name in names}
        for name in names:
            for needed in upstream[name]:
                feeds[needed].append(name)
        ready = [place[name] for name in names if not missing[name]]
        heapq.heapify(ready)
        order: list[str] = []
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(name)
            for fed in feeds[name]:
                missing[fed] -= 1
                if not missing[fed]:
                    heapq.heappush(ready, place[fed])
        if len(order) < len(names):
            left = [name for name in names if name not in set(order)]
            cycle = _cycle(left, upstream)
            self.errors.append(
                DefinitionError(f"a cycle: {' → '.join(cycle)}", where=str(assets[cycle[0]].where))
            )
        return order


def _no_choice(asset: Asset, given: Input) -> DefinitionError:
    return DefinitionError(
        f"`{given.asset}` has no partitions, so `{asset.name}` has nothing to choose from",
        advice="give it some: @asset(partitions=grid(…))",
    )


def _spell(outputs: Iterable[str], resources: Mapping[str, Resource]) -> _Spellings:
    by_identifier: dict[str, list[str]] = {}
    for name in outputs:
        by_identifier.setdefault(identifier(name).casefold(), []).append(name)
    return _Spellings(
        exact={name.casefold(): name for name in outputs},
        by_identifier={key: tuple(found) for key, found in by_identifier.items()},
        resources={name.casefold(): resource for name, resource in resources.items()},
    )


def _is_drift(check: Check) -> bool:
    return check.rule is not None and check.rule[0] == "drift"


def _with_every(check: Check, assets: Mapping[str, Asset], maker: Mapping[str, str]) -> Check:
    """What a distribution is compared with is the whole of it: all partitions, if it has any."""
    if not _is_drift(check) or not check.inputs:
        return check
    (given,) = check.inputs
    if assets[maker[given.asset or ""]].partitions is None:
        return check
    return replace(check, inputs=(replace(given, marker=every()),))


def _direct(
    asset: Asset, checks: Mapping[str, tuple[Check, ...]], maker: Mapping[str, str]
) -> tuple[str, ...]:
    inputs = list(asset.inputs)
    for output in asset.outputs:
        for check in checks.get(output, ()):
            inputs.extend(given for given in check.inputs if given.asset != check.asset)
    return tuple(dict.fromkeys(maker[given.asset] for given in inputs if given.asset))


def _cycle(names: Sequence[str], upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """One whole cycle among names that lie on or behind cycles: `a → b → a`, as data flows."""
    among = set(names)
    path: list[str] = [names[0]]
    seen = {names[0]: 0}
    while True:
        following = next(n for n in upstream[path[-1]] if n in among)
        if following in seen:
            cycle = [*path[seen[following] :], following]
            return cycle[::-1]
        seen[following] = len(path)
        path.append(following)
