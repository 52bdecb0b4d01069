"""Answers what a project is asked: values, verdicts, versions, lineage, runs, logs."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.answers import (
    Answer,
    Explanation,
    InputNow,
    Models,
    ModelsDifference,
    ModelShown,
    Overview,
    RunStory,
    Shown,
    Standing,
    Status,
)
from lineal.assets.asset import Arrival, Asset, CustomFormat
from lineal.assets.decide import arrival_of, one_used
from lineal.assets.errors import IntegrityError, LinealError, UsageError, did_you_mean
from lineal.assets.facts import Facts, parameter_texts, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.keys import Keys, unknown
from lineal.assets.names import Step, in_partition
from lineal.assets.plan import Plan, PlannedStep, plan
from lineal.assets.records import SLICES, Content, Decided, Materialization, Used
from lineal.assets.settled import known_of
from lineal.assets.sights import seen as seen_by
from lineal.assets.sights import sighted
from lineal.assets.unsettled import key_of
from lineal.assets.verdicts import PLAINLY_FRESH, Decision, Pending, Stale
from lineal.assets.versions import Moment, When, meant, moment
from lineal.disk import Disk
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.planning import chosen, planned
from lineal.shown import is_in_partitions, keys_of, overview, parts_of, shown
from lineal.snapshot import Snapshot
from lineal.step_logs import StepLog, find_log, follow, told_by
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer

if TYPE_CHECKING:
    from lineal.comparing import Compared
    from lineal.lineage.catalog_file import PlanRow
    from lineal.lineage.compare import RunsDifference
    from lineal.lineage.tree import Derivation
    from lineal.storage.vault import Vault


_RUN = re.compile(r"r[0-9]+\Z")


_ASSET = r"[A-Za-z][\w/]*"
_TIME = r"T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
_VERSION = rf"@(?:[0-9a-f]+|\d{{4}}-\d\d-\d\d(?:{_TIME})?)"
# `ASSET.COLUMN`, with a version behind either. A key of a partition may hold a dot, and a time.
_COLUMN = re.compile(
    rf"(?!{_ASSET}{_VERSION}\Z)({_ASSET})({_VERSION})?\.(.+?)({_VERSION})?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Asking:
    """The asking half of a `Project`, whose methods of the same names say what these do.

    Args:
        look: opens the project's code and its past.
    """

    root: Path
    store: Path
    disk: Disk
    journal: Journal
    environment: str
    look: Callable[[], AbstractContextManager[Snapshot]]

    @contextmanager
    def _past(self) -> Iterator[History]:
        history = self._history()
        try:
            yield history
        finally:
            history.close()

    @contextmanager
    def _meant(self, name: str, at: When | None = None) -> Iterator[tuple[History, str]]:
        """The past that a name is about, and the name in it: `flights@2026-11-01`, or `at` then."""
        if at is not None and "@" in name:
            raise UsageError(f"`{name}` says which version, and `at` another", advice="give one")
        from lineal.lineage.moments import as_of
        from lineal.lineage.questions import past_meant

        with self._past() as history:
            if at is None:
                yield past_meant(history, name)
            else:
                yield as_of(history, _moment(at), meant(name).asset), name

    def _history(self) -> History:
        return History.open(self.journal, self.store / "cache", self.environment)

    # ------------------------------------------------------------------------------------- values

    def load(
        self, name: str, arrival: Arrival, partition: str | None, at: When | None = None
    ) -> Any:
        with self._meant(name, at) as (history, plain):
            parts = _parts(history, plain, partition)
            whole = None if parts else _version(history, in_partition(plain, partition))
        if whole is not None:
            return self._value(whole, arrival)
        contents = {key: made.content for key, made in parts.items() if made.content is not None}
        if all(content.format == "parquet" for content in contents.values()):
            return self._vault().load(contents, arrival)
        return {key: self._value(made, arrival) for key, made in parts.items()}

    def _value(self, made: Materialization, arrival: Arrival) -> Any:
        if made.content is None:
            raise UsageError(f"`{made.step}` has no content")
        form = made.content.format
        if form == "files":
            paths = self._paths_of(made)
            return paths if len(paths) != 1 else paths[0]
        if form not in ("joblib", "pickle") and not form.startswith("custom:"):
            return self._vault().load(made.content, arrival)
        with self.look() as seen:  # a class of the project is found through its own finder
            return self._vault(seen.formats).load(made.content, arrival)

    def path(self, name: str, partition: str | None) -> list[Path]:
        with self._meant(name) as (history, plain):
            parts = _parts(history, plain, partition)
            made = parts.values() or [_version(history, in_partition(plain, partition))]
        return [path for each in made for path in self._paths_of(each)]

    def version(self, name: str) -> Materialization:
        with self._past() as history:
            return _version(history, name)

    def _paths_of(self, made: Materialization) -> list[Path]:
        content = made.content
        if content is None:
            return []
        if content.format == "files":
            return self._files_of(made)
        objects = Objects(self.store, self.disk)
        return [objects.intact(o).resolve() for o in content.objects]

    def _files_of(self, made: Materialization) -> list[Path]:
        """The files of a version that the store only refers to.

        Raises:
            IntegrityError: one no longer holds what this version was made of.
        """
        observer = Observer(self.root, self.store / "cache" / "stat.json", self.disk)
        for file in made.files:
            if observer.digest(file.path) != file.digest:
                raise IntegrityError(
                    f"`{file.path}` no longer holds what `{made.asset}` was made of",
                    where=str(self.root / file.path),
                    advice=f"take in what it holds now with `lineal materialize {made.asset}`; "
                    "of files that are read as paths, older versions are not kept",
                )
        return [self.root / file.path for file in made.files]

    def _readable(self, content: Content | None) -> Any:
        """A table or plain value to describe; None for what must not be opened just to be shown."""
        if content is None or content.format not in ("parquet", "json"):
            return None
        return self._vault().load(content, "auto")

    def _vault(self, formats: Sequence[CustomFormat] = ()) -> Vault:
        from lineal.storage.vault import Vault

        return Vault(Objects(self.store, self.disk), customs=formats)

    # ------------------------------------------------------------------------------------ verdicts

    def status(self) -> Status:
        from lineal.models import standings

        with self.look() as seen:
            facts = seen.facts(seen.graph.order)
            found = plan(seen.graph, facts, seen.graph.order)
            past = seen.history
            # Of very many partitions only what is told of is looked at.
            lasts = {s.step: past.last(*s.step) for s in found.steps if s.last == "failed"}
            failed = {step: last for step, last in lasts.items() if last is not None}
            wholes = {s.step: past.current(*s.step) for s in found.steps if not s.step.partition}
            currents = {step: made for step, made in wholes.items() if made is not None}
            failing = frozenset(
                step for step, last in failed.items() if _is_as_it_was(last, seen.graph, facts)
            )
            models = standings(past) if past.registries() else ()
            return Status(found, failed, currents, self._usage(), failing, models)

    def _usage(self) -> tuple[int, int]:
        """(objects, bytes) in the store."""
        count = size = 0
        for folder in (self.store / "objects").glob("*"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    size += entry.stat().st_size
        return count, size

    def why(self, name: str, partition: str | None) -> Explanation | Standing:
        if "@" in name:
            raise UsageError(
                f"`{name}` is a version: `why` is about what is current now",
                advice=f"lineal diff {name}    what differs from what is current, and why",
            )
        with self.look() as seen:
            (asset,) = chosen(seen, [name])
            output = name if name in seen.graph.maker else seen.graph.assets[asset].outputs[0]
            facts = seen.facts(seen.graph.needed_by([asset]))
            keys = facts.slices.keys(asset)
            if partition is not None and not isinstance(keys, Keys):
                raise UsageError(f"`{output}` has no partitions", advice="leave the partition out")
            if isinstance(keys, Keys) and partition is not None and partition not in keys:
                raise unknown(partition, keys, output)
            unit = facts.slices.unit(asset, partition)
            if unit is None and isinstance(facts.slices.units(asset), Keys):
                return self._standing(seen, facts, asset, output)
            found = plan(seen.graph, facts, [asset], (), {asset: [unit]})
            return self._explained(seen, facts, found, Step(output, unit), partition)

    def _standing(self, seen: Snapshot, facts: Facts, asset: str, output: str) -> Standing:
        found = plan(seen.graph, facts, [asset])
        return Standing(
            asset=output,
            steps=tuple(s for s in found.steps if s.step.asset == output),
            retired=tuple(r for r in found.retired if r.asset == output),
        )

    def _explained(
        self, seen: Snapshot, facts: Facts, found: Plan, step: Step, partition: str | None
    ) -> Explanation:
        asset = seen.graph.maker[step.asset]
        decision = found.decisions[Step(asset, step.partition)]
        if decision is PLAINLY_FRESH:  # seen with many others: one alone is told in full
            alone = plan(seen.graph, facts, [asset], partitions={asset: [step.partition]})
            decision = alone.decisions[Step(asset, step.partition)]
        current = seen.history.current(*step)
        last = seen.history.last(*step)
        made = current or (last if last is not None and last.content is not None else None)
        return Explanation(
            step=next(s for s in found.steps if s.step == step),
            decision=decision,
            recipe=facts.recipes[asset],
            environment=facts.environments[asset],
            parameters=parameter_texts(
                parameters_of(seen.graph.assets[asset], facts, step.partition)
            ),
            made=made,
            last=last,
            inputs=tuple(
                _inputs(seen.graph.assets[asset], step.partition, decision, seen, made, facts)
            ),
            upstream=tuple(s for s in found.steps if s.maker != asset),
            part=partition if step.partition is None else None,
            decided=_decided(seen.graph.assets[asset], made, facts),
        )

    # -------------------------------------------------------------------------------- descriptions

    def show(self, name: str, partition: str | None, whole: bool) -> Shown | Overview:
        with self._meant(name) as (history, plain):
            if partition is None and "@" not in plain and is_in_partitions(history, plain):
                return overview(history, plain, self._readable, whole)
            found = shown(history, in_partition(plain, partition), self._readable)
        with self._past() as now:  # what was current then may be no more
            current = now.current(*found.made.step)
        asked = "@" in name or "@" in plain
        return replace(found, asked=asked, current=current.id if current else None)

    # --------------------------------------------------------------------------------- comparing

    def diff(
        self,
        first: str,
        second: str | None,
        partition: str | None,
        key: Sequence[str],
        most: int,
    ) -> Compared | RunsDifference:
        from lineal.comparing import Comparer
        from lineal.lineage.questions import spelled

        with self._past() as history:
            first = spelled(history, first)
            second = None if second is None else spelled(history, second)
            words = [word for word in (first, second) if word is not None]
            comparer = Comparer(history, Objects(self.store, self.disk), self._key_of)
            known = {step.asset for step in history.steps()}
            are_runs = [bool(_RUN.match(word)) and word not in known for word in words]
            if any(are_runs) and not all(are_runs):
                run, other = words if are_runs[0] else words[::-1]
                raise UsageError(
                    f"`{run}` is a run and `{other}` is none",
                    advice=f"a run is compared with a run: `lineal diff {run}`, or two of them",
                )
            if all(are_runs):
                if partition or key:
                    raise UsageError("two runs have no partition and no key")
                return comparer.runs(first, second)
            return comparer.compare(first, second, partition, key, most)

    def _key_of(self, asset: str) -> Sequence[str] | None:
        """The primary key that an asset declares now; None if the code can't be read."""
        try:
            with self.look() as seen:
                maker = seen.graph.maker.get(asset)
                return () if maker is None else seen.graph.assets[maker].contract.primary_key
        except LinealError:  # whatever is wrong: what was recorded can be compared all the same
            return None

    # ------------------------------------------------------------------------------ lineage, runs

    def lineage(
        self, name: str, partition: str | None, *, down: bool, columns: bool, form: str
    ) -> str:
        from lineal.lineage import drawing, tree

        whole, one = _column_of(name)
        if one is not None or (columns and form in ("tree", "json")):
            return self._column_lineage(whole, one, partition, down=down, form=form)
        with self._meant(name) as (history, plain):
            found = _derivation(history, in_partition(plain, partition), down=down)
            known = history.registries()
        if form == "json":
            return json.dumps(tree.to_json(found, known), indent=2, ensure_ascii=False)
        if form == "tree":
            return tree.to_tree(found, columns=columns, registries=known)
        return {"mermaid": drawing.to_mermaid, "dot": drawing.to_dot}[form](drawing.drawn(found))

    def _column_lineage(
        self, asset: str, column: str | None, partition: str | None, *, down: bool, form: str
    ) -> str:
        from lineal.lineage import column_tree
        from lineal.lineage.catalog import Catalog

        if form not in ("tree", "json"):
            raise UsageError(f"columns can't be drawn as {form}", advice="leave `--format` out")
        with self._meant(asset) as (history, plain):
            found = _derivation(history, in_partition(plain, partition), down=down)
            catalog = Catalog(self.store, self.journal)
            told = column_tree.lineage_of(found, catalog, column, down=down)
        if form == "json":
            return json.dumps(column_tree.to_json(told), indent=2, ensure_ascii=False)
        return column_tree.to_text(told, shutil.get_terminal_size().columns)

    def models(self) -> Models:
        from lineal.models import models

        with self._past() as history:
            return models(history)

    def model(self, name: str) -> ModelShown:
        from lineal.models import model, plain_values

        with self._past() as history:
            return model(history, name, plain_values(Objects(self.store, self.disk)))

    def compare_models(self, first: str, second: str) -> ModelsDifference:
        from lineal.models import compare_models

        with self._past() as history:
            return compare_models(history, first, second)

    def runs(self) -> list[RunStory]:
        with self._past() as history:
            return [RunStory(started, ended) for started, ended in history.runs()]

    def run(self, name: str) -> RunStory:
        with self._past() as history:
            runs = {started.run: (started, ended) for started, ended in history.runs()}
            if name not in runs:
                raise UsageError(f"no run `{name}`{did_you_mean(name, runs)}")
            return RunStory(
                *runs[name],
                tuple(history.run_materializations(name)),
                tuple(history.run_decisions(name)),
            )

    # ------------------------------------------------------------------------------------ logs, SQL

    def log(self, name: str, run: str | None, partition: str | None) -> str:
        return told_by(self.attempt(name, run, partition))

    def follow_log(
        self, name: str, wait: Callable[[float], bool], run: str | None, partition: str | None
    ) -> Iterator[str]:
        return follow(self.attempt(name, run, partition), self.journal, self._history, wait)

    def attempt(self, name: str, run: str | None, partition: str | None) -> StepLog:
        with self._past() as history:
            return find_log(self.store, history, name, partition, run)

    def sql(self, query: str, at: When | None = None) -> Answer:
        from lineal.lineage.catalog import Catalog
        from lineal.lineage.moments import as_of
        from lineal.lineage.questions import ask

        objects = Objects(self.store, self.disk)
        with self._past() as history:
            past = history if at is None else as_of(history, _moment(at))
            catalog = Catalog(self.store, self.journal)
            columns, rows, note = ask(
                catalog, past, objects.intact, query, objects.path, self._plan_rows, self._declared
            )
        return Answer(tuple(columns), tuple(rows), note)

    def _declared(self) -> list[str]:
        """The assets of the project as it is now; none if the code can't be read."""
        try:
            with self.look() as seen:
                return list(seen.graph.maker)
        except LinealError:  # what went wrong with the query is to be told, not this
            return []

    def _plan_rows(self) -> list[PlanRow]:
        with self.look() as seen:
            found, _ = planned(seen, ())
        return [_plan_row(position, step) for position, step in enumerate(found.steps)]


