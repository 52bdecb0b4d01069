"""What OpenLineage's facets say of a materialization: pure, facts in, plain values out."""

from __future__ import annotations

import datetime as dt
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from lineal.assets.errors import DefinitionError
from lineal.assets.periods import Kind, period, span
from lineal.assets.records import (
    SLICES,
    AssetFacts,
    CheckResult,
    Content,
    Materialization,
    Recipe,
    SourceFile,
    Used,
)

Fields = dict[str, Any]

_SPEC = "https://openlineage.io/spec"
EVENT_SCHEMA = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
# Where each facet is defined, by the key under which events carry it.
_FACETS = MappingProxyType(
    {
        "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
        "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
        "datasetType": "1-0-1/DatasetTypeDatasetFacet",
        "errorMessage": "1-0-1/ErrorMessageRunFacet",
        "executionParameters": "1-0-0/ExecutionParametersRunFacet",
        "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
        "jobType": "2-0-4/JobTypeJobFacet",
        "nominalTime": "1-0-1/NominalTimeRunFacet",
        "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
        "parent": "1-2-0/ParentRunFacet",
        "processing_engine": "1-1-1/ProcessingEngineRunFacet",
        "schema": "1-2-0/SchemaDatasetFacet",
        "sourceCode": "1-0-1/SourceCodeJobFacet",
        "sql": "1-1-0/SQLJobFacet",
        "version": "1-0-1/DatasetVersionDatasetFacet",
    }
)
# Facets of one key that jobs and datasets both have; the subsets, which share one file.
_OF_DATASETS = MappingProxyType(
    {
        "documentation": "1-1-0/DocumentationDatasetFacet",
        "ownership": "1-0-1/OwnershipDatasetFacet",
        "tags": "1-0-0/TagsDatasetFacet",
    }
)
_OF_JOBS = MappingProxyType(
    {
        "documentation": "1-1-0/DocumentationJobFacet",
        "ownership": "1-0-1/OwnershipJobFacet",
        "tags": "1-0-0/TagsJobFacet",
    }
)
_SUBSETS = MappingProxyType({"Input": "InputSubsetInput", "Output": "OutputSubsetOutput"})
_TYPES = MappingProxyType(
    {
        "parquet": "TABLE",
        SLICES: "TABLE",
        "joblib": "MODEL",
        "pickle": "MODEL",
        "skops": "MODEL",
        "files": "FILE",
        "file": "FILE",
    }
)
# How the partitions of an asset are described: `monthly from 2013-01 in Europe/Oslo, 2 h later`.
_CALENDAR = re.compile(
    r"(?P<kind>hourly|daily|weekly|monthly) (?:from )?\S+(?: to \S+)?"
    r"(?: in (?P<tz>[^, ]+))?(?:, (?P<late>\d+) h later)?\Z"
)


class Dependency(NamedTuple):
    """A column of an input that a column of an output depends on.

    `column` None: every column, or the object as a whole. `source_column` None: nobody knows which.
    """

    asset: str
    source_column: str | None
    column: str | None
    type: str | None  # DIRECT | INDIRECT; None: it is not known
    subtype: str | None
    masking: bool = False


def schema_of(key: str, kind: str) -> str:
    """The URL that says what a facet holds.

    Args:
        kind: what it is a facet of: Run, Job, Dataset, InputDataset or OutputDataset.
    """
    if key == "subset":
        name = f"{_SUBSETS[kind.removesuffix('Dataset')]}DatasetFacet"
        return f"{_SPEC}/facets/1-0-0/BaseSubsetDatasetFacet.json#/$defs/{name}"
    path = _FACETS.get(key) or (_OF_JOBS if kind == "Job" else _OF_DATASETS).get(key)
    if path is None:  # lineal's own
        return f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/{kind}Facet"
    return f"{_SPEC}/facets/{path}.json#/$defs/{path.partition('/')[2]}"


