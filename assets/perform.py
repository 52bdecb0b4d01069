"""Work on one step: load inputs, compute, bring into canonical form, judge. Runs in a worker.

Nothing here records anything: effects come back as an `Outcome`, and only the loop writes facts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from lineal.assets.asset import (
    Asset,
    Check,
    Contract,
    Input,
    LateResult,
    Resource,
    Result,
)
from lineal.assets.decide import planned_check
from lineal.assets.derives import Sides, refuse_untrue
from lineal.assets.errors import (
    ContentError,
    IntegrityError,
    LinealError,
    QueryError,
    SourceMissing,
    StepError,
)
from lineal.assets.facts import partition_parameters
from lineal.assets.names import Step
from lineal.assets.ports import Canonical, Engine, Sight, Vault, Versions
from lineal.assets.promoted import Promoted
from lineal.assets.records import CheckResult, Content, Observation, Recipe
from lineal.assets.secrets import reveal
from lineal.assets.verdicts import BoundCheck, Handed, Known, PlannedCheck
from lineal.assets.weighing import Weighed, Weighing, weigh


class Trace(Protocol):
    """What was noticed while user code ran: files it read without declaring them."""

    @property
    def unwatched(self) -> tuple[tuple[str, str, str], ...]:
        """(path, digest, place) of each project file read that no source declares."""
        ...

    @property
    def written(self) -> tuple[str, ...]:
        """The project files that were opened for writing."""
        ...


class UserCode(Protocol):
    """How user code is run: seeded, its output captured, its reads noticed, its errors located."""

    def running(
        self, recipe: Recipe, step: str, log: str, declared: Sequence[str]
    ) -> AbstractContextManager[Trace]:
        """A block in which user code runs, its random generators seeded from the recipe.

        Exceptions of user code leave it as UserCodeError. `log` names the log of the step, `step`
        what it prints live; `declared` are the files that it may read.
        """
        ...

    def drift(self, asset: Asset) -> str | None:
        """A sentence naming a constant that has another value than when it was digested."""
        ...


class Made(NamedTuple):
    """One output as computed: canonical, with what `Result` carried beside it."""

    canonical: Canonical
    metrics: Mapping[str, float]
    metadata: Mapping[str, Any]
    parts: tuple[tuple[str, Canonical], ...] = ()  # the slices in which it is published


@dataclass(frozen=True, slots=True)
class Outcome:
    """What performing a computation gave. Effects as data."""

    made: Mapping[str, Made]
    seconds: float
    unwatched: tuple[tuple[str, str, str], ...] = ()
    written: tuple[str, ...] = ()
    weighed: Weighed | None = None  # of a gate


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker needs to know to make a step. It can be pickled.

    Attributes:
        step: of the asset as a whole; its outputs have the same partition.
        parameters: values by name, those that a partition of a grid gives among them.
        inputs: by parameter, the versions that it gets.
        held: outputs of this run that are still in memory; always empty between processes.
        observation: of a file source, what is to be read.
        paths: the files of sources, absolute, by step.
        log: `<run>/<step>`, below the store's `logs/`.
        kept: versions by output that are only judged again; None: they are computed.
        checks: by output, to be run on what is made; previous: the current content by output.
        timeout: seconds for this attempt.
        resources: the values of the parameters of each resource it takes, by resource.
        sights: of a query what it is to see of its inputs, by asset: what its fingerprint holds.
        weighing: of a gate what is to be scored.
        promoted: of an action, the move for which it runs.
    """

    step: Step
    asset: Asset
    recipe: Recipe
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Handed]
    held: Mapping[Step, Canonical]
    observation: Observation | None
    paths: Mapping[Step, Sequence[str]]
    log: str
    kept: Mapping[str, Content] | None = None
    checks: Mapping[str, tuple[BoundCheck, ...]] = field(default_factory=dict)
    previous: Mapping[str, Content] = field(default_factory=dict)
    timeout: float | None = None
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sights: Mapping[str, Sight] = field(default_factory=dict)
    weighing: Weighing | None = None
    promoted: Promoted | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task: its outcome and what its checks said, or the error."""

    outcome: Outcome
    results: Mapping[str, tuple[CheckResult, ...]] = field(default_factory=dict)  # by output
    error: LinealError | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a worker has at hand: the vault, the engine, and a way to run user code.

    `known_result`: what a check found before, by fingerprint; a worker process knows of none.
    """

    vault: Vault
    engine: Engine
    user_code: UserCode
    scratch: Callable[[], Any]  # a new empty folder, as a path object
    as_path: Callable[[str], Any]
    open: Callable[[Resource, Mapping[str, Any]], Any]  # a resource, once a worker
    known_result: Callable[[str], CheckResult | None]
    # A block that ends with StepTimeout when it takes longer; in a worker process it is killed.
    limited: Callable[[float | None, str], AbstractContextManager[None]]