def _plan_row(position: int, planned_step: PlannedStep) -> PlanRow:
    from lineal.lineage.catalog_file import PlanRow

    step, verdict = planned_step.step, planned_step.verdict
    reasons = verdict.reasons if isinstance(verdict, Stale) else ()
    pending = verdict if isinstance(verdict, Pending) else None
    return PlanRow(
        position,
        step.asset,
        step.partition,
        verdict.name,
        [{"kind": reason.kind, "detail": reason.detail} for reason in reasons],
        pending.inputs if pending else (),
        pending.read if pending else (),
        planned_step.version,
        planned_step.seconds,
    )


def _column_of(name: str) -> tuple[str, str | None]:
    """`orders@9f3a2c` and `amount` of `orders@9f3a2c.amount` or `orders.amount@9f3a2c`."""
    found = _COLUMN.fullmatch(name)
    if found is None:
        return name, None
    asset, before, column, behind = found.groups()
    if before and behind:
        raise UsageError(f"`{name}` says twice which version", advice="give one")
    return asset + (before or behind or ""), column


def _moment(when: When) -> Moment:
    return moment(when, dt.datetime.now(dt.UTC))


def _version(history: History, name: str) -> Materialization:
    from lineal.lineage.questions import resolve_version

    return resolve_version(history, name)


