"""History: what the journal says about the past, frozen at the entry it was opened at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from lineal.assets.errors import IntegrityError
from lineal.assets.names import Step
from lineal.assets.records import (
    DEFAULT_ENVIRONMENT,
    AssetFacts,
    Brief,
    CheckResult,
    Decided,
    EnvironmentFacts,
    Fact,
    Materialization,
    Recipe,
    Retirement,
    RunEnded,
    RunStarted,
    Used,
)
from lineal.assets.registries import Registries, RegistryFact
from lineal.lineage.checkpoint import State, StepKey, catch_up
from lineal.lineage.fact_json import used_from
from lineal.lineage.index import Index, Kind, Place, keys_of
from lineal.lineage.journal import Entry, Journal, from_json
from lineal.lineage.shelf import brief

# Where a line first says a fingerprint, it is the fact's own.
_FINGERPRINT = re.compile(rb'"fingerprint":"([0-9a-f]+)"')
_RUN_STARTED = b'{"fact":"run_started"'
_ENTRIES_KEPT = 64  # journal entries kept in memory for point look-ups


@dataclass(slots=True)
class _News:
    """What was recorded after the entry at which the past was frozen: parsed when asked for."""

    entry: int
    digest: str
    lines: dict[bytes, list[bytes]] = field(default_factory=dict)  # by fingerprint, oldest first
    run_started: bool = False
    own: bytes = b""  # in the lines of the run that asks: no news to it

    def take_in(self, entry: Entry) -> None:
        for line in entry.lines:
            found = _FINGERPRINT.search(line)
            if found is not None and not (self.own and self.own in line):
                self.lines.setdefault(found[1], []).append(line)
            elif line.startswith(_RUN_STARTED):
                self.run_started = True
        self.entry, self.digest = entry.number, entry.digest

    def of(self, fingerprint: str) -> list[Fact]:
        """The facts of a fingerprint, newest first."""
        lines = self.lines.get(fingerprint.encode(), ())
        return [from_json(json.loads(line)) for line in reversed(lines)]


class _Each(Mapping[Step, Materialization]):
    """One materialization of each step, parsed when somebody asks for it."""

    def __init__(
        self,
        steps: Callable[[], Iterable[Step]],
        look: Callable[[str, str | None], Materialization | None],
    ) -> None:
        self._steps, self._look = steps, look

    def __getitem__(self, step: Step) -> Materialization:
        found = self._look(*step)
        if found is None:
            raise KeyError(step)
        return found

    def __iter__(self) -> Iterator[Step]:
        return (step for step in self._steps() if self._look(*step) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class History:
    """The past as one environment sees it; nothing appended after `open` is in it."""

    def __init__(self, journal: Journal, index: Index, state: State, environment: str):
        self._journal = journal
        self._index = index
        self._state = state
        self.environment = environment
        self._decoded: dict[bytes, Fact] = {}
        self._entries: dict[int, tuple[bytes, ...]] = {}
        self._current: dict[tuple[str, str | None], Materialization | None] = {}
        self._partitions: dict[str, Mapping[str | None, Brief]] = {}
        self._accepted: dict[tuple[str, str], frozenset[str]] = {}
        self._registries: Registries | None = None
        self._news = _News(state.entry, state.digest)

    @classmethod
    def open(
        cls, journal: Journal, cache_dir: Path, environment: str = DEFAULT_ENVIRONMENT
    ) -> History:
        """Fold what is new in the journal into the checkpoint below `cache_dir`, and look at it.

        Raises IntegrityError when the journal does not hold together.
        """
        state = catch_up(journal, cache_dir)
        return cls(journal, Index(journal, cache_dir), state, environment)

    def of(self, environment: str) -> History:
        """The same past as another environment sees it."""
        return History(self._journal, self._index, self._state, environment)

    def made_meanwhile(self, fingerprints: Iterable[str]) -> bool:
        """Was any of these computations recorded since this was opened?

        From now on `by_fingerprint` and `check` see all that was recorded until now; what is
        current, and all else that a run was planned on, stays as it was.
        """
        self._refresh()
        return any(fingerprint.encode() in self._news.lines for fingerprint in fingerprints)

    def begin(self, run: str) -> None:
        """What this run records itself is no news: when a step ends must not decide on others."""
        self._news.own = f'"run":"{run}"'.encode()

    def overtaken(self) -> bool:
        """Did another run start since this was opened?"""
        self._refresh()
        return self._news.run_started

    def _refresh(self) -> None:
        if self._journal.has(self._news.entry + 1):
            for entry in self._journal.entries(self._news.entry, self._news.digest or None):
                self._news.take_in(entry)

    @property
    def journal(self) -> Journal:
        """What it was read from."""
        return self._journal

    @property
    def through(self) -> int:
        """The number of the last journal entry that is in it."""
        return self._state.entry

    @property
    def stands_at(self) -> tuple[int, str]:
        """The last journal entry that is in it, and its digest."""
        return self._state.entry, self._state.digest

    def close(self) -> None:
        """Let go of the index; asking again opens it again."""
        self._index.close()

    def forget(self) -> None:
        """Let go of facts looked at so far: who goes through a long past keeps only where it is."""
        self._decoded.clear()

    # ------------------------------------------------------------ the port, assets.ports.History

    def current(self, asset: str, partition: str | None) -> Materialization | None:
        """The materialization behind the current publication of a step."""
        try:
            return self._current[asset, partition]
        except KeyError:
            pass
        name, line = self._state.shown(StepKey(self.environment, asset, partition))
        if line is not None:
            found: Materialization | None = self._decode_materialization(line)
        else:
            found = self.materialization(name) if name else None
        self._current[asset, partition] = found
        return found

    def last(self, asset: str, partition: str | None) -> Materialization | None:
        """The last attempt at a step in this environment, whatever its outcome."""
        line = self._state.last(StepKey(self.environment, asset, partition))
        return None if line is None else self._decode_materialization(line)

    def latest(self, asset: str) -> Materialization | None:
        """The last attempt at any partition of an asset; of very many none is read but that."""
        steps = self._state.steps(self.environment)
        lines = [self._state.last(step) for step in steps if step.asset == asset]
        newest = max((line for line in lines if line is not None), key=_begun, default=None)
        return None if newest is None else self._decode_materialization(newest)

    def by_fingerprint(self, fingerprint: str) -> Sequence[Materialization]:
        """Materializations of a computation that have a content, newest first; any environment."""
        news = [
            m for m in self._news.of(fingerprint) if isinstance(m, Materialization) and m.content
        ]
        return [*news, *self._materializations("fingerprint", fingerprint)]

    def check(self, fingerprint: str) -> CheckResult | None:
        """The newest result of a check, if it was ever run."""
        for news in self._news.of(fingerprint):
            if isinstance(news, CheckResult):
                return news
        line = self._state.checks.line(fingerprint)
        found = self._newest("check", fingerprint) if line is None else self._decode(line)
        return cast("CheckResult | None", found)

    def accepted(self, asset: str, old_recipe: str, new_recipe: str) -> bool:
        """Did people say that these recipes are equivalent? In either direction, and by steps."""
        return old_recipe == new_recipe or new_recipe in self._equivalent(asset, old_recipe)

    # ------------------------------------------------------------- the port, assets.ports.Slices

    def partitions(self, asset: str) -> Mapping[str | None, Brief]:
        """What is current of an asset, by partition, in no order; None for the asset as a whole."""
        found = self._partitions.get(asset)
        if found is None:
            known = self._state.showing(self.environment, asset)
            for partition in [p for p, told in known.items() if told is None]:
                made = self.current(asset, partition)
                known[partition] = None if made is None else brief(made)
            if None in known.values():
                known = {p: told for p, told in known.items() if told is not None}
            found = self._partitions[asset] = cast("dict[str | None, Brief]", known)
        return found

    def used(self, asset: str, partition: str | None) -> tuple[Used, ...]:
        """What the current version of a partition read; nothing is remembered of the answer."""
        name, line = self._state.shown(StepKey(self.environment, asset, partition))
        if line is not None:
            return used_from(json.loads(line))
        made = self.materialization(name) if name else None
        return () if made is None else made.inputs

    def tried(self, asset: str) -> Set[str]:
        """The partitions whose last attempt is another than what is current."""
        return self._state.tried(self.environment, asset)

    def retired(self, asset: str) -> Mapping[str | None, Retirement]:
        """The partitions that were current and are no more, by partition."""
        lines = self._state.retired(self.environment, asset)
        return {p: cast("Retirement", self._decode(line)) for p, line in lines.items()}

    # --------------------------------------------------------------------------------- registries

    def registries(self) -> Registries:
        """The registries of models, of all environments."""
        if self._registries is None:
            facts = (from_json(json.loads(line)) for line in self._state.registries)
            self._registries = Registries(cast("Iterator[RegistryFact]", facts))
        return self._registries

    def run_decisions(self, run: str) -> list[Decided]:
        """What gates decided in a run, in their order."""
        own = json.dumps({"run": run}, separators=(",", ":"))[1:-1].encode()
        lines = [line for line in self._state.registries if own in line]
        facts = [from_json(json.loads(line)) for line in lines]
        return [fact for fact in facts if isinstance(fact, Decided) and fact.run == run]

    # ----------------------------------------------------------------------------------- all steps

    def steps(self) -> list[Step]:
        """Every step of which something is known in this environment."""
        return [Step(s.asset, s.partition) for s in self._state.steps(self.environment)]

    def currents(self) -> Mapping[Step, Materialization]:
        """Every step that has a current version in this environment."""
        return _Each(self.steps, self.current)

    def lasts(self) -> Mapping[Step, Materialization]:
        """The last attempt of every step ever attempted in this environment."""
        return _Each(self.steps, self.last)

    # ------------------------------------------------------------------------------ point look-ups

    def broken_off(self, asset: str) -> int | None:
        """The number of the first run that knew of an asset and did not come to its end."""
        declared = self._index.find("asset", asset, self.through)
        since = declared[-1].entry if declared else self.through + 1
        for started, ended in self.runs():
            number = int(started.run[1:])
            if number >= since and (ended is None or ended.outcome == "cancelled"):
                return number
        return None

    def materialization(self, name: str) -> Materialization | None:
        """The materialization of that id."""
        return cast("Materialization | None", self._newest("materialization", name))

    def knows(self, digest: str) -> bool:
        """Is a recipe or an environment of this digest in the journal?"""
        return self.known_recipe(digest) or self.known_environment(digest)

    def known_recipe(self, digest: str) -> bool:
        """Is the recipe in the journal?"""
        return self._newest("recipe", digest) is not None

    def recipe(self, digest: str) -> Recipe | None:
        """The parts of a recipe as recorded."""
        return cast("Recipe | None", self._newest("recipe", digest))

    def known_environment(self, digest: str) -> bool:
        """Are these environment facts in the journal?"""
        return self._newest("environment", digest) is not None

    def environment_facts(self, digest: str) -> EnvironmentFacts | None:
        """Python, packages and variables under which a materialization ran."""
        return cast("EnvironmentFacts | None", self._newest("environment", digest))

    def asset_facts(self, name: str) -> AssetFacts | None:
        """How an asset was last declared."""
        return cast("AssetFacts | None", self._newest("asset", name))

    def runs(self) -> Sequence[tuple[RunStarted, RunEnded | None]]:
        """All runs, oldest first; one that crashed or still goes on has no end."""
        started: dict[str, RunStarted] = {}
        ended: dict[str, RunEnded] = {}
        for line in reversed(self._lines("run", "r", prefix=True)):
            fact = self._decode(line)
            if isinstance(fact, RunStarted):
                started[fact.run] = fact
            elif isinstance(fact, RunEnded):
                ended[fact.run] = fact
        return [(start, ended.get(run)) for run, start in started.items()]

    def started(self, run: str) -> RunStarted | None:
        """Who started a run, where, in which environment."""
        facts = map(self._decode, self._lines("run", run))
        return next((fact for fact in facts if isinstance(fact, RunStarted)), None)

    def run_materializations(self, run: str) -> Sequence[Materialization]:
        """What a run attempted, oldest first."""
        return self._materializations("of_run", run)[::-1]

    def versions(self, asset: str, prefix: str = "") -> Sequence[Materialization]:
        """Materializations of an asset whose content digest begins so, newest first."""
        return self._materializations("version", f"{asset}@{prefix}", prefix=True)

    def versions_of(self, asset: str, partition: str | None) -> Sequence[Materialization]:
        """Those of one step, newest first; of other partitions none is read."""
        if partition is None:
            return [made for made in self.versions(asset) if made.partition is None]
        own = json.dumps(partition).encode()  # as it stands in the journal
        lines = self._lines("version", f"{asset}@", prefix=True, holding=own)
        found = [self._decode_materialization(line) for line in lines]
        return [made for made in found if made.partition == partition]

    def readers(self, materialization: str) -> Sequence[Materialization]:
        """The materializations that read the version this one made or reused, newest first."""
        return self._materializations("read_from", materialization)

    def reuses(self, materialization: str) -> Sequence[Materialization]:
        """The materializations that took over the bytes this one made, newest first."""
        return self._materializations("reuse_of", materialization)

    # ----------------------------------------------------------------------------------- machinery

    def _materializations(
        self, kind: Kind, key: str, *, prefix: bool = False
    ) -> Sequence[Materialization]:
        facts = [self._decode(line) for line in self._lines(kind, key, prefix=prefix)]
        return [fact for fact in facts if isinstance(fact, Materialization)]

    def _newest(self, kind: Kind, key: str) -> Fact | None:
        lines = self._lines(kind, key, newest=True)
        return self._decode(lines[0]) if lines else None

    def _lines(
        self,
        kind: Kind,
        key: str,
        *,
        prefix: bool = False,
        newest: bool = False,
        holding: bytes = b"",
    ) -> list[bytes]:
        """The facts that the index finds, newest first; each proves that it is one of them.

        Args:
            holding: only those in which this stands.
        """
        for _ in range(2):
            look = self._index.find_prefix if prefix else self._index.find
            places = look(kind, key, self.through)
            found = [self._line(place) for place in (places[:1] if newest else places)]
            lines = [line for line in found if line is None or holding in line]
            if all(line and _has_key(line, kind, key, prefix=prefix) for line in lines):
                return [line for line in lines if line]
            self._index.distrust()
        raise IntegrityError(
            f"the index of the journal points to another fact than {kind} {key}",
            advice="delete the folder `cache` of the store; it is built anew",
        )

    def _line(self, place: Place) -> bytes | None:
        """What stands there; None if nothing does."""
        if place.entry not in self._entries:
            if len(self._entries) >= _ENTRIES_KEPT:
                self._entries.pop(next(iter(self._entries)))
            try:
                self._entries[place.entry] = self._journal.entry(place.entry).lines
            except FileNotFoundError:
                return None
        lines = self._entries[place.entry]
        return lines[place.line] if 0 <= place.line < len(lines) else None

    def _decode(self, line: bytes) -> Fact:
        fact = self._decoded.get(line)
        if fact is None:
            fact = self._decoded[line] = from_json(json.loads(line))
        return fact

    def _decode_materialization(self, line: bytes) -> Materialization:
        return cast("Materialization", self._decode(line))

    def _equivalent(self, asset: str, recipe: str) -> frozenset[str]:
        """All recipes of an asset that people's words connect with this one."""
        known = self._accepted.get((asset, recipe))
        if known is None:
            pairs = [{old, new} for of, old, new in self._state.accepted if of == asset]
            reached = {recipe}
            while joined := [p for p in pairs if p & reached and not p <= reached]:
                reached.update(*joined)
            known = self._accepted[asset, recipe] = frozenset(reached)
        return known


def _begun(line: bytes) -> tuple[int, float]:
    """When a materialization began: its run, and the time in it."""
    raw = json.loads(line)
    return int(raw["run"][1:]), raw.get("started_at", 0.0)


def _has_key(line: bytes, kind: Kind, key: str, *, prefix: bool) -> bool:
    keys = keys_of(json.loads(line))
    if prefix:
        return any(of == kind and found.startswith(key) for of, found in keys)
    return (kind, key) in keys
