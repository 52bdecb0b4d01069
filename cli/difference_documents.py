"""What `diff` says as JSON: of two versions, of partitions at two times, of two runs."""

from __future__ import annotations

from typing import Any

from lineal.assets.keys import in_order
from lineal.assets.records import Materialization, RunEnded, RunStarted
from lineal.cli.documents import instant, reasons
from lineal.comparing import Compared, States, Versions
from lineal.lineage.compare import RunsDifference
from lineal.storage.compare import RowsDifference


def diff_document(found: Compared | RunsDifference) -> dict[str, Any]:
    if isinstance(found, RunsDifference):
        return _runs_document(found)
    if isinstance(found, States):
        return _states_document(found)
    return _versions_document(found)


def _versions_document(found: Versions) -> dict[str, Any]:
    facts, schema = found.facts, found.facts.schema
    return {
        "kind": "versions",
        "before": _side(facts.before),
        "after": _side(facts.after),
        "same": facts.same,
        "schema": {
            "added": [{"name": c.name, "type": c.type} for c in schema.added],
            "removed": [{"name": c.name, "type": c.type} for c in schema.removed],
            "retyped": [
                {"name": a.name, "before": a.type, "after": b.type} for a, b in schema.retyped
            ],
            "renamed": [{"before": a.name, "after": b.name} for a, b in schema.renamed],
            "reordered": schema.moved,
            "changed": list(schema.changed),
        },
        "rows": None if found.rows is None else _rows_document(found.rows),
        "values": [
            {"place": v.place, "change": v.kind, "before": v.before, "after": v.after}
            for v in found.values
        ],
        "made": reasons(facts.made),
        "notes": list(found.notes),
    }


def _side(made: Materialization) -> dict[str, Any]:
    content = made.content
    return {
        "asset": made.asset,
        "partition": made.partition,
        "version": content.digest if content is not None else None,
        "format": content.format if content is not None else None,
        "rows": content.rows if content is not None else None,
        "bytes": content.bytes if content is not None else 0,
        "materialization": made.id,
        "run": made.run,
        "outcome": made.outcome,
        "made_at": instant(made.started_at),
        "metrics": dict(made.metrics),
        "parameters": dict(made.parameters),
    }


def _rows_document(found: RowsDifference) -> dict[str, Any]:
    names = list(found.names)
    return {
        "key": list(found.key),
        "compared": list(found.shared),
        "not_compared": list(found.not_compared),
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "same_order": found.in_order,
        "columns": [
            {
                "name": c.name,
                "rows": c.rows,
                "before": c.before._asdict(),
                "after": c.after._asdict(),
            }
            for c in found.columns
        ],
        "sample": {
            "added": [dict(zip(names, row, strict=True)) for row in found.added_rows],
            "removed": [dict(zip(names, row, strict=True)) for row in found.removed_rows],
            "changed": [
                {
                    "key": dict(zip(found.key, row.key, strict=True)),
                    "columns": [
                        {"name": n, "before": old, "after": new} for n, old, new in row.values
                    ],
                }
                for row in found.changed_rows
            ],
        },
    }


def _states_document(found: States) -> dict[str, Any]:
    facts = found.facts
    keys = in_order([*facts.after, *(key for key in facts.before if key not in facts.after)])
    changed = {key for key, _ in facts.changed}
    words = {**dict.fromkeys(facts.added, "added"), **dict.fromkeys(facts.removed, "removed")}
    words |= dict.fromkeys(changed, "changed")
    return {
        "kind": "partitions",
        "asset": found.asset,
        "before": found.names[0],
        "after": found.names[1],
        "partitions": [
            {
                "partition": key,
                "change": words.get(key, "same"),
                "before": _version(facts.before.get(key)),
                "after": _version(facts.after.get(key)),
            }
            for key in keys
        ],
    }


def _version(made: Materialization | None) -> str | None:
    return made.content.digest if made is not None and made.content is not None else None


def _runs_document(found: RunsDifference) -> dict[str, Any]:
    return {
        "kind": "runs",
        "before": _run(found.before),
        "after": _run(found.after),
        "steps": [
            {
                "asset": s.step.asset,
                "partition": s.step.partition,
                "outcomes": list(s.outcomes),
                "versions": list(s.versions),
                "seconds": list(s.seconds),
                "changed": s.what,
            }
            for s in found.steps
        ],
        "made": {asset: reasons(made) for asset, made in found.made.items()},
    }


def _run(run: tuple[RunStarted, RunEnded | None]) -> dict[str, Any]:
    started, ended = run
    return {
        "run": started.run,
        "started_at": instant(started.started_at),
        "ended_at": instant(ended.ended_at) if ended is not None else None,
        "outcome": ended.outcome if ended is not None else None,
        "git_commit": started.git_commit or None,
        "python": started.python,
        "lineal": started.lineal,
    }