def work(task: Task, workshop: Workshop) -> Done:
    """Make a step and judge it: what every executor runs.

    What is wrong with the step alone comes back as data; any other exception goes through.
    """
    started = time.perf_counter()
    try:
        outcome = perform(task, workshop) if task.kept is None else Outcome({}, 0.0)
        results = judge(task, outcome, workshop)
    except (StepError, QueryError, SourceMissing, IntegrityError) as error:
        error.where = error.where or str(task.asset.where)
        return Done(Outcome({}, time.perf_counter() - started), error=error)
    return Done(outcome, results)


def perform(task: Task, workshop: Workshop) -> Outcome:
    """Compute the outputs of one step and bring them into canonical form.

    Raises:
        UserCodeError: the user's code raised.
        ContentError: a value that can't be stored, or breaks the contract.
        StepError: anything else that belongs to this step alone.
    """
    started = time.perf_counter()
    asset = task.asset
    traced: Trace | None = None
    if asset.gate is not None:
        return _weigh(task, workshop, started)
    if asset.kind in ("files", "sql"):
        with workshop.limited(task.timeout, str(task.step)):
            value = _ingest(task, workshop) if asset.kind == "files" else _query(task, workshop)
            made = {asset.name: _canonical(asset, asset.name, value, workshop)}
    else:
        values, traced = _call(task, workshop)
        keep = _canonical if task.promoted is None else _noted
        made = {o: keep(asset, o, value, workshop) for o, value in values.items()}
        if asset.derives:
            refuse_untrue(asset.derives, _sides(task, made))
    seconds = time.perf_counter() - started
    if traced is None:
        return Outcome(made, seconds)
    return Outcome(made, seconds, traced.unwatched, traced.written)


def _weigh(task: Task, workshop: Workshop, started: float) -> Outcome:
    """The scores of a gate: those of the candidate are what it makes."""
    asset = task.asset
    vault = workshop.vault
    weighed, traces = weigh(task, lambda each: _call(each, workshop), vault.runs_as_stored)
    made = {}
    if weighed.scores is not None:
        scores = Result(dict(weighed.scores), weighed.scores)
        made[asset.name] = _canonical(asset, asset.name, scores, workshop)
    unwatched = dict.fromkeys(each for trace in traces for each in trace.unwatched)
    written = dict.fromkeys(each for trace in traces for each in trace.written)
    seconds = time.perf_counter() - started
    return Outcome(made, seconds, tuple(unwatched), tuple(written), weighed)


def _ingest(task: Task, workshop: Workshop) -> Any:
    if task.asset.files is None or task.observation is None:
        raise StepError(f"`{task.asset.name}` was not observed")
    return workshop.engine.ingest(task.asset.files, task.observation)


def _query(task: Task, workshop: Workshop) -> Any:
    if task.asset.query is None:
        raise StepError(f"`{task.asset.name}` has no SQL")
    inputs = {
        given.asset or given.parameter: versions_of(task, task.inputs[given.parameter])
        for given in task.asset.inputs
    }
    parameters = reveal(task.parameters, f"`{task.asset.name}`", str(task.asset.where))
    parameters.update(partition_parameters(task.asset, task.step.partition))
    query, contract = task.asset.query, task.asset.contract
    return workshop.engine.query(query, inputs, parameters, contract, task.sights)


def version_of(task: Task, known: Known) -> Content | Canonical:
    """A version from memory if this run still holds it, else from the store."""
    held = task.held.get(Step(known.asset, known.partition))
    if held is not None:
        return held
    if known.content is None:
        raise StepError(f"`{known.asset}` has no version to read")
    return known.content


def versions_of(task: Task, handed: Handed) -> Versions:
    """What is handed over for an input: one version, or those of several partitions by key."""
    if not handed.many:
        return version_of(task, handed.versions[0])
    return {str(known.partition): version_of(task, known) for known in handed.versions}


