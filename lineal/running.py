"""Starts a run where it was planned, and carries it out with the real ports."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lineal.assets.asset import Asset, Retry
from lineal.assets.errors import LinealError, StoreError
from lineal.assets.executors import Executor, Inline
from lineal.assets.facts import Facts
from lineal.assets.materialize import Surroundings, materialize
from lineal.assets.perform import Workshop
from lineal.assets.plan import Plan
from lineal.assets.records import AssetFacts, Observation, RunStarted
from lineal.assets.run import Announcer, Run
from lineal.disk import clear_staged
from lineal.interrupts import Interrupts
from lineal.kept_code import keep
from lineal.lineage.journal import Journal
from lineal.lineage.registry import Registrar
from lineal.logs import log_name
from lineal.provenance import run_started, who
from lineal.snapshot import Snapshot
from lineal.storage.locks import Locks, Starts
from lineal.storage.scratch import Folders
from lineal.user_code import Echo
from lineal.workshop import workshop

_LEFTOVER = 86_400  # seconds after which a file in `tmp/` is no running process's any more


def _pause(retry: Retry, error: LinealError, failures: int) -> float | None:
    from lineal import retrying

    return retrying.pause(retry, failures) if retrying.wants(retry, error) else None


def _close(opened: Closing) -> None:
    for problem in opened.close():
        sys.stderr.write(f"warning: {problem}\n")


class Closing(Protocol):
    def close(self) -> Sequence[str]:
        """What was wrong with it, in sentences."""
        ...


class _Interrupted:
    """Was the run asked to end? Heard from when its first step may start."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._signals: Interrupts | None = None

    @property
    def asked(self) -> bool:
        return self._signals is not None and self._signals.asked

    @contextlib.contextmanager
    def heard(self, executor: Executor) -> Iterator[None]:
        # The second signal raises KeyboardInterrupt, and the loop has the executor give up.
        with Interrupts(self._announcer.stopping, _nothing, executor.wake) as self._signals:
            yield


def _nothing() -> None:
    """What runs is stopped by the loop."""


