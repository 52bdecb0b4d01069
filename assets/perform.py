"""Perform one step: load inputs, compute, bring into canonical form, check. Runs in a worker.

Nothing here records anything: effects come back as an `Outcome`, and only the loop writes facts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from lineal.assets.asset import Asset, Contract, Input, Result
from lineal.assets.errors import ContentError, LinealError, StepError
from lineal.assets.plan import Known, PlannedCheck
from lineal.assets.ports import Canonical, Engine, Vault
from lineal.assets.records import CheckResult, Content, Recipe


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
        self, recipe: Recipe, log: str, declared: Sequence[str]
    ) -> AbstractContextManager[Trace]:
        """A block in which user code runs, its random generators seeded from the recipe.

        Exceptions of user code leave it as UserCodeError. `log` names the log of the step;
        `declared` are the files that it may read.
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What performing a computation gave. Effects as data."""

    made: Mapping[str, Made]
    seconds: float
    unwatched: tuple[tuple[str, str, str], ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker needs to know to compute an asset.

    `inputs` maps a parameter to the version it reads; `paths` are the files of sources, absolute.
    """

    asset: Asset
    recipe: Recipe
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Known]
    held: Mapping[str, Canonical]  # outputs of this run that are still in memory
    paths: Mapping[str, Sequence[str]]  # by source
    log: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a worker has at hand: the vault, the engine, and a way to run user code."""

    vault: Vault
    engine: Engine
    user_code: UserCode
    scratch: Callable[[], Any]  # a new empty folder, as a path object
    as_path: Callable[[str], Any]


def perform(task: Task, workshop: Workshop) -> Outcome:
    """Compute the outputs of one asset and bring them into canonical form.

    Raises:
        UserCodeError: the user's code raised.
        ContentError: a value that can't be stored, or breaks the contract.
        StepError: anything else that belongs to this step alone.
    """
    started = time.perf_counter()
    asset = task.asset
    traced: Trace | None = None
    if asset.kind == "files":
        values = {asset.name: _ingest(task, workshop)}
    elif asset.kind == "sql":
        values = {asset.name: _query(task, workshop)}
    else:
        values, traced = _call(task, workshop)
    made = {output: _canonical(asset, output, value, workshop) for output, value in values.items()}
    seconds = time.perf_counter() - started
    if traced is None:
        return Outcome(made, seconds)
    return Outcome(made, seconds, traced.unwatched, traced.written)


def _ingest(task: Task, workshop: Workshop) -> Any:
    observation = task.inputs["files"].observation
    if task.asset.files is None or observation is None:
        raise StepError(f"`{task.asset.name}` was not observed")
    return workshop.engine.ingest(task.asset.files, observation)


def _query(task: Task, workshop: Workshop) -> Any:
    if task.asset.query is None:
        raise StepError(f"`{task.asset.name}` has no SQL")
    inputs = {
        given.asset or given.parameter: version_of(task, task.inputs[given.parameter])
        for given in task.asset.inputs
    }
    return workshop.engine.query(task.asset.query, inputs, task.parameters, task.asset.contract)


def version_of(task: Task, known: Known) -> Content | Canonical:
    """A version from memory if this run still holds it, else from the store."""
    held = task.held.get(known.asset)
    if held is not None:
        return held
    if known.content is None:
        raise StepError(f"`{known.asset}` has no version to read")
    return known.content


def _call(task: Task, workshop: Workshop) -> tuple[dict[str, Any], Trace]:
    asset = task.asset
    if asset.function is None:
        raise StepError(f"`{asset.name}` has no function")
    arguments: dict[str, Any] = {}
    for given in asset.inputs:
        arguments[given.parameter] = hand_over(task, given, workshop)
    if asset.folder_parameter is not None:
        arguments[asset.folder_parameter] = workshop.scratch()
    arguments.update(task.parameters)
    declared = [path for paths in task.paths.values() for path in paths]
    with workshop.user_code.running(task.recipe, task.log, declared) as trace:
        values = _by_output(asset, call_by_name(asset.function, arguments))
        values = {o: _taken_in(asset, o, value, workshop) for o, value in values.items()}
    drifted = workshop.user_code.drift(asset)
    if drifted is not None:
        raise StepError(
            drifted,
            where=str(asset.where),
            advice="a constant that code changes can't be part of a recipe: "
            "return the value, or make it an asset",
        )
    return values, trace


def call_by_name(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call with arguments by name, positional-only parameters included."""
    code = getattr(function, "__code__", None)
    first = code.co_varnames[: code.co_posonlyargcount] if code is not None else ()
    given = dict(arguments)
    positional = [given.pop(name) for name in first if name in given]
    return function(*positional, **given)