def _call(task: Task, workshop: Workshop) -> tuple[dict[str, Any], Trace]:
    asset = task.asset
    if asset.function is None:
        raise StepError(f"`{asset.name}` has no function")
    arguments: dict[str, Any] = {}
    for given in asset.inputs:
        arguments[given.parameter] = hand_over(task, given, workshop)
    if task.promoted is not None:
        arguments[task.promoted.parameter] = task.promoted.opened(workshop.vault)
    if asset.folder_parameter is not None:
        arguments[asset.folder_parameter] = workshop.scratch()
    if asset.takes_partition and asset.partitions is not None and task.step.partition is not None:
        arguments["partition"] = asset.partitions.partition(task.step.partition)
    declared = [path for paths in task.paths.values() for path in paths]
    limit = workshop.limited(task.timeout, str(task.step))
    with (
        workshop.user_code.running(task.recipe, str(task.step), task.log, declared) as trace,
        limit,
    ):
        arguments.update(_from_outside(asset, task.parameters, task, workshop))
        values = _by_output(asset, call_by_name(asset.function, arguments))
        if task.promoted is None:
            values = {o: _taken_in(asset, o, value, workshop) for o, value in values.items()}
    drifted = workshop.user_code.drift(asset)
    if drifted is not None and task.promoted is None:  # no fingerprint rests on an action's code
        raise StepError(
            drifted,
            where=str(asset.where),
            advice="a constant that code changes can't be part of a recipe: "
            "return the value, or make it an asset",
        )
    return values, trace


def _from_outside(
    reader: Asset | Check, parameters: Mapping[str, Any], task: Task, workshop: Workshop
) -> dict[str, Any]:
    """Parameters with their secrets, and resources: where user code runs, and its logs are kept."""
    found = reveal(parameters, f"`{reader.name}`", str(reader.where))
    for parameter, resource in reader.resources:
        found[parameter] = workshop.open(resource, task.resources[resource.name])
    return found


