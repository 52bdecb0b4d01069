"""Facts as rows of the catalog's tables: pure, one function a fact, in the order of the columns."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from lineal.assets.records import (
    Acceptance,
    AssetFacts,
    CheckResult,
    Content,
    Decided,
    EnvironmentFacts,
    ErrorFacts,
    Fact,
    Hold,
    Materialization,
    Promotion,
    Publication,
    Recipe,
    Registered,
    Retirement,
    RunEnded,
    RunStarted,
    Score,
    Tagged,
)
from lineal.lineage.fact_json import to_json

OUTCOMES = ("fresh", "made", "reused", "failed", "skipped", "blocked", "closed", "cancelled")
_EPOCH = dt.datetime(1970, 1, 1)


class Rows(defaultdict[str, list[tuple[Any, ...]]]):
    """Rows by table, for one insert; `run_ended` is no table: it completes rows of `run`."""

    def __init__(self) -> None:
        super().__init__(list)
        self._seen: set[tuple[str, str]] = set()
        self._nodes: dict[str, str] = {}

    def first(self, table: str, key: str) -> bool:
        """Is it the first time that this key of this table is met here?"""
        unseen = (table, key) not in self._seen
        self._seen.add((table, key))
        return unseen

    def node(self, version: str) -> str:
        """What the edges call a version: half of a digest of its name, as sixteen bytes."""
        node = self._nodes.get(version)
        if node is None:
            node = sha256(version.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            self._nodes[version] = node
        return node


def version_id(asset: str, partition: str | None, digest: str) -> str:
    """How a version is named in the catalog: `flights@9f3a…`, `flights 2013-01@9f3a…`."""
    step = asset if partition is None else f"{asset} {partition}"
    return f"{step}@{digest}"


def add_rows(rows: Rows, fact: Fact, entry: int, position: int) -> None:
    """Add the rows of the fact that stands at a position of an entry."""
    _WRITERS[type(fact)](rows, fact, entry, position)


def _time(seconds: float) -> str | None:
    if seconds == 0:
        return None
    return (_EPOCH + dt.timedelta(microseconds=round(seconds * 1e6))).isoformat(" ")


def _run_started(rows: Rows, f: RunStarted, entry: int, position: int) -> None:
    not_yet = (None,) * (2 + len(OUTCOMES))
    rows["run"].append((
        f.run, entry, f.environment, f.who, f.host, f.command, f.python, f.lineal, f.git_commit,
        f.git_dirty, None if f.sources is None else f.sources.digest, f.planned,
        _time(f.started_at), *not_yet,
    ))  # fmt: skip


def _run_ended(rows: Rows, f: RunEnded, entry: int, position: int) -> None:
    counts = tuple(f.counts.get(outcome, 0) for outcome in OUTCOMES)
    rows["run_ended"].append((f.run, _time(f.ended_at), f.outcome, *counts))


def _asset(rows: Rows, f: AssetFacts, entry: int, position: int) -> None:
    columns = [{"name": name, "description": told} for name, told in f.columns]
    derives = [{"name": n, "parameter": p, "source_name": c} for n, p, c in f.derives]
    rows["asset"].append((
        f.asset, f.kind, f.description, f.owner, f.tags, f.where, f.columns_declared,
        f.partitions, columns, derives, entry, position,
    ))  # fmt: skip


def _recipe(rows: Rows, f: Recipe, entry: int, position: int) -> None:
    if not rows.first("code", f.digest):
        return
    watched = [{"path": path, "place": place} for path, place in f.watched]
    rows["code"].append((f.digest, f.opaque, f.imports, f.variables, f.impure, watched))
    rows["code_part"] += [
        (f.digest, n, p.name, p.kind, p.digest, p.value, p.where, p.via, p.text)
        for n, p in enumerate(f.parts)
    ]


def _environment(rows: Rows, f: EnvironmentFacts, entry: int, position: int) -> None:
    if not rows.first("package", f.digest):
        return
    rows["package"] += [
        (f.digest, "python", "python", f.python),
        *((f.digest, "package", name, version) for name, version in f.packages),
        *((f.digest, "variable", name, digest) for name, digest in f.variables),
    ]


def _check_result(rows: Rows, f: CheckResult, entry: int, position: int) -> None:
    version = version_id(f.asset, f.partition, f.content)
    rows["check_result"].append((
        f.fingerprint, f.name, f.asset, f.partition, version, f.severity, f.passed, f.recipe,
        f.failing_rows, f.message, f.sample, f.seconds, entry, position,
    ))  # fmt: skip


def _materialization(rows: Rows, f: Materialization, entry: int, position: int) -> None:
    content = f.content
    version = version_id(f.asset, f.partition, content.digest) if content else None
    origin = f.origin or f.id
    error = f.error
    failure = (error.type, error.message, error.where, error.line) if error else (None,) * 4
    rows["materialization"].append((
        f.id, _node(f.id), f.run, entry, position, f.asset, f.partition, f.outcome, f.kind, version,
        content and content.digest, content and content.format, origin, f.fingerprint, f.recipe,
        f.environment, f.contract, f.checks, _reasons(f), _unwatched(f), _metadata(f), *failure,
        _time(f.started_at), f.seconds,
    ))  # fmt: skip
    _attempts(rows, f)
    _inputs(rows, f, version)
    _edges(rows, f, origin, version)
    rows["parameter"] += [(f.id, name, value) for name, value in f.parameters]
    rows["metric"] += [(f.id, name, str(value)) for name, value in f.metrics]  # NaN is a text
    rows["source_file"] += [
        (
            f.id,
            version,
            f.asset,
            f.partition,
            n,
            file.path,
            file.digest,
            file.bytes,
            _modified(file.identity),
        )
        for n, file in enumerate(f.files)
    ]
    if content is not None:
        _version(rows, f, content)


def _attempts(rows: Rows, f: Materialization) -> None:
    """Those that failed, and the one that made it or failed for good; reuse is no attempt."""
    step = (f.id, f.asset, f.partition)
    tried: list[tuple[int, float, float, ErrorFacts | None]] = [*f.attempts]
    if f.outcome != "reused":
        last = max((a.number for a in f.attempts), default=0) + 1
        tried.append((last, f.started_at, f.seconds, f.error))
    rows["attempt"] += [
        (*step, number, _time(started), seconds,
         *((error.type, error.message, error.where) if error else (None,) * 3))
        for number, started, seconds, error in tried
    ]  # fmt: skip


def _node(materialization: str) -> int:
    """What the edges call a materialization, `r12.7`: a number is found sooner than a name."""
    run, _, number = materialization.partition(".")
    return (int(run[1:]) << 32) + int(number)


def _edges(rows: Rows, f: Materialization, origin: str, version: str | None) -> None:
    sources = dict.fromkeys(used.materialization for used in f.inputs if used.materialization)
    if origin != f.id:  # an observation is a root, also when it was parsed before
        sources = {} if f.kind in ("files", "fetch") else {origin: None}
    node = _node(f.id)
    rows["derivation_edge"] += [(node, _node(source)) for source in sources]
    if version is not None:
        version_node = rows.node(version)
        rows["version_edge"] += [
            (version_node, rows.node(version_id(u.asset, u.partition, u.content))) for u in f.inputs
        ]


def _inputs(rows: Rows, f: Materialization, version: str | None) -> None:
    rows["input"] += [(
        f.id, n, u.parameter, u.asset, u.partition, u.mode, u.digest, u.columns, version,
        u.materialization, version_id(u.asset, u.partition, u.content),
    ) for n, u in enumerate(f.inputs)]  # fmt: skip


def _version(rows: Rows, f: Materialization, content: Content) -> None:
    version = version_id(f.asset, f.partition, content.digest)
    if not rows.first("version", version):
        return
    objects = [o._asdict() for o in content.objects]
    rows["version"].append((
        version, rows.node(version), f.asset, f.partition, content.digest, content.format,
        content.rows, content.bytes, content.summary, objects, f.id,
    ))  # fmt: skip
    rows["version_column"] += [
        (version, n, c.name, c.type, c.digest) for n, c in enumerate(content.columns)
    ]


def _reasons(f: Materialization) -> list[dict[str, str]]:
    return [
        {"kind": r.kind, "culprit": r.culprit, "place": r.where, "old": r.old, "new": r.new}
        for r in f.reasons
    ]


def _unwatched(f: Materialization) -> list[dict[str, str]]:
    return [{"path": path, "digest": digest, "place": place} for path, digest, place in f.unwatched]


def _metadata(f: Materialization) -> str | None:
    return json.dumps(to_json(f)["metadata"]) if f.metadata else None


def _modified(identity: tuple[int, ...]) -> str | None:
    return _time(identity[3] / 1e9) if len(identity) > 3 else None


def _publication(rows: Rows, f: Publication, entry: int, position: int) -> None:
    version = version_id(f.asset, f.partition, f.content)
    rows["publication"].append((
        f.environment, f.asset, f.partition, f.materialization, version, f.run, int(f.run[1:]),
        entry, position,
    ))  # fmt: skip


def _retirement(rows: Rows, f: Retirement, entry: int, position: int) -> None:
    rows["retirement"].append((
        f.environment, f.asset, f.partition, f.materialization, f.reason, f.run, int(f.run[1:]),
        entry, position,
    ))  # fmt: skip


def _acceptance(rows: Rows, f: Acceptance, entry: int, position: int) -> None:
    rows["acceptance"].append(
        (f.asset, f.old_recipe, f.new_recipe, f.reason, f.who, _time(f.at), entry, position)
    )


def _registered(rows: Rows, f: Registered, entry: int, position: int) -> None:
    rows["registered_version"].append((
        f.registry, f.version, f.asset, f.partition, f.materialization, f.content, f.run, f.who,
        _time(f.at), f.tags, entry, position,
    ))  # fmt: skip


def _tagged(rows: Rows, f: Tagged, entry: int, position: int) -> None:
    rows["tagging"].append(
        (f.registry, f.version, f.tags, f.run, f.who, _time(f.at), entry, position)
    )


def _hold(rows: Rows, f: Hold, entry: int, position: int) -> None:
    rows["hold"].append((f.registry, f.held, f.run, f.who, f.reason, _time(f.at), entry, position))


def _decided(rows: Rows, f: Decided, entry: int, position: int) -> None:
    unscored = f"{f.unscored.type}: {f.unscored.message}" if f.unscored is not None else None
    rules = [{"metric": metric, "rule": rule} for metric, rule in f.rules]
    rows["decision"].append((
        f.gate, f.materialization, f.registry, f.alias, f.key, f.candidate, f.content, f.version,
        f.compared, f.outcome, f.reason, unscored, _scores(f.scores), rules, f.environment, f.run,
        _time(f.at), entry, position,
    ))  # fmt: skip


def _promotion(rows: Rows, f: Promotion, entry: int, position: int) -> None:
    rows["promotion"].append((
        f.id, f.registry, f.alias, f.version, f.previous, f.environment, f.run, f.who, f.how,
        f.reason, _scores(f.scores), f.gate or None, _time(f.at), entry, position,
    ))  # fmt: skip


def _scores(scores: tuple[Score, ...]) -> list[dict[str, str | None]]:
    return [
        {
            "metric": each.metric,
            "candidate": str(each.candidate),  # NaN is a text
            "production": None if each.production is None else str(each.production),
        }
        for each in scores
    ]


_WRITERS: Mapping[Any, Callable[[Rows, Any, int, int], None]] = {
    RunStarted: _run_started,
    RunEnded: _run_ended,
    AssetFacts: _asset,
    Recipe: _recipe,
    EnvironmentFacts: _environment,
    CheckResult: _check_result,
    Materialization: _materialization,
    Publication: _publication,
    Retirement: _retirement,
    Acceptance: _acceptance,
    Registered: _registered,
    Tagged: _tagged,
    Hold: _hold,
    Decided: _decided,
    Promotion: _promotion,
}
