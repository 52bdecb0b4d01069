"""Judge new versions before anything downstream can see them: write, audit, publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lineal.assets.asset import Asset
from lineal.assets.errors import StepError
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.perform import Made, Task, Workshop, run_checks
from lineal.assets.plan import Known, PlannedCheck, known_result, planned_checks
from lineal.assets.records import CheckResult, Content

# By output: every check's result, and whether it was found just now (or known from before).
Judged = Mapping[str, tuple[tuple[CheckResult, bool], ...]]


def judge(
    asset: Asset,
    contents: Mapping[str, Content],
    made: Mapping[str, Made],
    task: Task,
    bench: tuple[Graph, Mapping[str, Known], Facts, Workshop],
    checked: dict[str, CheckResult],
) -> Judged:
    """The verdict of every check on every output of one asset.

    Args:
        contents: what is judged, by output; made: the same in memory, where it was just made.
        checked: results found in this run, by fingerprint; added to.

    Raises:
        StepError: a check needs an asset that was never made.
    """
    graph, known, facts, workshop = bench
    judged = {}
    for output, content in contents.items():
        planned, pending = planned_checks(graph, output, content, known, facts)
        if pending:
            raise StepError(
                f"a check of `{output}` needs {', '.join(pending)}, which was never made",
                where=str(asset.where),
            )
        results: dict[str, tuple[CheckResult, bool]] = {}
        for one in planned:
            before = known_result(one.fingerprint, facts) or checked.get(one.fingerprint)
            if before is not None:
                results[one.fingerprint] = (replace(before, asset=output), False)
        unknown = [p for p in planned if p.fingerprint not in results]
        if unknown:
            version = made[output].canonical if output in made else content
            around = replace(task, inputs=_needed(unknown, output, known))
            current = facts.past.current(output, None)
            previous = current.content if current is not None else None
            for result in run_checks(unknown, output, version, around, previous, workshop):
                results[result.fingerprint] = (result, True)
                checked[result.fingerprint] = result
        judged[output] = tuple(results[p.fingerprint] for p in planned)
    return judged


def _needed(
    checks: Sequence[PlannedCheck], output: str, known: Mapping[str, Known]
) -> dict[str, Known]:
    """The other assets that checks read, by name."""
    names = {g.asset or "" for p in checks for g in p.check.inputs if g.asset != output}
    return {name: known[name] for name in names}


def failing(judged: Judged) -> list[CheckResult]:
    """The failed results that forbid publication."""
    return [
        result
        for results in judged.values()
        for result, _ in results
        if not result.passed and result.severity == "error"
    ]