class _Overtaken(Exception):
    """Another run started since this one was planned."""


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who hears of a run, and how it is carried out.

    `debugger`: open pdb where a step raises. `stand_ins`: in place of resources, by name. `jobs`:
    worker processes; None: as the settings say.
    """

    announcer: Announcer
    planned: Callable[[Plan], None]
    echo: Echo | None = None
    debugger: bool = False
    stand_ins: Mapping[str, Any] = field(default_factory=dict)
    jobs: int | None = None


class Runner:
    """Plans and runs in one store.

    Args:
        look: the project as it is now; looked at again when another run starts meanwhile.
        version: tells our own, for the record.
    """

    def __init__(
        self,
        root: Path,
        journal: Journal,
        look: Callable[[], AbstractContextManager[Snapshot]],
        version: Callable[[], str],
    ) -> None:
        self._root, self._store, self._journal = root, journal.root, journal
        self._look, self._version = look, version

    def carry_out(
        self, planned_now: Callable[[Snapshot], tuple[Plan, Facts]], hearers: Hearers
    ) -> Run:
        """Plan and run. Planned anew, with nobody else starting, if another run started meanwhile:
        so the order in which runs start is that in which they looked at the world.
        """
        starts = Starts(self._store / "locks")
        try:
            try:
                return self._once(planned_now, hearers, starts, alone=False)
            except _Overtaken:
                starts.hold()
                return self._once(planned_now, hearers, starts, alone=True)
        finally:
            starts.let_go()

    def _once(
        self,
        planned_now: Callable[[Snapshot], tuple[Plan, Facts]],
        hearers: Hearers,
        starts: Starts,
        *,
        alone: bool,
    ) -> Run:
        locks = contextlib.closing(Locks(self._store / "locks"))
        folders = contextlib.closing(Folders(self._store / "tmp"))
        with (
            self._look() as seen,
            locks as steps,
            folders as scratch,
            contextlib.ExitStack() as stack,
        ):
            made, facts = planned_now(seen)

            def start() -> str:
                run = self._start(seen, starts, alone=alone)
                seen.history.begin(run)
                hearers.planned(made)  # it is final now
                return run

            if not made.has_work:
                hearers.planned(made)
            around = self.surroundings(seen, start, steps, scratch, hearers, stack)
            try:
                run = materialize(seen.graph, made, facts, around)
            finally:
                seen.objects.abandon()
        if run.id is not None:
            with contextlib.suppress(StoreError):  # on a full disk, some other time
                self._journal.compact()
        return run

    def _start(self, seen: Snapshot, starts: Starts, *, alone: bool) -> str:
        """Append the entry that opens the run; `alone`: nobody else can have started one."""
        self._clear_leftovers(seen)
        started, declared = self.opening(seen)  # takes its time: not while others wait to start
        starts.hold()
        try:
            if not alone and seen.history.overtaken():
                raise _Overtaken
            return self._journal.start_run(lambda run: [started._replace(run=run), *declared])
        finally:
            starts.let_go()

    def _clear_leftovers(self, seen: Snapshot) -> None:
        """Remove what killed processes left, once it is so old that no running one needs it."""
        before = time.time() - _LEFTOVER
        seen.objects.clear_leftovers(before)
        for folder in (self._store / "cache", self._store / "cache" / "code"):
            clear_staged(folder, before, self._journal.disk)

    def opening(self, seen: Snapshot) -> tuple[RunStarted, list[AssetFacts]]:
        """The facts that open a run: who, where, which code; and assets declared otherwise."""
        declared = [
            told
            for asset in seen.graph.assets.values()
            for output in asset.outputs
            if (told := self._declared(asset, output)) != seen.history.asset_facts(output)
        ]
        started = run_started(
            "", self._root, seen.history.environment, len(seen.graph.order), self._version()
        )
        code = keep(seen.definitions, seen.settings, seen.objects)
        return started._replace(sources=code), declared

    def _declared(self, asset: Asset, output: str) -> AssetFacts:
        return AssetFacts(
            asset=output,
            kind=asset.kind,
            description=asset.description,
            owner=asset.owner or "",
            tags=tuple(asset.tags),
            where=str(asset.where).removeprefix(f"{self._root}{os.sep}"),
            columns=asset.columns,
            derives=tuple(d[1:] for d in asset.derives if d.output == output),
            partitions="" if asset.partitions is None else asset.partitions.describe(),
        )

    def surroundings(
        self,
        seen: Snapshot,
        start: Callable[[], str],
        locks: Locks,
        scratch: Folders,
        hearers: Hearers,
        stack: contextlib.ExitStack,
    ) -> Surroundings:
        """The real ports, for one run; what has to be closed after it goes on the stack."""
        jobs = seen.settings.jobs if hearers.jobs is None else hearers.jobs
        made, opened = workshop(
            seen,
            scratch.new,
            echo=hearers.echo,
            debugger=hearers.debugger,
            memory=seen.settings.memory,
            stand_ins=hearers.stand_ins,
        )
        stack.callback(_close, opened)
        interrupts = _Interrupted(hearers.announcer)

        def executor(bench: Workshop) -> Executor:
            if jobs == 1:
                found: Executor = Inline(bench)
            else:
                from lineal.workers import Processes

                found = Processes(seen, jobs, hearers.stand_ins, hearers.echo)
                stack.callback(_close, found)
            stack.enter_context(interrupts.heard(found))
            return found

        def paths(observation: Observation) -> list[str]:
            return [str(self._root / f.path) for f in observation.files]

        return Surroundings(
            workshop=made,
            executor=executor,
            journal=self._journal,
            observer=seen.observer,
            observe=seen.observe,
            clock=time.time,
            announcer=hearers.announcer,
            locks=locks,
            start=start,
            made_meanwhile=seen.history.made_meanwhile,
            paths=paths,
            log=log_name,
            file_digest=seen.file_digest,
            pause=_pause,
            stopping=lambda: interrupts.asked,
            registrar=lambda: Registrar(self._journal, seen.history),
            who=who,
            pools=seen.settings.pools,
            strict=seen.settings.strict,
        )
