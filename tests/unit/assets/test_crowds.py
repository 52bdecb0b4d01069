"""Many partitions are seen at once, and each as if it were decided by itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.assets.asset import Asset, Check, Input
from lineal.assets.calendars import daily
from lineal.assets.decide import decide, outcome_known
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.mapping import Marker, last, previous
from lineal.assets.names import Step
from lineal.assets.partitions import Partitions, grid, static
from lineal.assets.plan import Plan, plan
from lineal.assets.ports import Sight
from lineal.assets.records import Recipe
from lineal.assets.slices import Sliced
from lineal.assets.verdicts import PLAINLY_FRESH, Decision, Known
from tests.fakes import FakeQuery
from tests.workbench import Workbench, judged, made, queried

DAYS = daily("2024-01-01", "2024-01-04")
LATER = daily("2024-01-03", "2024-01-06")
TEXTS = static(["north", "south", "west"])


def value(**read: Any) -> dict[str, list[int]]:
    """A table that tells what it was made of."""
    return {"n": [sum(map(ord, repr(sorted(read.items()))))], "m": [1]}


class Crowd(Workbench):
    """A workbench whose assets have partitions, some of which are asked for by force."""

    force: Mapping[str, tuple[str | None, ...]] = {}

    def facts(self, graph: Graph, forced: Any = ()) -> Facts:
        found = super().facts(graph, forced)
        return replace(found, slices=Sliced(graph, found.now, {}), forced=self.force)


def pair(**read: Any) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    return value(**read), value(again=1, **read)


def part(name: str, partitions: Partitions | None, *inputs: Input, **options: Any) -> Asset:
    function = pair if len(options.get("outputs", ())) > 1 else value
    return replace(made(name, function, partitions=partitions, **options), inputs=inputs)


def one_by_one(graph: Graph, found: Plan, facts: Facts) -> dict[Step, Decision]:
    """The decisions of a plan as `decide` makes them, without a look at others."""
    known: dict[Step, Known] = {}
    decisions = {}
    for step in found.selected:
        decisions[step] = decide(graph, step, known, facts)
        known.update(outcome_known(graph, step, decisions[step], facts))
    return decisions


def check_same(bench: Crowd, keys: Mapping[str, list[str]] | None = None) -> int:
    """Both ways give the same plan and the same run; how many steps were seen at once."""
    graph = bench.graph
    facts = bench.facts(graph)
    found = plan(graph, facts, keys or graph.assets, partitions=keys)
    decided = one_by_one(graph, found, facts)
    for step, decision in decided.items():
        at_once = found.decisions[step]
        assert (at_once.verdict, at_once.action) == (decision.verdict, decision.action), step
        if at_once is not PLAINLY_FRESH:
            assert at_once == decision
        for output in (s for s in found.steps if (s.maker, s.step.partition) == step):
            current, past = (look(*output.step) for look in (facts.past.current, facts.past.last))
            content = current.content if current is not None else None
            assert output.version == (content.digest if content is not None else None)
            assert output.last == (past.outcome if past is not None else None)
            assert output.seconds == (past.seconds if past is not None else None)
    runs = []
    for decisions in (found.decisions, decided):
        again = copy.deepcopy(bench)
        again.facts(graph)
        past = again.journal.past()
        seen = replace(facts, past=past, present=again.vault.holds)
        again.opened = past
        run = again.carry_out(graph, replace(found, decisions=decisions), seen)
        told = [r._replace(seconds=0.0, error=None) for r in run.steps]
        kept = sorted((type(f).__name__, getattr(f, "asset", "")) for f in again.journal.facts)
        runs.append((told, run.outcome, kept))
    assert runs[0] == runs[1]
    return sum(d is PLAINLY_FRESH for d in found.decisions.values())


def test_fresh_partitions_are_seen_at_once() -> None:
    bench = Crowd(
        part("a", DAYS),
        part("b", DAYS, Input("a", "a")),
        part("c", None, Input("b", "b", each=True)),
    )
    bench.run()
    assert check_same(bench) == 8


def queries() -> Crowd:
    """Tables day by day, a query of each, one of two days, and one of all."""
    inputs = (Input("a", "a"), Input("a", "a", marker=last(2)), Input("a", "a"))
    makers = (DAYS, DAYS, None)
    bench = Crowd(
        part("a", DAYS, takes_partition=True),
        *(
            queried(name, each, partitions=days)
            for name, each, days in zip(("each", "two", "all"), inputs, makers, strict=True)
        ),
        part("python", DAYS, Input("a", "a", columns=("m",))),
    )
    reading = FakeQuery(
        lambda a: {"n": (repr(a),)},
        lambda a: {"a": Sight(("m",)) if "o" not in a else Sight(doubt="o")},
    )
    bench.files.queries |= dict.fromkeys(("each", "two", "all"), reading)
    bench.run()
    return bench


def test_queries_are_seen_at_once_by_what_they_read() -> None:
    bench = queries()
    assert check_same(bench) == 16
    remade(bench, n=[0], m=[1])
    assert check_same(bench) == 16  # the partitions whose n changed are seen by their columns
    remade(bench, n=[0], m=[2])
    assert check_same(bench) == 12  # not the two days that read it in `two`, nor one of the others
    bench.run()
    assert check_same(bench) == 16


def test_queries_that_read_otherwise_than_they_did_are_told_so_each() -> None:
    bench = queries()
    reads = FakeQuery(
        bench.files.queries["each"].run, lambda a: {"a": Sight(("n",)), "b": Sight(())}
    )
    bench.files.queries["each"] = reads
    assert check_same(bench) == 12
    bench = queries()
    remade(bench, o=[0], m=[1])
    check_same(bench)
    bench.run()
    assert check_same(bench) == 16


def remade(bench: Crowd, **table: list[int]) -> None:
    """The second day of a is made anew, and nothing that reads it."""
    before = {d.name: d for d in bench.declared}["a"]

    def changed(partition: Any) -> Any:
        return table if str(partition) == "2024-01-02" else value(partition=partition)

    assert isinstance(before, Asset)
    bench.replace(replace(before, function=changed))
    bench.force = {"a": ("2024-01-02",)}
    bench.run(["a"])
    bench.force = {}


def test_a_lost_object_is_made_again_and_no_other() -> None:
    bench = Crowd(part("a", DAYS, takes_partition=True), part("b", DAYS, Input("a", "a")))
    bench.run()
    (lost,) = bench.journal.past().partitions("b")["2024-01-02"].objects
    del bench.vault.objects[lost.digest]
    assert check_same(bench) == 7


def test_a_partition_that_failed_since_is_told_so() -> None:
    bench = Crowd(part("a", DAYS))
    bench.run()
    current = bench.journal.past().current("a", "2024-01-02")
    assert current is not None
    bench.journal.append([replace(current, id="r9.1", outcome="failed", content=None)])
    assert check_same(bench) == 3


PARTITIONS = st.sampled_from([DAYS, LATER, TEXTS, grid(depth=[1, 2]), None])
MARKERS: list[Marker | None] = [None, None, last(2), previous()]


@st.composite
def benches(draw: st.DrawFn) -> Crowd:
    """A project that was made once, and then this and that happened."""
    declared: list[Asset | Check] = []
    first = draw(st.sampled_from([DAYS, LATER, TEXTS]))
    for name in "abc"[: draw(st.integers(1, 3))]:
        partitions = draw(st.sampled_from([first, first, None])) if declared else first
        if name == "b" and first is DAYS and draw(st.booleans()):
            partitions = LATER
        inputs = []
        for source in declared:
            assert isinstance(source, Asset)
            if draw(st.booleans()):
                inputs.append(_input(draw, source, partitions))
        several = (name, f"{name}2") if draw(st.integers(0, 9)) == 0 else (name,)
        declared.append(
            part(
                name,
                partitions,
                *inputs,
                takes_partition=partitions is not None and draw(st.booleans()),
                volatile=draw(st.integers(0, 9)) == 0,
                outputs=several,
            )
        )
    if draw(st.integers(0, 3)) == 0:
        declared.append(judged("a", lambda value: True))
    bench = Crowd(*declared)
    bench.run()
    for happen in draw(st.lists(st.sampled_from(HAPPENINGS), max_size=3)):
        happen(draw, bench)
    return bench


def _input(draw: st.DrawFn, source: Asset, ours: Partitions | None) -> Input:
    marker = draw(st.sampled_from(MARKERS)) if ours and source.partitions else None
    columns = ("n",) if draw(st.integers(0, 3)) == 0 else None
    arrival = draw(st.sampled_from(["auto", "auto", "rows"]))
    return Input(source.name, source.name, arrival, columns, marker, each=draw(st.booleans()))


def _some(draw: st.DrawFn, bench: Crowd) -> tuple[Asset, str | None]:
    asset = draw(st.sampled_from([a for a in bench.declared if isinstance(a, Asset)]))
    keys = list(Sliced(bench.graph, 0.0, {}).keys(asset.name))
    return asset, draw(st.sampled_from(keys))


def _forced(draw: st.DrawFn, bench: Crowd) -> None:
    asset, key = _some(draw, bench)
    bench.force = {asset.name: (key,)}


def _lost(draw: st.DrawFn, bench: Crowd) -> None:
    if bench.vault.objects:
        del bench.vault.objects[draw(st.sampled_from(sorted(bench.vault.objects)))]


def _edited(draw: st.DrawFn, bench: Crowd) -> None:
    asset, _ = _some(draw, bench)
    bench.recipes[asset.name] = Recipe(f"{asset.name} edited")


def _edited_and_made_in_part(draw: st.DrawFn, bench: Crowd) -> None:
    """One partition was made by other code, which is the code no more."""
    asset, key = _some(draw, bench)
    before = dict(bench.recipes)
    bench.recipes[asset.name] = Recipe(f"{asset.name} otherwise")
    graph, facts = bench.graph, bench.facts(bench.graph)
    bench.carry_out(graph, plan(graph, facts, [asset.name], partitions={asset.name: [key]}), facts)
    bench.recipes = before if draw(st.booleans()) else bench.recipes


def _failed(draw: st.DrawFn, bench: Crowd) -> None:
    asset, key = _some(draw, bench)
    current = bench.journal.past().current(asset.name, key)
    if current is not None:
        bench.journal.append([replace(current, id="r99.1", outcome="failed", content=None)])


def _read_unasked(draw: st.DrawFn, bench: Crowd) -> None:
    """A file that was read without a word of it; perhaps it has changed since."""
    asset, key = _some(draw, bench)
    current = bench.journal.past().current(asset.name, key)
    if current is None:
        return
    told = replace(current, unwatched=(("notes.txt", "digest", "pipeline.py:1"),))
    bench.journal.entries[:] = [
        tuple(told if fact is current else fact for fact in entry)
        for entry in bench.journal.entries
    ]
    bench.digests["notes.txt"] = draw(st.sampled_from(["digest", "other"]))


HAPPENINGS = [_forced, _lost, _edited, _edited_and_made_in_part, _failed, _read_unasked]


@settings(max_examples=60, deadline=None)
@given(benches(), st.booleans())
def test_at_once_or_one_by_one_is_the_same(bench: Crowd, in_part: bool) -> None:
    keys = None
    if in_part:
        last = [a for a in bench.declared if isinstance(a, Asset)][-1]
        keys = {last.name: list(Sliced(bench.graph, 0.0, {}).keys(last.name))[:2]}
    check_same(bench, keys)
