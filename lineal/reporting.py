"""What a report tells of an asset: one version, how it was made, and all that became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lineal.answers import PartitionShown, Shown
from lineal.assets.errors import UsageError
from lineal.assets.names import in_partition
from lineal.assets.records import (
    DEFAULT_ENVIRONMENT,
    MODELS,
    SLICES,
    AssetFacts,
    CheckResult,
    Decided,
    EnvironmentFacts,
    Materialization,
    Promotion,
    Recipe,
    RunStarted,
    StoredObject,
)
from lineal.assets.registries import Registry
from lineal.lineage.facts import History
from lineal.lineage.tree import Derivation, upstream
from lineal.shown import is_in_partitions, overview, shown

_PICTURES = {"png": "image/png", "svg": "image/svg+xml"}
_FIGURES = 12  # at most
_NEWEST = 200  # versions that are told, at most
_FEW = 400  # partitions up to which each is told
_READABLE = 4000  # bytes of a JSON value up to which it is shown


class Metric(NamedTuple):
    """A metric's name, and the asset that measured it if it was not the asset itself."""

    name: str
    by: str = ""

    def __str__(self) -> str:
        return f"{self.name} · {self.by}" if self.by else self.name


class Point(NamedTuple):
    """A version or a partition on the way of the metrics.

    `made`: the first materialization that has this content; `number`: in the registry; `marks`:
    `current`, aliases that name it, `withdrawn`, `blocked`.
    """

    label: str
    made: Materialization
    metrics: Mapping[Metric, float]
    number: int | None = None
    marks: tuple[str, ...] = ()


class Picture(NamedTuple):
    """A figure: the materialization that made it, what it is, and its bytes."""

    made: Materialization
    description: str
    type: str
    data: bytes


