"""Computes versions again from what is recorded of them, in a folder and a process of their own.

The inputs are the versions that were read, the code and the settings those of the run that computed
it. Nothing is written to the project's store, and nothing of its working folder is read but files
that are still, by digest, what was read.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import IntegrityError, LinealError, StepError, UsageError
from lineal.assets.records import (
    MODELS,
    SLICES,
    Content,
    Materialization,
    RunStarted,
    StoredObject,
    Used,
)
from lineal.compiled import CompiledCache
from lineal.deferral import Deferral, Proved
from lineal.disk import digest_file
from lineal.finder import ProjectFinder
from lineal.kept_code import KeptCode, lay_out
from lineal.likeness import Trial
from lineal.lineage.facts import History
from lineal.models import training_of
from lineal.remaking import Assignment, Order, refused
from lineal.reproduced import Remade, Reproduction
from lineal.storage.inspection import place_of
from lineal.storage.objects import Objects

_TRIALS = 4  # versions that models are tried on until one fits
_NO_MODELS = ("parquet", SLICES, "json", "array", "figure", "file", "folder")
_COMPUTED = ("python", "sql", "gate")
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lineal.remaking import main; main(*sys.argv[2:])"
)


def named(history: History, name: str) -> tuple[str, Materialization]:
    """What `delays@v3`, `delays@production` or `model@9f3a2c` means, and how it is called.

    Raises:
        UsageError: there is none; or it was observed, not computed.
    """
    from lineal.lineage.questions import resolve_version, version_name

    registries = history.registries()
    if name.partition("@")[0] in registries:
        registered = registries.named(name).registered
        called = f"{registered.registry} v{registered.version}"
        made = history.materialization(registered.materialization)
        if made is None:
            raise IntegrityError(f"the journal knows nothing of what {called} is")
    else:
        made = resolve_version(history, name)
        called = version_name(made)
    if made.kind not in _COMPUTED or made.content is None:
        what = "was done for a promotion" if made.kind == "action" else "comes from a source"
        raise UsageError(
            f"`{called}` {what}: it is not computed from anything recorded",
            advice="name what was computed: a model, a table, a metric",
        )
    return called, made


def computed(history: History, made: Materialization) -> Materialization:
    """The materialization whose computation gave the content: not one that reused or chose it.

    To compute a model again is to train it: a step that only handed it on proves nothing.
    """
    is_model = made.content is not None and made.content.format in MODELS
    found = training_of(history, made, handed_on=is_model)
    if found.kind in _COMPUTED:
        return found
    return training_of(history, made, handed_on=False)  # a source holds it as it is


class Reproducer:
    """Reproduces versions of one store.

    Args:
        root: the project's folder; only files that are what was read are taken from it.
        objects: of its store; nothing is written to them.
        folder: where all is done.
        version: our own.
    """

    def __init__(
        self, root: Path, objects: Objects, history: History, folder: Path, version: str
    ) -> None:
        self._root, self._objects, self._history = root, objects, history
        self._folder, self._version = folder, version
        self._scratch = Objects(folder / "store")
        self._runs = {started.run: started for started, _ in history.runs()}
        self._there: set[StoredObject] = set()  # copied already

    def reproduce(self, name: str, *, whole: bool) -> Reproduction:
        """Compute a version again; if `whole`, all that it was computed from, too."""
        began = time.perf_counter()
        called, asked = named(self._history, name)
        target = computed(self._history, asked)
        wanted = self._upstream(asked) if whole else [target]
        found: dict[str, Remade] = {}
        waiting: dict[StoredObject, list[Order]] = {}
        for calls in _calls(wanted):
            try:
                code = self._code_of(calls[0])
                names = [asked] if any(made.id == target.id for made in calls) else []
                order = self._order(calls, names)
            except LinealError as error:
                found.update((r.materialization, r) for r in refused(calls, error.message))
            else:
                waiting.setdefault(code, []).append(order)
        self._scratch.sync()
        for code, orders in waiting.items():
            found.update((r.materialization, r) for r in self._carried_out(code, orders))
        steps = tuple(found[made.id] for made in wanted)
        return Reproduction(called, steps, time.perf_counter() - began)

    # ------------------------------------------------------------------------------ what to do

    def _upstream(self, made: Materialization) -> list[Materialization]:
        """All that was computed for it, inputs before their readers; it begins at sources."""
        found: dict[str, Materialization] = {}
        waiting = [made]
        while waiting:
            one = waiting[-1]
            one = self._history.materialization(one.origin or one.id) or one
            sources = [self._history.materialization(u.materialization) for u in one.inputs]
            origins = [self._history.materialization(s.origin or s.id) or s for s in sources if s]
            new = [o for o in origins if o.kind in _COMPUTED and o.id not in found]
            if new:
                waiting.extend(reversed(new))
                continue
            waiting.pop()
            found[one.id] = one
        return list(found.values())

    def _code_of(self, made: Materialization) -> StoredObject:
        started = self._runs.get(made.run)
        if started is None or started.sources is None:
            raise StepError(f"the code of {made.run}, which computed it, was not kept")
        return started.sources

    def _order(self, calls: tuple[Materialization, ...], names: Sequence[Materialization]) -> Order:
        """All that it takes, its objects copied.

        Args:
            names: materializations that have the content of one of these, under other names.

        Raises:
            LinealError: something is no longer there.
        """
        made = calls[0]
        inputs: dict[str, Materialization] = {}
        paths: dict[str, tuple[str, ...]] = {}
        for used in made.inputs:
            if used.mode == "none":
                continue
            source = self._history.materialization(used.materialization)
            if source is None:
                raise StepError(f"nothing is known of `{used.asset}`, which it read")
            inputs[source.id] = source
            if used.mode == "files":
                paths[source.id] = tuple(self._files(source, used))
                continue
            late = used.mode == "result"  # and may never have been loaded
            with contextlib.suppress(*(StepError,) if late else ()):
                self._copy(source.content, f"`{used.asset}`, which it read,")
        for each in calls:
            self._copy(each.content, f"`{each.asset}` itself")
        return Order(
            calls,
            inputs,
            paths,
            self._history.recipe(made.recipe),
            self._history.environment_facts(made.environment),
            tuple(islice(self._trials((*names, *calls)), _TRIALS)),
            tuple(self._notes(made)),
        )

    def _notes(self, made: Materialization) -> Iterator[str]:
        started = self._runs[made.run]
        if started.lineal != self._version:
            yield f"lineal {started.lineal} → {self._version}"
        for path, digest, place in made.unwatched:
            if path.endswith("/"):
                yield f"{place} listed {path} without declaring it, which is not kept"
            elif digest and self._digest(path) != digest:  # without one it was not there
                yield f"{place} read {path} without declaring it, which is not as it was"

    def _digest(self, path: str) -> str:
        """Of a file of the project as it is now; of none without it."""
        file = self._root / path
        try:
            return digest_file(file)[0] if file.is_file() else ""
        except OSError:
            return ""

    def _files(self, source: Materialization, used: Used) -> Iterator[str]:
        """The files of a source that was read in place, if they are what they were."""
        for file in source.files:
            if self._digest(file.path) != file.digest:
                raise StepError(
                    f"the file {file.path} of `{used.asset}`, which it read in place, is not "
                    "what it was, and is not kept"
                )
            yield os.path.normpath(self._root / file.path)

    def _copy(self, content: Content | None, what: str) -> None:
        """So that whatever code does to what it is handed, the project's store has it still."""
        for stored in content.objects if content is not None else ():
            if stored in self._there:
                continue
            place = place_of(self._objects.root, stored.digest, stored.suffix)
            if not place.is_file():
                raise StepError(f"{what} is no longer in the store")
            if self._scratch.stage_file(place, stored.suffix).digest != stored.digest:
                raise StepError(f"{what} is damaged in the store: lineal fsck")
            self._there.add(stored)

    # ----------------------------------------------------------- what models can be compared on

    def _trials(self, models: Sequence[Materialization]) -> Iterator[Trial]:
        """What a gate judged this content on; what was read together with it; what it read."""
        content = models[0].content
        if content is None or content.format in _NO_MODELS:
            return
        decided = [
            self._history.materialization(decision.materialization)
            for registry in self._history.registries().values()
            for decision in registry.decisions.values()
            if decision.content == content.digest
        ]
        yield from self._inputs_of(filter(None, decided), content.digest)
        for asset in {made.asset: None for made in models}:
            for version in self._history.versions(asset, content.digest):
                readers = self._history.readers(version.id)
                yield from self._inputs_of(readers, content.digest)
        yield from self._inputs_of(models)

    def _inputs_of(self, readers: Iterable[Materialization], but: str = "") -> Iterator[Trial]:
        for reader in readers:
            for used in reader.inputs:
                if used.mode not in ("none", "result", "files") and used.content != but:
                    yield from self._trial(used)

    def _trial(self, used: Used) -> Iterator[Trial]:
        from lineal.lineage.questions import version_name

        source = self._history.materialization(used.materialization)
        if source is None or source.content is None or not source.content.objects:
            return
        with contextlib.suppress(LinealError):  # another one may do
            self._copy(source.content, "")
            yield Trial(version_name(source), source.content)

    # ------------------------------------------------------------------------------ carrying out

    def _carried_out(self, code: StoredObject, orders: Sequence[Order]) -> Sequence[Remade]:
        """In one process: what ran the same code."""
        run = orders[0].wanted[0].run
        started = self._runs[run]
        try:
            kept = lay_out(code, self._objects, self._folder / f"code-{run}")
        except LinealError as error:
            return [r for o in orders for r in refused(o.wanted, error.message)]
        for order in orders:
            self._put_back(order, kept)
        return self._answered(kept, started, orders)

    def _put_back(self, order: Order, kept: KeptCode) -> None:
        """The files that were read undeclared, as far as they are what they were."""
        for path, digest, _ in order.wanted[0].unwatched:
            target, file = kept.root / path, self._root / path
            if not digest or target.exists() or not file.is_file():
                continue
            data = file.read_bytes()
            if digest_bytes(data) == digest:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)

    def _answered(
        self, kept: KeptCode, started: RunStarted, orders: Sequence[Order]
    ) -> Sequence[Remade]:
        told, answer = (self._folder / f"{word}-{started.run}" for word in ("told", "answer"))
        work = Assignment(
            kept.root, self._scratch.root, started.environment, tuple(map(_plain, orders))
        )
        told.write_bytes(pickle.dumps(work))
        words = [_CHILD, json.dumps(self._path(kept)), str(told), str(answer)]
        # -P: no module of the project stands in for one of Python's.
        done = subprocess.run(
            [sys.executable, "-P", "-c", *words],
            cwd=kept.root,
            stdin=subprocess.DEVNULL,
            stdout=2,
            check=False,
        )
        if not answer.is_file():
            why = f"the process that computed it {_ended(done.returncode)}"
            return [r for o in orders for r in refused(o.wanted, why)]
        found: Sequence[Remade] = pickle.loads(answer.read_bytes())
        return found

    def _path(self, kept: KeptCode) -> list[str]:
        """`sys.path` without the folders of the project as it is now, and with those kept."""
        finder = ProjectFinder(self._root, CompiledCache(None), Deferral(Proved(None), is_on=False))
        folders = [Path(entry or ".").resolve() for entry in sys.path]
        others = [f for f in folders if f != self._root and not finder.searches(f)]
        return [str(folder) for folder in (*kept.homes(), *others)]


def _plain(order: Order) -> Order:
    """What can be pickled: metadata are not needed."""
    wanted = tuple(replace(made, metadata={}) for made in order.wanted)
    inputs = {name: replace(made, metadata={}) for name, made in order.inputs.items()}
    return order._replace(wanted=wanted, inputs=inputs)


def _calls(wanted: Iterable[Materialization]) -> list[tuple[Materialization, ...]]:
    """What one call of a function made, together."""
    found: dict[object, list[Materialization]] = {}
    for made in wanted:
        key = (made.run, made.recipe, made.parameters, made.inputs, made.started_at, made.seconds)
        found.setdefault(key, []).append(made)
    return [tuple(calls) for calls in found.values()]


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


@contextlib.contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """An empty folder: a temporary one, or one that is kept.

    Raises:
        UsageError: it is not empty.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="lineal-", ignore_cleanup_errors=True) as name:
            yield Path(name).resolve()
        return
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"the folder {folder} is not empty", advice="name one that is not there")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder.resolve()