def time_text(seconds: float) -> str:
    """Seconds since 1970 as UTC in ISO 8601."""
    return _time(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --------------------------------------------------------------------------------------- of a run


def nominal_time(partition: str | None, described: str) -> Fields | None:
    """The time that a partition stands for, if it is one of a calendar."""
    found = _CALENDAR.match(described)
    if partition is None or found is None:
        return None
    meant = span(partition)
    if meant is None:
        return None
    try:
        kind, late = cast("Kind", found["kind"]), int(found["late"] or 0)
        every = period(kind, found["tz"] or "UTC", late, meant.first)
        number = every.number(partition)
    except (DefinitionError, ValueError):  # the calendar was another one then
        return None
    return {
        "nominalStartTime": _time(every.start(number)),
        "nominalEndTime": _time(every.start(number + 1)),
    }


def error(made: Materialization, failing: Iterable[CheckResult]) -> Fields | None:
    """What went wrong, if something did."""
    if made.outcome == "blocked":
        told = ", ".join(f"`{result.name}`" for result in failing)
        return {
            "message": f"{made.asset} was not published: blocked by check {told}",
            "programmingLanguage": _language(made),
        }
    if made.error is None:
        return None
    found: Fields = {
        "message": f"{made.error.type}: {made.error.message}",
        "programmingLanguage": _language(made),
    }
    place = "\n  ".join(text for text in (made.error.where, made.error.line) if text)
    return {**found, "stackTrace": place} if place else found


def _language(made: Materialization) -> str:
    return "SQL" if made.kind == "sql" else "PYTHON"


def parameters(made: Materialization) -> Fields | None:
    if not made.parameters:
        return None
    return {"parameters": [{"key": name, "value": value} for name, value in made.parameters]}


def materialization(made: Materialization) -> Fields:
    """What no facet of OpenLineage is for: how lineal came to do it, and by which names."""
    return {
        "materialization": made.id,
        "outcome": made.outcome,
        "partition": made.partition,
        "version": made.content.digest if made.content else None,
        "origin": made.origin or made.id,
        "fingerprint": made.fingerprint,
        "code": made.recipe,
        "environment": made.environment,
        "reasons": [reason._asdict() for reason in made.reasons],
        "metrics": {
            name: value if math.isfinite(value) else str(value) for name, value in made.metrics
        },
    }


# --------------------------------------------------------------------------------------- of a job


def declared(asset: AssetFacts | None) -> dict[str, Fields]:
    """What was written of an asset: facets that jobs and datasets have alike."""
    found: dict[str, Fields] = {}
    if asset is not None and asset.description:
        found["documentation"] = {"description": asset.description}
    if asset is not None and asset.owner:
        found["ownership"] = {"owners": [{"name": asset.owner}]}
    if asset is not None and asset.tags:
        found["tags"] = {
            "tags": [{"key": tag, "value": "true", "source": "LINEAL"} for tag in asset.tags]
        }
    return found


def code(made: Materialization, recipe: Recipe | None) -> dict[str, Fields]:
    """The query of a SQL asset, macros it reaches first; of Python the parts of the code."""
    if recipe is None:
        return {}
    if made.kind == "sql":
        texts = [part.text for kind in ("macro", "sql") for part in recipe.parts
                 if part.kind == kind and part.text]  # fmt: skip
        return {"sql": {"query": ";\n".join(texts), "dialect": "duckdb"}} if texts else {}
    if made.kind == "files" or not recipe.parts:
        return {}
    return {"sourceCode": {"language": "python", "sourceCode": _parts(recipe)}}


def _parts(recipe: Recipe) -> str:
    """The journal knows code by the digests of its parts; their text is where each says."""
    rows = [
        "# The parts of the code that was run, each with its digest; constants with their value."
    ]
    for part in recipe.parts:
        about = (part.where, f"{part.kind} {part.name}", part.digest[:12])
        text = f"{part.name} = {part.value}" if part.kind == "constant" else part.value
        rows += ["# " + "  ".join(filter(None, about)), *([text] if part.value else [])]
    return "\n".join(rows)


# ------------------------------------------------------------------------------------ of a dataset


def content(made: Content) -> dict[str, Fields | None]:
    """Which version of a dataset it is, and of what kind."""
    kind = _TYPES.get(made.format)
    return {
        "version": {"datasetVersion": made.digest},
        "datasetType": {"datasetType": kind} if kind else None,
        "schema": schema(made),
    }


def schema(made: Content) -> Fields | None:
    if not made.columns:
        return None
    return {
        "fields": [
            {"name": column.name, "type": column.type, "ordinal_position": number}
            for number, column in enumerate(made.columns, start=1)
        ]
    }


def statistics(made: Content) -> Fields:
    rows = {} if made.rows is None else {"rowCount": made.rows}
    return {**rows, "size": made.bytes, "fileCount": len(made.objects)}


def input_statistics(reads: Iterable[tuple[Used, Content | None]]) -> Fields | None:
    """The rows of all that was read. Of bytes nothing: some columns are not all of them."""
    rows = [made.rows if made is not None else None for _, made in reads]
    known = [count for count in rows if count is not None]
    return {"rowCount": sum(known)} if known and len(known) == len(rows) else None


def read(reads: Iterable[Used]) -> Fields:
    """Which versions of an asset were read, by which parameter, and what of them."""
    return {
        "reads": [
            {
                "parameter": used.parameter,
                "partition": used.partition,
                "version": used.content,
                "materialization": used.materialization,
                "mode": used.mode,
                "columns": list(used.columns),
            }
            for used in reads
        ]
    }


def subset(which: str, partitions: Iterable[str | None]) -> Fields | None:
    """The partitions of a dataset that were read or written. `which`: input or output."""
    keys = [key for key in dict.fromkeys(partitions) if key is not None]
    if not keys:
        return None
    found = [{"identifier": key, "dimensions": {"partition": key}} for key in keys]
    return {f"{which}Condition": {"type": "partition", "partitions": found}}


def assertions(results: Iterable[CheckResult]) -> Fields:
    return {
        "assertions": [
            {
                "assertion": result.name,
                "name": result.name,
                "success": result.passed,
                "severity": result.severity,
                **({"description": result.message} if result.message else {}),
                **(
                    {}
                    if result.failing_rows is None
                    else {"expected": "0", "actual": str(result.failing_rows)}
                ),
            }
            for result in results
        ]
    }


def file_name(root: str, file: SourceFile) -> str:
    """The absolute path, as OpenLineage names files."""
    return posixpath.normpath(posixpath.join(root, file.path))


def column_lineage(namespace: str, dependencies: Iterable[Dependency]) -> Fields | None:
    """Which columns each column depends on, and on which all of them do.

    A dependency of which nobody knows the column can't be told here; the input itself is.
    """
    known = [each for each in dict.fromkeys(dependencies) if each.source_column is not None]
    if not known:
        return None
    names = dict.fromkeys(each.column for each in known if each.column is not None)
    found: Fields = {
        "fields": {
            name: {"inputFields": _input_fields(namespace, known, name)} for name in sorted(names)
        }
    }
    whole = _input_fields(namespace, known, None)
    return {**found, "dataset": whole} if whole else found


def _order(each: Dependency) -> tuple[str, ...]:
    how = each.type or "", each.subtype or "", str(each.masking)
    return each.asset, each.source_column or "", *how


def _input_fields(
    namespace: str, dependencies: Iterable[Dependency], column: str | None
) -> list[Fields]:
    by_source: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in sorted((f for f in dependencies if f.column == column), key=_order):
        subtype = {"subtype": each.subtype} if each.subtype else {}
        how = by_source.setdefault((each.asset, str(each.source_column)), [])
        if each.type is not None:
            how.append({"type": each.type, **subtype, "masking": each.masking})
    return [
        {"namespace": namespace, "name": asset, "field": field, "transformations": how}
        for (asset, field), how in by_source.items()
    ]
