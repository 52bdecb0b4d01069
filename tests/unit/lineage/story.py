"""Told histories for tests: runs that record what a pipeline would, without running one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blake3 import blake3

from lineal.assets.records import (
    CheckResult,
    Column,
    Content,
    EnvironmentFacts,
    Materialization,
    Publication,
    Recipe,
    RecipePart,
    Retirement,
    RunEnded,
    RunStarted,
    SourceFile,
    StoredObject,
    Used,
)
from lineal.lineage.journal import Journal


def digest(text: str) -> str:
    return blake3(text.encode()).hexdigest()


def table(text: str, *columns: str, objects: Sequence[StoredObject] = ()) -> Content:
    """A table whose content is what `text` says; a column `name=x` has a digest of its own."""
    parts = [c.partition("=") for c in columns]
    return Content(
        digest(text),
        "parquet",
        tuple(objects) or (StoredObject(digest(text + "bytes"), "parquet", 100),),
        rows=10,
        columns=tuple(Column(n, "int64", digest(n + (v or text))) for n, _, v in parts),
        summary=f"10 rows × {len(columns)}",
    )


def model(text: str) -> Content:
    return Content(digest(text), "joblib", (StoredObject(digest(text + "b"), "joblib", 50),))


def source_file(path: str, text: str) -> SourceFile:
    return SourceFile(
        path, digest(text), len(text), (1, 2, len(text), 1_700_000_000_000_000_000, 0)
    )


def used(source: Materialization, *columns: str, parameter: str | None = None) -> Used:
    """A reader's use of a materialization: all of it, or some columns."""
    assert source.content is not None
    mode = "columns" if columns else "all"
    read = digest(source.content.digest + ",".join(columns))
    return Used(
        parameter or source.asset.replace("/", "_"),
        source.asset,
        source.partition,
        mode,
        read,
        source.content.digest,
        source.id,
        columns,
    )


class Run:
    """One run being told: each `make` is one journal entry, published unless it may not be."""

    def __init__(self, journal: Journal, environment: str = "default", at: float = 1000.0):
        self.journal = journal
        self.environment = environment
        self.at = at
        self.made: list[Materialization] = []
        self.id = journal.start_run(
            lambda run: [RunStarted(run, environment, "ada", "host", ("lineal",), at, "3.12", "1")]
        )

    def make(
        self,
        asset: str,
        content: Content | None,
        *inputs: Used,
        outcome: Any = "made",
        checks: Sequence[CheckResult] = (),
        publish: bool | None = None,
        **more: Any,
    ) -> Materialization:
        name = f"{self.id}.{len(self.made)}"
        read = ",".join(u.digest for u in inputs)
        fields: dict[str, Any] = {
            "partition": None,
            "kind": "python",
            "fingerprint": digest(f"{asset} {more.get('recipe')} {read}"),
            "recipe": digest(f"code of {asset}"),
            "environment": digest("environment"),
            "contract": digest("contract"),
            "origin": name,
            "started_at": self.at,
            "seconds": 0.5,
            "checks": tuple(check.fingerprint for check in checks),
            **more,
        }
        made = Materialization(
            id=name, run=self.id, asset=asset, outcome=outcome, inputs=inputs, content=content,
            **fields,
        )  # fmt: skip
        facts: list[Any] = [*checks, made]
        if publish if publish is not None else outcome in ("made", "reused"):
            assert content is not None
            facts.append(self.publication(made))
        self.made.append(made)
        self.journal.append(facts)
        return made

    def publication(self, made: Materialization) -> Publication:
        assert made.content is not None
        return Publication(
            self.environment, made.asset, made.partition, made.id, made.content.digest, self.id
        )

    def retire(self, made: Materialization, reason: str = "its file is gone") -> Retirement:
        """A partition that is no more, whatever is current."""
        fact = Retirement(self.environment, made.asset, made.partition, made.id, reason, self.id)
        self.journal.append([fact])
        return fact

    def observe(self, asset: str, content: Content, *files: SourceFile) -> Materialization:
        return self.make(asset, content, kind="files", files=files)

    def reuse(self, origin: Materialization, *inputs: Used, **more: Any) -> Materialization:
        fields = {"outcome": "reused", "origin": origin.id, "fingerprint": origin.fingerprint}
        kind = {"kind": origin.kind, "recipe": origin.recipe, "files": origin.files}
        return self.make(
            origin.asset, origin.content, *(inputs or origin.inputs), **fields, **kind, **more
        )

    def end(self, outcome: Any = "done") -> None:
        counts = {"made": len(self.made)}
        self.journal.append([RunEnded(self.id, outcome, counts, self.at + 60)])


def model_pipeline(journal: Journal) -> dict[str, Materialization]:
    """Two models of one pipeline, a month apart: other data, code, parameter and package.

    raw → clean → features → model. In the second run `raw` is another file and `clean` another
    table, but `features` comes out equal; `holidays` changes in a column that nobody reads.
    """
    made = {}
    environments = [
        EnvironmentFacts(digest(f"environment {n}"), "3.12", (("scikit-learn", v),), ())
        for n, v in ((1, "1.8.0"), (2, "1.9.1"))
    ]
    for n, rate, depth in ((1, "0.1", "1.1"), (2, "0.2", "1.2")):
        run = Run(journal, at=1000.0 * n)
        parts = (
            RecipePart("train", "function", digest("train")),
            RecipePart("helpers.DEPTH", "constant", digest(depth), value=depth),
        )
        recipe = Recipe(digest(f"model code {n}"), parts)
        environment = environments[n - 1]
        journal.append([recipe, environment])
        raw = run.observe(
            "raw/flights",
            table(f"raw {n}", "id"),
            source_file("data/a.csv", "a"),
            source_file("data/b.csv", f"b{n}"),
        )
        holidays = run.make(
            "raw/holidays", table(f"holidays {n}", "day=d", f"note={n}"), kind="fetch"
        )
        clean = run.make("clean", table(f"clean {n}", "id=i", f"delay={n}"), used(raw))
        features = run.make(
            "features",
            table("features", "delay=x", "rush"),
            used(clean, "id"),
            used(holidays, "day"),
        )
        made[f"model {n}"] = run.make(
            "delay_model",
            model(f"model {n}"),
            used(features),
            used(clean, "delay"),
            recipe=recipe.digest,
            environment=environment.digest,
            parameters=(("rate", rate), ("seed", "0")),
            metrics=(("auc", 0.8 + n / 100),),
        )
        for one in (raw, holidays, clean, features):
            made[f"{one.asset} {n}"] = one
        run.end()
    return made