class Made(NamedTuple):
    """How an asset on the way was made: how often, by which code, with which parameters.

    `parameters`: the values of each, as JSON; partitions may differ in them.
    """

    asset: str
    where: str
    times: int
    recipe: Recipe | None
    parameters: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report tells; what is empty is left out.

    Attributes:
        place: the environment, unless it is the one that projects have without any.
        made: the version told of; of an asset with partitions, the one made last.
        current: is it what is current?
        points: its versions, or its partitions, oldest first; of very many not all.
        total: how many there are.
        derivation: what it was computed from, of all partitions together.
        ways: how each asset of it was made, the asset itself first.
        value: a small JSON value, as text.
    """

    project: str
    place: str
    made: Materialization
    current: bool
    told: AssetFacts | None
    run: RunStarted | None
    partitions: tuple[str, ...]
    points: tuple[Point, ...]
    total: int
    checks: tuple[CheckResult, ...]
    feeds: tuple[str, ...]
    registries: tuple[Registry, ...]
    figures: tuple[Picture, ...]
    derivation: Derivation
    ways: tuple[Made, ...]
    environment: EnvironmentFacts | None
    value: str = ""

    @property
    def point(self) -> Point | None:
        """The version told of among all of them."""
        own = self.made.content
        if self.partitions or own is None:
            return None
        alike = (p for p in self.points if p.made.content and p.made.content.digest == own.digest)
        return next(alike, None)

    @property
    def decisions(self) -> list[Decided]:
        """What gates decided in its registries, newest first."""
        found = [d for r in self.registries for d in r.decisions.values()]
        return sorted(found, key=lambda d: (d.at, _order(d.materialization)), reverse=True)

    @property
    def promotions(self) -> list[Promotion]:
        """Every move of an alias of its registries, newest first."""
        found = [p for registry in self.registries for p in registry.promotions]
        return sorted(found, key=lambda p: int(p.id[1:]), reverse=True)


def gathered(
    history: History,
    project: str,
    name: str,
    partition: str | None,
    read: Callable[[StoredObject], bytes],
) -> Report:
    """What is told of an asset, of a version of it, or of one of its partitions.

    Args:
        project: its name.
        read: gives the checked bytes of an object.

    Raises:
        UsageError: there is no such version.
        IntegrityError: a figure is gone or damaged.
    """
    from lineal.lineage.questions import past_meant

    past, plain = past_meant(history, name)
    if partition is None and "@" not in plain and is_in_partitions(past, plain):
        return _of_partitions(past, project, plain, read)
    found = shown(past, in_partition(plain, partition), lambda content: None)
    now = history.current(*found.made.step)  # what was current then may be no more
    found = replace(found, current=now.id if now is not None else None)
    registries = _registries(past, found.made.asset, found.versions)
    points = tuple(told_versions(past, found, registries))
    return _report(past, project, found, (found.made,), points, registries, (), read)


def _of_partitions(
    history: History, project: str, name: str, read: Callable[[StoredObject], bytes]
) -> Report:
    many = len(history.partitions(name)) > _FEW
    found = overview(history, name, lambda content: None, whole=not many)
    if found.newest is None:
        raise UsageError(f"no partition of `{name}` is current", advice=f"lineal why {name}")
    whole = history.current(name, None)
    parts = [history.current(name, key) for key in found.keys]
    roots = [m for m in parts if m is not None]
    if whole is not None and whole.content is not None and whole.content.format == SLICES:
        roots = [whole]
    every = tuple(part.made for part in found.parts)
    registries = _registries(history, name, every)
    points = tuple(Point(p.key, p.made, _own(p.made)) for p in found.parts)
    seen = Shown(
        made=found.newest,
        told=found.told,
        checks=_each(found.parts),
        versions=every,
        current=found.newest.id,
        feeds=found.feeds,
        value=None,
    )
    return _report(history, project, seen, tuple(roots), points, registries, found.keys, read)


def _report(
    history: History,
    project: str,
    found: Shown,
    roots: Sequence[Materialization],
    points: tuple[Point, ...],
    registries: tuple[Registry, ...],
    partitions: tuple[str, ...],
    read: Callable[[StoredObject], bytes],
) -> Report:
    derivation = upstream(history, *roots)
    made = found.made
    return Report(
        project=project,
        place="" if history.environment == DEFAULT_ENVIRONMENT else history.environment,
        made=made,
        current=made.id == found.current,
        told=found.told,
        run=next((started for started, _ in history.runs() if started.run == made.run), None),
        partitions=partitions,
        points=points,
        total=len(partitions) or len({m.content.digest for m in found.versions if m.content}),
        checks=found.checks,
        feeds=found.feeds,
        registries=registries,
        figures=tuple(_pictures(history, roots, read)),
        derivation=derivation,
        ways=tuple(_ways(history, derivation, made.asset)),
        environment=history.environment_facts(made.environment),
        value=_value(made, read),
    )


def _each(parts: Iterable[PartitionShown]) -> tuple[CheckResult, ...]:
    """The results of all partitions, each once: some are judged together."""
    return tuple({result.fingerprint: result for part in parts for result in part.checks}.values())


def _value(made: Materialization, read: Callable[[StoredObject], bytes]) -> str:
    content = made.content
    if content is None or content.format != "json" or content.bytes > _READABLE:
        return ""
    text = "".join(read(each).decode("utf-8", "replace") for each in content.objects)
    return "" if text.strip() == "null" else text


# ---------------------------------------------------------------------------- versions and metrics


def _registries(
    history: History, asset: str, versions: Iterable[Materialization]
) -> tuple[Registry, ...]:
    """Those that have a version of the asset, that it is the gate of, or whose moves it follows."""
    followed = {made.metadata.get("registry") for made in versions if made.kind == "action"}
    contents = {made.content.digest for made in versions if made.content is not None}

    def concerns(registry: Registry) -> bool:
        return (
            registry.name in followed
            or any(v.asset == asset or v.content in contents for v in registry.versions.values())
            or any(d.gate == asset or d.content in contents for d in registry.decisions.values())
            or any(move.gate == asset for move in registry.promotions)
        )

    return tuple(r for _, r in sorted(history.registries().items()) if concerns(r))


def told_versions(
    history: History, found: Shown, registries: Sequence[Registry]
) -> Iterator[Point]:
    """The newest versions and the one that is told of, in the order in which they were made."""
    contents: dict[str, list[Materialization]] = {}
    for made in reversed(found.versions):
        if made.content is not None:
            contents.setdefault(made.content.digest, []).append(made)
    now = next((m for m in found.versions if m.id == found.current), None)
    current = now.content.digest if now is not None and now.content is not None else ""
    own = found.made.content.digest if found.made.content is not None else ""
    for digest in list(contents)[:-_NEWEST]:
        if digest not in (own, current):
            del contents[digest]
    for digest, all_made in contents.items():
        numbers = [(r, v.version) for r in registries if (v := r.numbered(digest)) is not None]
        marks = ["current"] if digest == current else []
        for registry, number in numbers:
            aliases = registry.aliases().items()
            marks += [alias for alias, move in aliases if move.version == number]
            marks += ["withdrawn"] if number in registry.withdrawn else []
        marks += ["blocked"] if all_made[-1].outcome == "blocked" else []
        first = numbers[0][1] if numbers else None
        label = digest[:6] if first is None else f"v{first}"
        metrics = _metrics(history, all_made)
        yield Point(label, all_made[0], metrics, first, tuple(dict.fromkeys(marks)))


def _own(made: Materialization) -> dict[Metric, float]:
    return {Metric(name): value for name, value in made.metrics}


def _metrics(history: History, versions: Sequence[Materialization]) -> dict[Metric, float]:
    """The metrics of a version, and those that others measured of it if it is a model."""
    found = {metric: value for made in versions for metric, value in _own(made).items()}
    content = versions[-1].content
    if content is None or content.format not in MODELS:
        return found
    for reader in reversed(_readers(history, versions)):  # the newest counts
        form = reader.content.format if reader.content is not None else ""
        if form and form not in MODELS and reader.asset != versions[-1].asset:
            found |= {_by(name, reader.asset): value for name, value in reader.metrics}
    return found


def _by(name: str, asset: str) -> Metric:
    """A metric that an asset measured: a gate's only one has its very name."""
    return Metric(name, "" if name == asset else asset)


