"""What the past says of registered models: what they are, what they rest on, how two differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineal.answers import (
    InputRead,
    Models,
    ModelsDifference,
    ModelShown,
    ModelStanding,
    ModelVersion,
    RegistryShown,
    TrainingFile,
)
from lineal.assets.errors import LinealError
from lineal.assets.keys import in_order
from lineal.assets.reasons import recipe_difference
from lineal.assets.records import (
    Content,
    Decided,
    Materialization,
    Reason,
    Recipe,
    Registered,
    RunStarted,
    Used,
)
from lineal.assets.registries import PRODUCTION, Registry
from lineal.lineage.facts import History

if TYPE_CHECKING:
    from lineal.storage.objects import Objects

_SMALL = 1000  # bytes of a plain value that is shown


def models(history: History) -> Models:
    """Every registry with its versions."""
    runs = {started.run: started for started, _ in history.runs()}
    registries = history.registries()
    return Models(tuple(_registry(history, registries[name], runs) for name in sorted(registries)))


def standings(history: History) -> tuple[ModelStanding, ...]:
    """What is in production of each registry: of no other version anything is read."""
    registries = history.registries()
    return tuple(_standing(history, registries[name]) for name in sorted(registries))


def _standing(history: History, registry: Registry) -> ModelStanding:
    move = registry.at(PRODUCTION)
    if move is None:
        return ModelStanding(registry.name, None, None, None, registry.hold, _closed(registry))
    registered = registry.versions.get(move.version)  # a damaged journal may have lost it
    made = history.materialization(registered.materialization) if registered else None
    scores = [(s.metric, s.candidate) for s in move.scores]
    recorded = made.metrics if made is not None else ()
    score = next(iter([*scores, *recorded]), None)
    return ModelStanding(registry.name, registered, move, score, registry.hold, _closed(registry))


def _closed(registry: Registry) -> int:
    """How many candidates a gate turned away since `production` moved."""
    moved = registry.at(PRODUCTION)
    since = moved.at if moved is not None else 0.0
    closed = (d for d in registry.decisions.values() if d.outcome == "closed" and d.at > since)
    return len({d.content for d in closed if d.alias == PRODUCTION})


def model(history: History, name: str, read: Callable[[Content], Any] | None = None) -> ModelShown:
    """One registered version: `delays@v3`, `delays@production`.

    Args:
        read: gives a plain value that the training read, to be shown; without it none is.

    Raises:
        UsageError: there is none.
    """
    registered = history.registries().named(name).registered
    registry = history.registries()[registered.registry]
    runs = {started.run: started for started, _ in history.runs()}
    version = _version(history, registry, registered, runs)
    steps = _steps(history, version.made)
    trained = version.trained
    return ModelShown(
        version=version,
        moves=tuple(
            p for p in registry.promotions if registered.version in (p.version, p.previous)
        ),
        decisions=tuple(_decisions(registry, registered.content)),
        files=tuple(_files(steps)),
        inputs=tuple(_inputs(history, trained, read)),
        code=history.recipe(trained.recipe) if trained is not None else None,
        steps=_recipes(history, steps),
        environment=history.environment_facts(trained.environment) if trained else None,
    )


def plain_values(objects: Objects) -> Callable[[Content], Any]:
    """What reads a plain value; None where its object is lost or damaged, as `fsck` tells."""

    def read(content: Content) -> Any:
        from lineal.storage.vault import Vault

        try:
            return Vault(objects).load(content, "auto")
        except LinealError:
            return None

    return read


def compare_models(history: History, first: str, second: str) -> ModelsDifference:
    """How two registered versions differ; nothing is read but facts.

    Raises:
        UsageError: there is no such version.
    """
    before, after = model(history, first), model(history, second)
    old = {(f.asset, f.path, f.partition if f.path is None else None): f for f in before.files}
    new = {(f.asset, f.path, f.partition if f.path is None else None): f for f in after.files}
    return ModelsDifference(
        before=before,
        after=after,
        made=_made_otherwise(history, before, after),
        added=tuple(f for place, f in new.items() if place not in old),
        removed=tuple(f for place, f in old.items() if place not in new),
        changed=tuple(
            (old[place], f)
            for place, f in new.items()
            if place in old and old[place].digest != f.digest
        ),
    )


# ------------------------------------------------------------------------------------ one version


def _registry(
    history: History, registry: Registry, runs: Mapping[str, RunStarted]
) -> RegistryShown:
    newest = sorted(registry.versions.values(), key=lambda v: -v.version)
    versions = tuple(_version(history, registry, registered, runs) for registered in newest)
    decisions = sorted(registry.decisions.values(), key=lambda d: d.at)
    return RegistryShown(
        name=registry.name,
        versions=versions,
        aliases=registry.aliases(),
        hold=registry.hold,
        metric=_metric(decisions, versions),
        closed=_closed(registry),
    )


def _metric(decisions: Sequence[Decided], versions: Sequence[ModelVersion]) -> str:
    """By which versions are told apart: the first of the newest decision on production, else of
    one on another alias, else of a model.
    """
    weighed = sorted((d for d in decisions if d.scores), key=lambda d: d.alias == PRODUCTION)
    scored = [d.scores[0].metric for d in weighed]
    recorded = [name for version in versions for name in version.metrics]
    return next(iter([*reversed(scored), *recorded]), "")


def _version(
    history: History, registry: Registry, registered: Registered, runs: Mapping[str, RunStarted]
) -> ModelVersion:
    made = history.materialization(registered.materialization)
    trained = training_of(history, made) if made is not None else None
    decided = _decisions(registry, registered.content)
    scores = {s.metric: s.candidate for d in decided for s in d.scores}
    metrics = dict((*(trained.metrics if trained else ()), *(made.metrics if made else ())))
    return ModelVersion(
        registered=registered,
        made=made,
        trained=trained,
        aliases=tuple(registry.aliases_at(registered.version)),
        withdrawn=registry.withdrawn.get(registered.version),
        run=runs.get(trained.run) if trained is not None else None,
        metrics={**metrics, **scores},
        rows=next((i.rows for i in _inputs(history, trained) if i.rows is not None), None),
        partitions=tuple(in_order(_nearest_keys(history, trained))),
    )


def _decisions(registry: Registry, content: str) -> list[Decided]:
    about = (d for d in registry.decisions.values() if d.content == content)
    return sorted(about, key=lambda d: d.at)


def training_of(
    history: History, made: Materialization, *, handed_on: bool = True
) -> Materialization:
    """What computed the bytes of a version: through what was taken over, chosen or handed on.

    Args:
        handed_on: by code that gives back what it is given; else only through choices.
    """
    while True:
        origin = _origin(history, made)
        handed = _handed_on(history, origin, handed_on)
        if handed is None:
            return origin
        made = handed


def _origin(history: History, made: Materialization) -> Materialization:
    if made.origin in ("", made.id):
        return made
    return history.materialization(made.origin) or made


def _handed_on(history: History, made: Materialization, whole: bool) -> Materialization | None:
    """The input that this very content is; of equal ones that which was chosen."""
    digest = made.content.digest if made.content is not None else ""
    inputs = (used for used in made.inputs if whole or used.mode == "result")
    same = [used for used in inputs if used.content == digest and used.materialization]
    chosen = [used for used in same if used.partition == made.metadata.get("partition")]
    found = next(iter([*chosen, *same]), None)
    return history.materialization(found.materialization) if found is not None else None


def _inputs(
    history: History,
    trained: Materialization | None,
    read: Callable[[Content], Any] | None = None,
) -> Iterator[InputRead]:
    """What was read, all partitions of an input together."""
    groups: dict[tuple[str, str], list[Used]] = {}
    for used in trained.inputs if trained is not None else ():
        groups.setdefault((used.parameter, used.asset), []).append(used)
    for (parameter, asset), group in groups.items():
        contents = [m.content for m in _sources(history, group) if m.content is not None]
        rows = [content.rows for content in contents if content.rows is not None]
        names = dict.fromkeys(c.name for content in contents for c in content.columns)
        some = {name for used in group for name in used.columns}
        whole = any(used.mode not in ("columns", "shape") for used in group)
        yield InputRead(
            parameter,
            asset,
            tuple(in_order(used.partition for used in group if used.partition is not None)),
            sum(rows) if rows else None,
            tuple(name for name in names if whole or name in some),
            len(names),
            read(contents[0]) if read is not None and _is_small(contents) else None,
        )


def _is_small(contents: Sequence[Content]) -> bool:
    """Is it one plain value that fits into a line or two?"""
    return len(contents) == 1 and contents[0].format == "json" and contents[0].bytes <= _SMALL


def _sources(history: History, inputs: Iterable[Used]) -> list[Materialization]:
    found = (history.materialization(used.materialization) for used in inputs)
    return [made for made in found if made is not None]


def _nearest_keys(history: History, trained: Materialization | None) -> set[str]:
    """The partitions of the nearest inputs, and inputs of those, that have any."""
    level = [trained] if trained is not None else []
    seen: set[str] = set()
    while level:
        inputs = [used for made in level for used in _origin(history, made).inputs]
        keys = {used.partition for used in inputs if used.partition is not None}
        if keys:
            return keys
        following = {used.materialization: used for used in inputs}
        level = _sources(history, [used for m, used in following.items() if m not in seen])
        seen.update(following)
    return set()


# ------------------------------------------------------------------------------ all on the way here


def _steps(history: History, made: Materialization | None) -> Sequence[Materialization]:
    """All that a version was in fact computed from, itself first."""
    from lineal.lineage.tree import upstream

    return tuple(upstream(history, made).nodes.values()) if made is not None else ()


def _files(steps: Iterable[Materialization]) -> list[TrainingFile]:
    found: dict[TrainingFile, None] = {}
    for made in steps:
        content = made.content
        rows = content.rows if content is not None and len(made.files) <= 1 else None
        place = (made.asset, made.partition)
        for file in made.files:
            found[TrainingFile(*place, file.path, file.digest, file.bytes, rows, made.id)] = None
        if made.kind == "fetch" and content is not None:
            fetched = TrainingFile(*place, None, content.digest, content.bytes, rows, made.id)
            found[fetched] = None
    return sorted(found, key=lambda f: (f.asset, f.path or "", f.partition or ""))


def _recipes(history: History, steps: Iterable[Materialization]) -> dict[str, Recipe]:
    """By asset that of the last of its partitions to be made."""
    newest: dict[str, Materialization] = {}
    for made in steps:
        known = newest.get(made.asset)
        if known is None or made.started_at > known.started_at:
            newest[made.asset] = made
    found = {asset: history.recipe(made.recipe) for asset, made in newest.items()}
    return {asset: recipe for asset, recipe in found.items() if recipe is not None}


def _made_otherwise(
    history: History, before: ModelShown, after: ModelShown
) -> dict[str, tuple[Reason, ...]]:
    found: dict[str, tuple[Reason, ...]] = {}
    for asset in dict.fromkeys([*after.steps, *before.steps]):
        old, new = before.steps.get(asset), after.steps.get(asset)
        if old is None or new is None:
            gone = ("", "new") if old is None else ("", "gone")
            found[asset] = (Reason("code_changed", asset, "", *gone),)
        elif old.digest != new.digest:
            found[asset] = tuple(recipe_difference(old, new))
    return {asset: reasons for asset, reasons in found.items() if reasons}