def call_by_name(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call with arguments by name, positional-only parameters included."""
    code = getattr(function, "__code__", None)
    first = code.co_varnames[: code.co_posonlyargcount] if code is not None else ()
    given = dict(arguments)
    positional = [given.pop(name) for name in first if name in given]
    return function(*positional, **given)


def _taken_in(asset: Asset, output: str, value: Any, workshop: Workshop) -> Any:
    """The code of an iterator is user code: its batches are taken in where user code runs."""
    if isinstance(value, LateResult):
        return value
    whole = value.value if isinstance(value, Result) else value
    if not isinstance(whole, Iterator) and not hasattr(whole, "read_next_batch"):
        return value
    return _canonical(asset, output, value, workshop)


def hand_over(task: Task, given: Input, workshop: Workshop) -> Any:
    """One input, as the function wants it; None where no partition is read."""
    return _arrived(task, given, task.inputs[given.parameter], workshop)


def _arrived(task: Task, given: Input, handed: Handed, workshop: Workshop) -> Any:
    if not handed.versions and not handed.many:
        return None
    if handed.many and given.each:
        return {
            known.partition: _one_version(task, given.alone, known, workshop)
            for known in handed.versions
        }
    if given.arrival == "paths" and handed.many:
        return [path for known in handed.versions for path in _files(task, known, workshop)]
    if not handed.many:
        return _one_version(task, given, handed.versions[0], workshop)
    if given.arrival == "result":
        raise StepError(
            f"`{given.parameter}` is one Result, and {len(handed.versions):,} partitions are read",
            where=str(task.asset.where),
            advice=f"annotate it {given.parameter}: dict[str, Result]",
        )
    return workshop.vault.load(versions_of(task, handed), given.arrival, given.columns)


def _one_version(task: Task, given: Input, known: Known, workshop: Workshop) -> Any:
    if given.arrival == "result":
        version = version_of(task, known)
        return LateResult(
            lambda: workshop.vault.load(version, "auto", given.columns),
            dict(known.metrics),
            None if given.columns else version,
        )
    if given.arrival in ("path", "paths") and known.observation is not None:
        paths = _files(task, known, workshop)
        if given.arrival == "paths":
            return paths
        if len(paths) != 1:
            raise StepError(
                f"`{known.asset}` has {len(paths)} files, and `{given.parameter}` takes one path",
                where=str(task.asset.where),
                advice=f"annotate it {given.parameter}: list[Path]",
            )
        return paths[0]
    return workshop.vault.load(version_of(task, known), given.arrival, given.columns)


def _files(task: Task, known: Known, workshop: Workshop) -> list[Any]:
    if known.observation is None:
        found: list[Any] = workshop.vault.load(version_of(task, known), "paths")
        return found
    return [workshop.as_path(p) for p in task.paths[Step(known.asset, known.partition)]]


def _sides(task: Task, made: Mapping[str, Made]) -> Sides:
    """The columns that were handed over, and those that came out."""
    given = {i.parameter: i.columns for i in task.asset.inputs}
    read: dict[str, set[str]] = {}
    for parameter, handed in task.inputs.items():
        versions = (version_of(task, known) for known in handed.versions)
        contents = (v if isinstance(v, Content) else v.content for v in versions)
        names = {column.name for content in contents for column in content.columns}
        declared = given.get(parameter)
        read[parameter] = names if declared is None else names & set(declared)
    return Sides({o: _names(m) for o, m in made.items()}, read)


def _names(made: Made) -> list[str]:
    whole = [made.canonical, *(part for _, part in made.parts)]
    return list(dict.fromkeys(column.name for each in whole for column in each.content.columns))


def _by_output(asset: Asset, returned: Any) -> dict[str, Any]:
    """Split what a function of several outputs returned; one output is the value itself."""
    if not asset.several:
        return {asset.outputs[0]: returned}
    whole = returned.value if isinstance(returned, Result) else returned
    names = asset.outputs
    if isinstance(whole, Mapping):
        if set(whole) != set(names):
            raise ContentError(
                f"`{asset.name}` returned {_listed(whole)}, not its outputs {_listed(names)}",
                where=str(asset.where),
            )
        return {name: whole[name] for name in names}
    if isinstance(whole, tuple | list) and len(whole) == len(names):
        return dict(zip(names, whole, strict=True))
    raise ContentError(
        f"`{asset.name}` has {len(names)} outputs, {_listed(names)}; it returned "
        f"{'one' if not isinstance(whole, tuple | list) else len(whole)}: a {type(whole).__name__}",
        where=str(asset.where),
        advice="return a dict with those names, or a tuple in that order",
    )


def _listed(names: Any) -> str:
    return ", ".join(f"`{n}`" for n in names)


def _canonical(asset: Asset, output: str, value: Any, workshop: Workshop) -> Made:
    if isinstance(value, Made):  # it was taken in already
        return value
    result = value if isinstance(value, Result) else Result(value)
    whole = _whole(asset, result)
    if whole is None and _promises_a_value(asset):
        raise ContentError(
            f"`{output}` returned None, and its annotation promises another type",
            where=str(asset.where),
            advice="is a `return` missing?",
        )
    try:
        canonical = workshop.vault.canonical(
            whole,
            asset.contract,
            rows=asset.returns_rows,
            name=output,
            by=asset.sliced_by,
        )
    except LinealError as error:
        error.where = error.where or str(asset.where)
        raise
    noted = {} if isinstance(result, LateResult) else result.metadata
    metadata = _plain(noted, f"metadata of {output}", workshop)
    parts: tuple[tuple[str, Canonical], ...] = tuple(getattr(canonical, "parts", ()))
    if parts:
        metadata = {**metadata, "slices": [[key, part.content.digest] for key, part in parts]}
    return Made(canonical, _numbers(result.metrics, output), metadata, parts)


def _noted(asset: Asset, output: str, value: Any, workshop: Workshop) -> Made:
    """What an action returned. Its work is done outside: what can't be kept must not undo that."""
    try:
        return _canonical(asset, output, value, workshop)
    except ContentError as error:
        return _canonical(asset, output, f"not kept: {error.message}", workshop)


def _whole(asset: Asset, result: Result) -> Any:
    """The value; or the version that is handed on as it is, if the asset promises nothing more."""
    late = result if isinstance(result, LateResult) else result.value
    if not isinstance(late, LateResult):
        return late
    plain = asset.contract == Contract() and asset.sliced_by is None
    version = late.untouched if plain else None
    in_place = isinstance(version, Content) and not version.objects
    return late.value if version is None or in_place else version


def _promises_a_value(asset: Asset) -> bool:
    """Does the function say what it returns, and may that not be None?"""
    said = getattr(asset.function, "__annotations__", {}).get("return", "None")
    if said is None or said is type(None):
        return False
    text = said if isinstance(said, str) else getattr(said, "__name__", "") or repr(said)
    return not any(word in f"{text} {said!r}" for word in ("None", "Optional", "Any", "Result"))


def _plain(metadata: Mapping[str, Any], name: str, workshop: Workshop) -> Mapping[str, Any]:
    """Metadata as JSON gives it back: what can't be written down is refused in the step."""
    if not metadata:
        return {}
    held = workshop.vault.canonical(dict(metadata), Contract(format="json"), rows=False, name=name)
    plain: Mapping[str, Any] = workshop.vault.load(held, "object")
    return plain


def _numbers(metrics: Mapping[str, Any], output: str) -> dict[str, float]:
    found = {}
    for name, value in metrics.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):
            raise ContentError(
                f"the metric `{name}` of `{output}` is a {type(value).__name__}, not a number",
                advice="numbers go to metrics, other plain values to metadata",
            ) from None
    return found


