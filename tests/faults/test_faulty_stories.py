"""Stories of two processes over one store: edits, runs, faults and power cuts in any order.

What was told as made is remembered in plain sets, and what a clean run gives is known beforehand;
after every chapter the store must hold together and hold all that was promised.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lineal.assets.errors import StoreError
from lineal.assets.records import Content, RunEnded
from lineal.lineage.journal import Journal
from tests.faults.dozen import BATCHED, CHANGED, ONE_BY_ONE, ORDERS, Dozen, Worker, judge
from tests.faults.platters import Platters
from tests.faults.simulated_disk import Crashed, Fault, Kind, SimulatedDisk

NEW_ONES = os.environ.get("LINEAL_EVERY_FAULT") == "1"  # `make torture`; else always the same
SETTINGS = settings(
    max_examples=1000 if NEW_ONES else 80,
    stateful_step_count=12,
    deadline=None,
    derandomize=not NEW_ONES,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
KINDS: list[Kind] = ["crash before", "crash after", "tear", "refuse once", "refuse on"]
FAULTS = st.one_of(
    st.none(),
    st.builds(
        Fault,
        st.sampled_from(KINDS),
        st.integers(1, 150),
        st.sampled_from([errno.ENOSPC, errno.EIO, errno.EACCES]),
    ),
)
PROCESSES = st.sampled_from([0, 1])


@dataclass(frozen=True)
class Known:
    """The project in each state of its source and its code, and what clean runs of them leave."""

    folder: Path
    dozens: dict[tuple[int, int], Dozen]
    clean: dict[tuple[int, int], dict[str, Content]]
    values: dict[tuple[int, int], dict[str, Any]]


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name).resolve()
        dozens, clean, values = {}, {}, {}
        for source, code in product((0, 1), (0, 1)):
            orders = CHANGED["orders"] if source else ORDERS
            dozen = Dozen.load(folder / f"{source}{code}", orders=orders, factor=str(code + 1))
            worker = Worker(dozen, folder / f"clean{source}{code}")
            worker.make()
            dozens[source, code], clean[source, code] = dozen, worker.currents()
            values[source, code] = worker.values()
        yield Known(folder, dozens, clean, values)


def test_no_story_loses_what_was_told(known: Known) -> None:
    run_state_machine_as_test(lambda: Stories(known), settings=SETTINGS)


class Stories(RuleBasedStateMachine):
    """Each rule is a chapter. A process lives until a crash, an edit or a power cut."""

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known = known
        self.state = (0, 0)
        self.processes: dict[int, tuple[tuple[int, int], Worker, SimulatedDisk]] = {}
        self.promised: set[tuple[str, str]] = set()
        self.made: set[tuple[tuple[int, int], str]] = set()  # (state of the project, step)

    @initialize()
    def begin(self) -> None:
        self.platters = Platters(self.known.folder / "store")
        self.platters.become({})

    # ---------------------------------------------------------------------------------- chapters

    @rule(source=st.sampled_from([0, 1]))
    def edit_the_source(self, source: int) -> None:
        self.state = (source, self.state[1])

    @rule(code=st.sampled_from([0, 1]))
    def edit_a_function(self, code: int) -> None:
        self.state = (self.state[0], code)

    @rule(process=PROCESSES, fault=FAULTS, pace=st.sampled_from([BATCHED, ONE_BY_ONE]))
    def materialize(self, process: int, fault: Fault | None, pace: str) -> None:
        self.work(process, fault, self.make, pace)

    @rule(process=PROCESSES, at=st.integers(1, 150))
    def materialize_while_somebody_writes(self, process: int, at: int) -> None:
        """Another process takes the number that an entry was about to get."""

        def write(_: int) -> None:
            if len(disk.operations) == start + at:
                other = Journal(self.platters.store, SimulatedDisk(self.platters))
                other.append([RunEnded("r0", "done", {}, 0.0)])

        _, disk = self.process(process, BATCHED)
        start = len(disk.operations)
        disk.watch = write
        self.work(process, None, self.make, BATCHED)
        disk.watch = None

    @rule(process=PROCESSES, fault=FAULTS)
    def pack_the_journal(self, process: int, fault: Fault | None) -> None:
        self.work(process, fault, lambda worker: worker.journal.compact(keep=2, size=2))

    @rule(process=PROCESSES)
    def rebuild_the_catalog(self, process: int) -> None:
        worker, _ = self.process(process)
        if worker.journal.head():
            assert worker.rebuild() == worker.journal.head()

    @rule()
    def free_the_disks(self) -> None:
        for _, _, disk in self.processes.values():
            disk.free()

    @rule(seed=st.integers(0, 1000))
    def cut_the_power(self, seed: int) -> None:
        self.processes.clear()
        self.platters.power_cut(seed)

    # -------------------------------------------------------------------------------- promises

    @invariant()
    def all_that_was_told_is_there(self) -> None:
        judge(self.platters.store, [dict([promise]) for promise in self.promised])

    def teardown(self) -> None:
        if hasattr(self, "platters"):
            self.cut_the_power(0)
            self.work(0, None, self.make)
            self.all_that_was_told_is_there()
            worker, _ = self.process(0)
            assert worker.make().id is None
            assert worker.values() == self.known.values[self.state]

    # ---------------------------------------------------------------------------------- within

    def process(self, process: int, pace: str = BATCHED) -> tuple[Worker, SimulatedDisk]:
        known = self.processes.get(process)
        if known is not None and known[0] == self.state:
            return known[1:]
        disk = SimulatedDisk(self.platters)
        worker = Worker(self.known.dozens[self.state], self.platters.store, disk, pace)
        self.processes[process] = self.state, worker, disk
        return worker, disk

    def work(
        self,
        process: int,
        fault: Fault | None,
        act: Callable[[Worker], object],
        pace: str = BATCHED,
    ) -> None:
        worker, disk = self.process(process, pace)
        if fault is not None:
            disk.fault = fault._replace(at=len(disk.operations) + fault.at)
        try:
            act(worker)
        except Crashed:
            del self.processes[process]
        except StoreError as told:
            assert told.where is not None and told.advice is not None
            assert disk.fault is not None or disk.not_synced, "refused without a reason"
        self.promised |= worker.told.promised.items()
        self.made |= {(self.state, step) for step in worker.told.promised}
        if fault is not None and fault.kind != "refuse on":
            disk.free()
        assert not disk.synced_again

    def make(self, worker: Worker) -> None:
        run = worker.make()
        assert run.outcome == "done"
        anew = {r.step.asset for r in run.steps if r.outcome == "made"}
        again = {step for state, step in self.made if state == self.state} & anew
        assert not again, f"told as made, and made again: {again}"
        assert worker.currents() == self.known.clean[self.state]
