"""Runs and materializations as events of OpenLineage: pure, facts in, plain values out.

A lineal run is a run of the job `lineal.run`; each of its materializations is one of the job named
as the asset, and what its checks said one of the job `<asset>.checks`. Ids are derived from the
store and the materialization: events told twice are the same events.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.assets.records import (
    AssetFacts,
    CheckResult,
    Materialization,
    Recipe,
    RunEnded,
    RunStarted,
    Used,
)
from lineal.lineage import facets
from lineal.lineage.facets import Dependency, Fields

Event = dict[str, Any]

_IDS = uuid.UUID("7b0d4a5e-52a5-5c1b-9c55-0f3a4ce1a9d1")  # of lineal's runs, among all UUIDs
_RUN_JOB = "lineal.run"  # no asset's name has a dot
_RUN_ENDS = MappingProxyType({"done": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"})


class Known(NamedTuple):
    """A materialization, and what is known of all that it refers to.

    `sources`: the materializations that its inputs are, by id. `dependencies`: between columns.
    """

    made: Materialization
    sources: Mapping[str, Materialization] = MappingProxyType({})
    checks: tuple[CheckResult, ...] = ()
    recipe: Recipe | None = None
    declared: AssetFacts | None = None
    dependencies: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the runs of one store.

    Args:
        namespace: of its jobs and datasets.
        root: the project's folder, from which the paths of files count.
        store: what no other store has in common with it.
        version: lineal's, which tells.
    """

    namespace: str
    root: str
    store: str
    version: str

    def run(
        self, started: RunStarted, ended: RunEnded | None, known: Iterable[Known]
    ) -> Iterator[Event]:
        """The events of one run, in the order in which things were recorded.

        One without an end goes on, or its process died: it has a START and no more.
        """
        job = self._job(_RUN_JOB, "RUN", {})
        yield self._event("START", started.started_at, self._lineal_run(started, {}), job)
        for each in known:
            yield from self._step(started, each)
            if each.checks:
                yield from self._checks(started, each)
        if ended is not None:
            run = self._lineal_run(started, {"counts": dict(ended.counts)})
            yield self._event(_RUN_ENDS[ended.outcome], ended.ended_at, run, job)

    def _lineal_run(self, started: RunStarted, more: Fields) -> Fields:
        told = {
            "run": started.run,
            "environment": started.environment,
            "command": list(started.command),
            "gitCommit": started.git_commit,
            "gitDirty": started.git_dirty,
            "planned": started.planned,
            **({} if started.sources is None else {"code": started.sources.digest}),
            **more,
        }
        return {
            "runId": self._id(started.run),
            "facets": self._facets("Run", processing_engine=self._engine(started), lineal_run=told),
        }

    # ---------------------------------------------------------------------------------- one step

    def _step(self, started: RunStarted, known: Known) -> Iterator[Event]:
        made = known.made
        described = known.declared.partitions if known.declared else ""
        begun = {
            "parent": self._parent(started),
            "nominalTime": facets.nominal_time(made.partition, described),
            "processing_engine": self._engine(started),
        }
        name = self._id(made.id)
        run = {"runId": name, "facets": self._facets("Run", **begun)}
        first = self._job(made.asset, "ASSET", {})
        yield self._event("START", made.started_at or started.started_at, run, first)
        failing = [c for c in known.checks if not c.passed and c.severity == "error"]
        over = {
            **begun,
            "errorMessage": facets.error(made, failing),
            "executionParameters": facets.parameters(made),
            "lineal_materialization": facets.materialization(made),
        }
        about = {**facets.declared(known.declared), **facets.code(made, known.recipe)}
        yield self._event(
            "COMPLETE" if _is_published(made) else "FAIL",
            _end(started, made),
            {"runId": name, "facets": self._facets("Run", **over)},
            self._job(made.asset, "ASSET", about),
            inputs=[*self._files(made), *self._inputs(known)],
            outputs=[self._output(known)],
        )

    def _files(self, made: Materialization) -> list[Fields]:
        """The files of a source, which lineal reads and does not make."""
        return [
            {
                "namespace": "file",
                "name": facets.file_name(self.root, file),
                "facets": self._facets(
                    "Dataset",
                    version={"datasetVersion": file.digest},
                    datasetType={"datasetType": "FILE"},
                ),
                "inputFacets": self._facets(
                    "InputDataset", inputStatistics={"size": file.bytes, "fileCount": 1}
                ),
            }
            for file in made.files
        ]

    def _inputs(self, known: Known) -> list[Fields]:
        """What was read: an asset once, however many of its partitions, in whatever ways."""
        reads: dict[str, list[Used]] = {}
        for used in known.made.inputs:
            if used.materialization:  # a source reads its files, which are datasets themselves
                reads.setdefault(used.asset, []).append(used)
        return [self._input(known, asset, uses) for asset, uses in reads.items()]

    def _input(self, known: Known, asset: str, uses: list[Used]) -> Fields:
        sources = [known.sources.get(used.materialization) for used in uses]
        contents = [source.content if source is not None else None for source in sources]
        versions = {used.content for used in uses}
        one = contents[0] if len(versions) == 1 else None
        looked_into = any(used.mode in ("all", "columns", "result") for used in uses)
        once = {u.materialization: (u, c) for u, c in zip(uses, contents, strict=True)}
        return {
            **self._dataset(asset),
            "facets": self._facets("Dataset", **(facets.content(one) if one else {})),
            "inputFacets": self._facets(
                "InputDataset",
                inputStatistics=facets.input_statistics(once.values()) if looked_into else None,
                subset=facets.subset("input", (used.partition for used in uses)),
                lineal_reads=facets.read(uses),
            ),
        }

    def _output(self, known: Known) -> Fields:
        """The dataset of the asset; of a version that was not published it says nothing more."""
        made = known.made
        name = self._dataset(made.asset)
        if made.content is None or not _is_published(made):
            return name
        about = {
            **facets.content(made.content),
            **facets.declared(known.declared),
            "columnLineage": facets.column_lineage(self.namespace, known.dependencies),
        }
        written = facets.statistics(made.content) if made.outcome == "made" else None
        return {
            **name,
            "facets": self._facets("Dataset", **about),
            "outputFacets": self._facets(
                "OutputDataset",
                outputStatistics=written,
                subset=facets.subset("output", [made.partition]),
            ),
        }

    # -------------------------------------------------------------------------------- its checks

    def _checks(self, started: RunStarted, known: Known) -> Iterator[Event]:
        """What the checks said of a version: tests are jobs that read what they judge."""
        made = known.made
        at = _end(started, made)
        run = {
            "runId": self._id(f"{made.id} checks"),
            "facets": self._facets(
                "Run", parent=self._parent(started), processing_engine=self._engine(started)
            ),
        }
        job = self._job(f"{made.asset}.checks", "TEST", {})
        yield self._event("START", at, run, job)
        version = {"datasetVersion": known.checks[0].content}
        judged = {
            **self._dataset(made.asset),
            "facets": self._facets("Dataset", version=version),
            "inputFacets": self._facets(
                "InputDataset",
                dataQualityAssertions=facets.assertions(known.checks),
                subset=facets.subset("input", [made.partition]),
            ),
        }
        passed = all(check.passed or check.severity != "error" for check in known.checks)
        yield self._event("COMPLETE" if passed else "FAIL", at, run, job, inputs=[judged])

    # ------------------------------------------------------------------------------------- pieces

    @property
    def _producer(self) -> str:
        return f"pkg:generic/lineal@{self.version}"

    def _id(self, name: str) -> str:
        return str(uuid.uuid5(_IDS, f"{self.store}/{name}"))

    def _event(
        self,
        kind: str,
        at: float,
        run: Fields,
        job: Fields,
        inputs: list[Fields] | None = None,
        outputs: list[Fields] | None = None,
    ) -> Event:
        return {
            "eventType": kind,
            "eventTime": facets.time_text(at),
            "producer": self._producer,
            "schemaURL": facets.EVENT_SCHEMA,
            "run": run,
            "job": job,
            "inputs": inputs or [],
            "outputs": outputs or [],
        }

    def _job(self, name: str, kind: str, about: dict[str, Fields]) -> Fields:
        kinds = {"processingType": "BATCH", "integration": "LINEAL", "jobType": kind}
        return {
            "namespace": self.namespace,
            "name": name,
            "facets": self._facets("Job", jobType=kinds, **about),
        }

    def _dataset(self, asset: str) -> Fields:
        return {"namespace": self.namespace, "name": asset}

    def _parent(self, started: RunStarted) -> Fields:
        return {
            "run": {"runId": self._id(started.run)},
            "job": {"namespace": self.namespace, "name": _RUN_JOB},
        }

    def _engine(self, started: RunStarted) -> Fields:
        return {
            "name": "lineal",
            "version": started.lineal,
            "openlineageAdapterVersion": self.version,
        }

    def _facets(self, kind: str, /, **found: Fields | None) -> dict[str, Fields]:
        return {
            key: {"_producer": self._producer, "_schemaURL": facets.schema_of(key, kind), **fields}
            for key, fields in found.items()
            if fields is not None
        }


def to_line(event: Event) -> str:
    """An event as one line of JSON, in ASCII: no terminal and no odd file name can break it."""
    return json.dumps(event, allow_nan=False, separators=(",", ":"))


def _is_published(made: Materialization) -> bool:
    return made.outcome in ("made", "reused")


def _end(started: RunStarted, made: Materialization) -> float:
    return (made.started_at or started.started_at) + made.seconds