# ----------------------------------------------------------------------------------------- figures


def _pictures(
    history: History, roots: Sequence[Materialization], read: Callable[[StoredObject], bytes]
) -> Iterator[Picture]:
    """The newest figure of each asset that is one, reads a version, or reads what reads it."""
    same = [m for root in roots for m in _of_content(history, root)]
    near = _readers(history, same)
    found: dict[tuple[str, str | None], Materialization] = {}
    for made in sorted([*same, *near, *_readers(history, near)], key=lambda m: _order(m.id)):
        if made.content is not None and made.content.format == "figure":
            shown_now = history.current(*made.step)
            if found.get(made.step) is None or found[made.step] != shown_now:
                found[made.step] = made
    for step in sorted(found, key=str)[:_FIGURES]:
        yield from _picture(history, found[step], read)


def _picture(
    history: History, made: Materialization, read: Callable[[StoredObject], bytes]
) -> Iterator[Picture]:
    told = history.asset_facts(made.asset)
    for stored in made.content.objects if made.content is not None else ():
        kind = _PICTURES.get(stored.suffix.lstrip("."))
        if kind is not None:
            yield Picture(made, told.description if told is not None else "", kind, read(stored))


def _of_content(history: History, made: Materialization) -> list[Materialization]:
    """All materializations of the step with this very content: a reader may have read any."""
    if made.content is None or made.content.format == SLICES:
        return [made]
    found = history.versions(made.asset, made.content.digest)
    return [m for m in found if m.partition == made.partition]


def _readers(history: History, versions: Iterable[Materialization]) -> list[Materialization]:
    """What read one of these versions, or one that took over its bytes, newest first."""
    names = [n for made in versions for n in (made.id, *(m.id for m in history.reuses(made.id)))]
    found = {reader.id: reader for name in names for reader in history.readers(name)}
    return sorted(found.values(), key=lambda m: _order(m.id), reverse=True)


def _order(name: str) -> tuple[int, int]:
    """The later, the greater: `r12.5` → (12, 5)."""
    run, _, position = name.partition(".")
    return int(run[1:]), int(position or 0)


# --------------------------------------------------------------------------------- how it was made


def _ways(history: History, derivation: Derivation, asset: str) -> Iterator[Made]:
    """Each asset of a derivation, with each code that was at work on the way."""
    groups: dict[tuple[str, str], list[Materialization]] = {}
    for made in derivation.nodes.values():
        if made.kind != "files":
            groups.setdefault((made.asset, made.recipe), []).append(made)
    for (name, recipe), all_made in sorted(groups.items(), key=lambda group: group[0][0] != asset):
        told = history.asset_facts(name)
        values: dict[str, dict[str, None]] = {}
        for made in sorted(all_made, key=lambda m: _order(m.id)):
            for parameter, value in made.parameters:
                values.setdefault(parameter, {})[value] = None
        yield Made(
            name,
            told.where if told is not None else "",
            len(all_made),
            history.recipe(recipe),
            {parameter: tuple(found) for parameter, found in values.items()},
        )