def _parts(history: History, name: str, partition: str | None) -> dict[str, Materialization]:
    """What is current of each partition of an asset; of none if one of them is meant."""
    if partition is not None or "@" in name:
        return {}
    return parts_of(history, name)


def _derivation(history: History, name: str, *, down: bool) -> Derivation:
    from lineal.lineage import tree

    briefs = history.partitions(name)  # of none for a version, or for a single partition
    keys: list[str | None] = [*keys_of(briefs)]
    if not down and None in briefs and briefs[None].format == SLICES:
        keys = [None]  # all its slices were made at once
    roots = [history.current(name, key) for key in keys]
    known = [m for m in roots if m is not None] or [_version(history, name)]
    if not down:
        return tree.upstream(history, *known)
    return (tree.downstream if "@" in name else tree.resting_on)(history, *known)


def _decided(asset: Asset, made: Materialization | None, facts: Facts) -> Decided | None:
    """What a gate decided on its scores."""
    if asset.gate is None or made is None:
        return None
    registry = facts.registries[asset.gate.registry]
    by_key = registry.decisions.get(key_of(asset.gate, made.fingerprint))
    return by_key or registry.decided_on(made)


def _inputs(
    asset: Asset,
    key: str | None,
    decision: Decision,
    seen: Snapshot,
    made: Materialization | None,
    facts: Facts,
) -> Iterator[InputNow]:
    sights = seen_by(asset, key, {}, facts)
    before = {(u.parameter, u.partition): u for u in made.inputs} if made else {}
    read = decision.used
    if decision.action == "wait":
        order = {given.parameter: place for place, given in enumerate(asset.inputs)}
        both = (*read, *_waiting(asset, key, read, facts))
        read = tuple(sorted(both, key=lambda used: order.get(used.parameter, -1)))
    for used in read:
        source = seen.history.materialization(used.materialization)
        old = before.get((used.parameter, used.partition))
        past = seen.history.materialization(old.materialization) if old is not None else None
        yield InputNow(
            used,
            source.content if source is not None else None,
            past.content if past is not None else None,
            sights[used.asset].doubt if used.mode == "all" and used.asset in sights else "",
        )


def _waiting(asset: Asset, key: str | None, read: Sequence[Used], facts: Facts) -> Iterator[Used]:
    """What is read of inputs that are still to be made, as they are now."""
    known = {(used.parameter, used.partition) for used in read}
    for given in sighted(asset, key, {}, facts):
        slices = facts.slices.read(asset.name, key, given)
        way = given.alone if slices.many else given
        for each in slices.keys:
            current = facts.past.current(given.asset or given.parameter, each)
            if current is not None and (given.parameter, each) not in known:
                used = one_used(way, known_of(current), arrival_of(given, many=slices.many))
                yield from () if used is None else (used,)


def _is_as_it_was(last: Materialization, graph: Graph, facts: Facts) -> bool:
    """Would the same code run again with the same parameters?"""
    maker = graph.maker.get(last.asset)
    if maker is None or last.recipe != facts.recipes[maker].digest:
        return False
    return last.parameters == parameter_texts(
        parameters_of(graph.assets[maker], facts, last.partition)
    )