def _taken_in(asset: Asset, output: str, value: Any, workshop: Workshop) -> Any:
    """The code of an iterator is user code: its batches are taken in where user code runs."""
    whole = value.value if isinstance(value, Result) else value
    if not isinstance(whole, Iterator) and not hasattr(whole, "read_next_batch"):
        return value
    return _canonical(asset, output, value, workshop)


def hand_over(task: Task, given: Input, workshop: Workshop) -> Any:
    """One input, as the function wants it."""
    known = task.inputs[given.parameter]
    if given.arrival in ("path", "paths") and known.observation is not None:
        paths = [workshop.as_path(p) for p in task.paths[known.asset]]
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
    if result.value is None and _promises_a_value(asset):
        raise ContentError(
            f"`{output}` returned None, and its annotation promises another type",
            where=str(asset.where),
            advice="is a `return` missing?",
        )
    try:
        canonical = workshop.vault.canonical(
            result.value, asset.contract, rows=asset.returns_rows, name=output
        )
    except LinealError as error:
        error.where = error.where or str(asset.where)
        raise
    metadata = _plain(result.metadata, f"metadata of {output}", workshop)
    return Made(canonical, _numbers(result.metrics, output), metadata)


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


def run_checks(
    planned: Sequence[PlannedCheck],
    output: str,
    version: Canonical | Content,
    task: Task,
    previous: Content | None,
    workshop: Workshop,
) -> list[CheckResult]:
    """Judge one version. Ready-made checks go together, in one scan; functions one by one."""
    rules = [p for p in planned if p.check.rule is not None]
    found: dict[str, CheckResult] = {}
    if rules:
        started = time.perf_counter()
        others = {
            given.asset or "": version_of(task, task.inputs[given.asset or ""])
            for p in rules
            for given in p.check.inputs
            if given.asset != output
        }
        verdicts = workshop.engine.audit([p.check for p in rules], version, others, previous)
        each = (time.perf_counter() - started) / len(rules)
        for one, verdict in zip(rules, verdicts, strict=True):
            found[one.fingerprint] = _result(one, output, version, verdict, each)
    for one in planned:
        if one.check.function is not None:
            found[one.fingerprint] = _run_function(one, output, version, task, workshop)
    return [found[p.fingerprint] for p in planned]


def _run_function(
    one: PlannedCheck, output: str, version: Canonical | Content, task: Task, workshop: Workshop
) -> CheckResult:
    started = time.perf_counter()
    check = one.check
    arguments: dict[str, Any] = {}
    for given in check.inputs:
        source = version
        if given.asset != output:
            source = version_of(task, task.inputs[given.asset or ""])
        arguments[given.parameter] = workshop.vault.load(source, given.arrival, given.columns)
    arguments.update(check.parameters)
    traces: list[Trace] = []
    verdict = workshop.engine.judge(
        lambda: _in_user_code(arguments, one, task, workshop, traces), check.name
    )
    found = _result(one, output, version, verdict, time.perf_counter() - started)
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
    with workshop.user_code.running(one.recipe, task.log, ()) as trace:
        traces.append(trace)
        return call_by_name(one.check.function, arguments)


def _result(
    one: PlannedCheck, output: str, version: Canonical | Content, verdict: Any, seconds: float
) -> CheckResult:
    content = version if isinstance(version, Content) else version.content
    return CheckResult(
        fingerprint=one.fingerprint,
        name=one.check.name,
        asset=output,
        partition=None,
        content=content.digest,
        severity=one.check.severity,
        passed=verdict.passed,
        recipe=one.recipe.digest,
        failing_rows=verdict.failing_rows,
        message=verdict.message,
        sample=verdict.sample,
        seconds=seconds,
    )
