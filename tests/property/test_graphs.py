"""Random graphs under random edits, failures, losses: the loop is right, minimal and foretold."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import DataObject, SearchStrategy

from lineal.assets.asset import Asset, Check
from lineal.assets.digest import digest_of
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.plan import Plan
from lineal.assets.records import Recipe
from lineal.assets.run import Run
from tests.workbench import Workbench, from_files, judged, made

COLUMNS = ("a", "b", "c")
Table = dict[str, tuple[int, ...]]

# Few different numbers, so that edits often give an equal result, and equal code is frequent.
codes = st.tuples(*[st.integers(0, 2)] * 3)
tables: SearchStrategy[Table] = st.builds(
    lambda cells: {name: tuple(row[i] for row in cells) for i, name in enumerate(COLUMNS)},
    st.lists(codes, min_size=1, max_size=2),
)
readings = st.sampled_from([None, ("a",), ("b", "a"), ("c",)])


@dataclass
class Spec:
    """A declared asset as this test knows it: what it reads; its code is a number a column."""

    name: str
    outputs: tuple[str, ...]
    reads: tuple[tuple[str, tuple[str, ...] | None], ...]  # (input, columns read); none: a source
    code: tuple[int, ...] = (0, 0, 0)
    limit: int | None = None  # of an error check: the first number of column a stays below
    raises: bool = False
    tags: tuple[str, ...] = ()

    @property
    def is_source(self) -> bool:
        return not self.reads


def computed(spec: Spec, inputs: dict[str, Table]) -> dict[str, Table]:
    """What the asset's function gives: column i is code i plus all that is read, modulo 3."""
    read = sum(v for p in sorted(inputs) for values in inputs[p].values() for v in values)
    return {
        output: {
            name: tuple((code + read + i) % 3 for i in range(1 + number))
            for name, code in zip(COLUMNS, spec.code, strict=True)
        }
        for number, output in enumerate(spec.outputs)
    }


@dataclass
class Model:
    """What must be current after a run: values by output; broken assets by outcome."""

    values: dict[str, Table] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