# ------------------------------------------------------------------------------------- checks


def judge(task: Task, outcome: Outcome, workshop: Workshop) -> dict[str, tuple[CheckResult, ...]]:
    """What every check says of every output: those that are known, and those run now."""
    results: dict[str, tuple[CheckResult, ...]] = {}
    for output, bound in task.checks.items():
        if not bound:
            results[output] = ()
            continue
        version: Canonical | Content = (
            outcome.made[output].canonical if task.kept is None else task.kept[output]
        )
        content = version if isinstance(version, Content) else version.content
        planned = [(planned_check(one, output, content), one) for one in bound]
        found = {p.fingerprint: workshop.known_result(p.fingerprint) for p, _ in planned}
        unknown = [pair for pair in planned if found[pair[0].fingerprint] is None]
        found.update(_run_checks(unknown, output, version, task, workshop))
        told = [found[p.fingerprint] for p, _ in planned]
        results[output] = tuple(replace(r, asset=output) for r in told if r is not None)
    return results


def _run_checks(
    planned: Sequence[tuple[PlannedCheck, BoundCheck]],
    output: str,
    version: Canonical | Content,
    task: Task,
    workshop: Workshop,
) -> dict[str, CheckResult]:
    """Judge one version. Ready-made checks go together, in one scan; functions one by one."""
    found: dict[str, CheckResult] = {}
    rules = [(p, b) for p, b in planned if b.check.rule is not None]
    if rules:
        started = time.perf_counter()
        others = {
            name: versions_of(task, handed) for _, b in rules for name, handed in b.handed.items()
        }
        verdicts = workshop.engine.audit(
            [b.check for _, b in rules], version, others, task.previous.get(output)
        )
        each = (time.perf_counter() - started) / len(rules)
        for (one, _), verdict in zip(rules, verdicts, strict=True):
            found[one.fingerprint] = _result(one, output, version, verdict, each, task)
    for one, bound in planned:
        if bound.check.function is not None:
            found[one.fingerprint] = _run_function(one, bound, output, version, task, workshop)
    return found


def _run_function(
    one: PlannedCheck,
    bound: BoundCheck,
    output: str,
    version: Canonical | Content,
    task: Task,
    workshop: Workshop,
) -> CheckResult:
    started = time.perf_counter()
    check = one.check
    arguments: dict[str, Any] = {}
    for given in check.inputs:
        if given.asset == output:
            source: Any = version
        elif given.each or given.arrival == "result":
            handed = bound.handed[given.asset or ""]
            arguments[given.parameter] = _arrived(task, given, handed, workshop)
            continue
        else:
            source = versions_of(task, bound.handed[given.asset or ""])
        arguments[given.parameter] = workshop.vault.load(source, given.arrival, given.columns)
    traces: list[Trace] = []
    verdict = workshop.engine.judge(
        lambda: _in_user_code(arguments, one, task, workshop, traces), check.name
    )
    found = _result(one, output, version, verdict, time.perf_counter() - started, task)
    return replace(found, unwatched=traces[0].unwatched if traces else ())


def _in_user_code(
    arguments: Mapping[str, Any],
    one: PlannedCheck,
    task: Task,
    workshop: Workshop,
    traces: list[Trace],
) -> Any:
    if one.check.function is None:
        raise StepError(f"the check `{one.check.name}` has no function")
    with workshop.user_code.running(one.recipe, str(task.step), task.log, ()) as trace:
        traces.append(trace)
        outside = _from_outside(one.check, one.check.parameters, task, workshop)
        return call_by_name(one.check.function, {**arguments, **outside})


def _result(
    one: PlannedCheck,
    output: str,
    version: Canonical | Content,
    verdict: Any,
    seconds: float,
    task: Task,
) -> CheckResult:
    content = version if isinstance(version, Content) else version.content
    return CheckResult(
        fingerprint=one.fingerprint,
        name=one.check.name,
        asset=output,
        partition=task.step.partition,
        content=content.digest,
        severity=one.check.severity,
        passed=verdict.passed,
        recipe=one.recipe.digest,
        failing_rows=verdict.failing_rows,
        message=verdict.message,
        sample=verdict.sample,
        seconds=seconds,
    )