class Pipelines(RuleBasedStateMachine):
    """A project that people edit, break, mend and run."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, Spec] = {}
        self.bench = Workbench()
        self.vault, self.files = self.bench.vault, self.bench.files
        self.journal = self.bench.journal
        self.calls: Counter[tuple[str, str]] = Counter()  # since the last loss: (asset, arguments)
        self.settled = False  # was everything made since the last edit?

    # --------------------------------------------------------------------------------- the project

    @initialize(data=st.data(), count=st.integers(1, 3))
    def sources(self, data: DataObject, count: int) -> None:
        for n in range(count):
            self.specs[f"raw/s{n}"] = Spec(f"raw/s{n}", (f"raw/s{n}",), ())
            self.files.tables[f"raw/s{n}"] = data.draw(tables)

    @property
    def outputs(self) -> list[str]:
        return [output for spec in self.specs.values() for output in spec.outputs]

    def made_assets(self) -> list[str]:
        return [name for name, spec in self.specs.items() if not spec.is_source]

    def _asset(self, spec: Spec) -> Asset:
        if spec.is_source:
            return replace(from_files(spec.name), tags=spec.tags)

        def function(**inputs: Table) -> dict[str, Table] | Table:
            if spec.raises:
                raise ValueError("broken")
            self.calls[spec.name, json.dumps([spec.code, spec.outputs, inputs])] += 1
            result = computed(spec, inputs)
            return result if len(spec.outputs) > 1 else result[spec.outputs[0]]

        inputs = {f"p{i}": (name, *(read or ())) for i, (name, read) in enumerate(spec.reads)}
        return made(spec.name, function, inputs, outputs=spec.outputs, tags=spec.tags)

    # ------------------------------------------------------------------------------------- running

    def planned(
        self, selected: set[str] | None = None, forced: bool = False
    ) -> tuple[Graph, Plan, Facts]:
        bench, specs = self.bench, self.specs.values()
        bench.declared = [self._asset(spec) for spec in specs]
        bench.declared += [_check(s.outputs[0], s.limit) for s in specs if s.limit is not None]
        bench.recipes = {s.name: Recipe(digest_of((s.code, s.raises))) for s in specs}
        wanted = set(self.specs) if selected is None else selected
        return bench.planned(wanted, forced=wanted if forced else ())

    def expected(self) -> Model:
        """A full recomputation, in the order of declaration (inputs were declared first)."""
        model = Model()
        for spec in self.specs.values():
            makers = {o: s.name for s in self.specs.values() for o in s.outputs}
            if any(makers[name] in model.broken for name, _ in spec.reads):
                model.broken[spec.name] = "skipped"
                continue
            if spec.is_source:
                model.values[spec.name] = self.files.tables[spec.name]
                continue
            if spec.raises:
                model.broken[spec.name] = "failed"
                continue
            inputs = {
                f"p{i}": {c: model.values[name][c] for c in columns or COLUMNS}
                for i, (name, columns) in enumerate(spec.reads)
            }
            result = computed(spec, inputs)
            if spec.limit is not None and result[spec.outputs[0]]["a"][0] >= spec.limit:
                model.broken[spec.name] = "blocked"
                continue
            model.values.update(result)
        return model

    def current(self) -> dict[str, Any]:
        past = self.journal.past()
        found = {output: past.current(output, None) for output in self.outputs}
        return {
            output: self.vault.load(made.content, "auto")
            for output, made in found.items()
            if made is not None and made.content is not None and self.vault.holds(made.content)
        }

    # --------------------------------------------------------------------------------------- rules

    @precondition(lambda self: len(self.specs) < 9)
    @rule(data=st.data(), code=codes, several=st.booleans())
    def declare(self, data: DataObject, code: tuple[int, ...], several: bool) -> None:
        name = f"t{len(self.specs)}"
        names = data.draw(
            st.lists(st.sampled_from(self.outputs), min_size=1, max_size=2, unique=True)
        )
        reads = tuple((n, data.draw(readings)) for n in names)
        outputs = (f"{name}_one", f"{name}_two") if several else (name,)
        self.specs[name] = Spec(name, outputs, reads, code)
        self.settled = False

    @precondition(lambda self: self.made_assets())
    @rule(data=st.data(), code=codes)
    def edit_code(self, data: DataObject, code: tuple[int, ...]) -> None:
        self._change(data, code=code)

    @precondition(lambda self: self.made_assets())
    @rule(data=st.data(), limit=st.sampled_from([None, 1, 2, 3]))
    def edit_check(self, data: DataObject, limit: int | None) -> None:
        self._change(data, limit=limit)

    @precondition(lambda self: self.made_assets())
    @rule(data=st.data(), raises=st.booleans())
    def break_or_mend(self, data: DataObject, raises: bool) -> None:
        self._change(data, raises=raises)

    @precondition(lambda self: self.made_assets())
    @rule(data=st.data(), columns=readings)
    def read_other_columns(self, data: DataObject, columns: tuple[str, ...] | None) -> None:
        name = data.draw(st.sampled_from(self.made_assets()))
        (first, _), *rest = self.specs[name].reads
        self.specs[name] = replace(self.specs[name], reads=((first, columns), *rest))
        self.settled = False

    def _change(self, data: DataObject, **changed: Any) -> None:
        name = data.draw(st.sampled_from(self.made_assets()))
        self.specs[name] = replace(self.specs[name], **changed)
        self.settled = False

    @rule(data=st.data(), table=tables)
    def edit_a_file(self, data: DataObject, table: Table) -> None:
        name = data.draw(st.sampled_from(sorted(self.files.tables)))
        self.files.tables[name] = table
        self.settled = False

    @precondition(lambda self: self.vault.objects)
    @rule(data=st.data())
    def lose_objects(self, data: DataObject) -> None:
        for lost in data.draw(st.sets(st.sampled_from(sorted(self.vault.objects)), max_size=3)):
            del self.vault.objects[lost]
        self.calls.clear()
        self.settled = False

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), tags=st.sampled_from([(), ("daily",), ("new", "words")]))
    def a_metadata_edit_makes_nothing_stale(self, data: DataObject, tags: tuple[str, ...]) -> None:
        name = data.draw(st.sampled_from(sorted(self.specs)))
        before = {s.step: s.verdict for s in self.planned()[1].steps}
        self.specs[name] = replace(self.specs[name], tags=tags)
        assert {s.step: s.verdict for s in self.planned()[1].steps} == before

    @rule(data=st.data())
    def run_some(self, data: DataObject) -> None:
        """A selected asset and all it needs are right; nothing else is touched."""
        chosen = data.draw(st.sampled_from(sorted(self.specs)))
        graph, plan, facts = self.planned({chosen})
        before = self.current()
        run = self.bench.carry_out(graph, plan, facts)
        self._agrees(plan, run)
        self._is_right(run, before)
        wanted = {o for n in graph.needed_by({chosen}) for o in graph.assets[n].outputs}
        assert {s.step.asset for s in run.steps} == wanted

    @rule()
    def run_all(self) -> None:
        graph, plan, facts = self.planned()
        before = self.current()
        run = self.bench.carry_out(graph, plan, facts)
        self._agrees(plan, run)
        self._is_right(run, before)
        self._is_minimal()
        self.settled = True
        self._runs_again(run)

    @rule(data=st.data())
    def force_one(self, data: DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.specs)))
        graph, plan, facts = self.planned({name}, forced=True)
        before = self.current()
        self.calls.clear()
        run = self.bench.carry_out(graph, plan, facts)
        self._agrees(plan, run)
        self._is_right(run, before)
        if self.expected().broken.get(name) is None:
            assert {s.outcome for s in run.steps if s.maker == name} == {"made"}
        self.calls.clear()

    @precondition(lambda self: self.specs)
    @rule(data=st.data(), table=tables)
    def files_move_while_they_are_read(self, data: DataObject, table: Table) -> None:
        """Whatever the run did, the next one makes it right."""
        name = data.draw(st.sampled_from(sorted(self.files.tables)))
        self.files.moves[name] = table
        graph, plan, facts = self.planned()
        run = self.bench.carry_out(graph, plan, facts)
        if name not in self.files.moves:
            current = self.current()
            if not [s for s in run.steps if s.step.asset == name and s.outcome == "failed"]:
                assert current[name] == self.files.tables[name], "read halfway, published"
        self.files.moves.clear()
        self.settled = False
        self.run_all()

    # --------------------------------------------------------------------------------- what holds

    def _agrees(self, plan: Plan, run: Run) -> None:
        """The plan never contradicts the run."""
        planned = {s.step: s for s in plan.steps}
        assert {s.step for s in run.steps} == set(planned)
        for report in run.steps:
            verdict = planned[report.step].verdict.name
            if verdict == "fresh":
                assert report.outcome == "fresh", report
            elif verdict == "stale":
                assert report.outcome != "fresh", report
                assert report.outcome == "skipped" or report.reasons, report

    def _is_right(self, run: Run, before: dict[str, Any]) -> None:
        """What was selected equals a full recomputation; what is broken shows what it did."""
        model, current = self.expected(), self.current()
        for report in run.steps:
            output, maker = report.step.asset, report.maker
            if maker in model.broken:
                assert report.outcome == model.broken[maker], report
                assert output not in before or current[output] == before[output]
            else:
                assert report.outcome in ("fresh", "made", "reused"), report
                assert current[output] == model.values[output]
        untouched = set(before) - {s.step.asset for s in run.steps}
        assert {o: current[o] for o in untouched if o in current} == {
            o: before[o] for o in untouched if o in current
        }
        assert run.outcome == (
            "failed" if {s.maker for s in run.steps} & set(model.broken) else "done"
        )

    def _is_minimal(self) -> None:
        """No computation that was ever made is made again (a failed one is tried again)."""
        assert not {call: n for call, n in self.calls.items() if n > 1}

    def _runs_again(self, first: Run) -> None:
        """A second run makes nothing; with nothing broken to try again, it writes nothing."""
        length = len(self.journal.entries)
        objects = dict(self.vault.objects)
        graph, plan, facts = self.planned()
        run = self.bench.carry_out(graph, plan, facts)
        assert {s.outcome for s in run.steps} <= {"fresh", "failed", "skipped", "blocked"}
        assert self.vault.objects == objects
        if "failed" not in {s.outcome for s in run.steps}:
            assert run.id is None
            assert len(self.journal.entries) == length
        assert {s.step: s.version for s in run.steps if s.outcome == "fresh"} == {
            s.step: s.version for s in first.steps if s.outcome in ("fresh", "made", "reused")
        }
        self._is_minimal()

    @invariant()
    def every_publication_names_objects_that_were_made_durable(self) -> None:
        assert not self.vault.unsynced


def _check(output: str, limit: int) -> Check:
    def below(value: Table, limit: int) -> bool:
        return value["a"][0] < limit

    return judged(output, below, parameters={"limit": limit})


TestPipelines = Pipelines.TestCase
TestPipelines.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
