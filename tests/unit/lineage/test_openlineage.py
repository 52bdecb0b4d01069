import json
from dataclasses import replace

import pytest

from lineal.assets.records import (
    AssetFacts,
    Materialization,
    Reason,
    Recipe,
    RecipePart,
    RunEnded,
    RunStarted,
)
from lineal.lineage.facets import Dependency
from lineal.lineage.openlineage import Known, Teller
from tests.openlineage_spec import errors
from tests.unit.lineage.story import digest, model, source_file, table, used

TELLER = Teller("shop", "/srv/shop", digest("store"), "1.2")
STARTED = RunStarted(
    "r1", "default", "ada", "host", ("lineal", "materialize"), 1000.0, "3.12", "1.1"
)


def made(asset, content, *inputs, **more):
    name = f"r1.{asset}"
    told = {"kind": "python", "outcome": "made", "partition": None, "started_at": 1001.25, **more}
    return Materialization(
        name, "r1", asset, fingerprint=digest(name), recipe=digest("code"), environment="e" * 64,
        contract="c" * 64, inputs=inputs, content=content, seconds=0.5, **told,
    )  # fmt: skip


def told(*known, ended=None):
    events = list(TELLER.run(STARTED, ended, known))
    assert [found for event in events for found in errors(event)] == []
    json.dumps(events, allow_nan=False)
    return events


@pytest.mark.parametrize(
    ("outcome", "kind"), [("done", "COMPLETE"), ("failed", "FAIL"), ("cancelled", "ABORT")]
)
def test_a_run_ends_as_it_ended(outcome, kind):
    first, last = told(ended=RunEnded("r1", outcome, {"made": 2}, 1009.0))
    assert (first["eventType"], last["eventType"]) == ("START", kind)
    assert (first["eventTime"], last["eventTime"]) == (
        "1970-01-01T00:16:40.000000Z", "1970-01-01T00:16:49.000000Z"
    )  # fmt: skip
    assert first["run"]["runId"] == last["run"]["runId"]
    assert last["run"]["facets"]["lineal_run"]["counts"] == {"made": 2}
    assert "counts" not in first["run"]["facets"]["lineal_run"]


def test_a_run_whose_process_died_has_a_start_and_no_end_and_its_steps_have_both():
    raw = made("raw", table("raw", "id"), kind="files", files=(source_file("a/../b c.csv", "x"),))
    kinds = [(e["job"]["name"], e["eventType"]) for e in told(Known(raw))]
    assert kinds == [("lineal.run", "START"), ("raw", "START"), ("raw", "COMPLETE")]
    *_, end = told(Known(raw))
    assert end["eventTime"] == "1970-01-01T00:16:41.750000Z"
    assert end["inputs"][0]["name"] == "/srv/shop/b c.csv"
    assert end["producer"] == "pkg:generic/lineal@1.2"
    assert end["run"]["facets"]["processing_engine"]["version"] == "1.1"


def test_ids_are_of_the_store_and_the_step_whatever_the_namespace():
    raw = Known(made("raw", table("raw")))
    ids = [e["run"]["runId"] for e in told(raw)]
    assert len(set(ids)) == 2
    elsewhere = replace(TELLER, namespace="prod", root="/home")
    assert [e["run"]["runId"] for e in elsewhere.run(STARTED, None, [raw])] == ids
    other = replace(TELLER, store=digest("another store"))
    assert not {e["run"]["runId"] for e in other.run(STARTED, None, [raw])} & set(ids)


def test_a_query_is_told_with_its_macros_before_it_and_its_columns_after():
    orders = made("orders", table("orders", "id", "amount"))
    query = made("total", table("total", "sum"), used(orders, "amount"), kind="sql")
    parts = (
        RecipePart("total", "sql", "d", text="select tax(sum(amount)) as sum from orders"),
        RecipePart("tax", "macro", "d", text="create macro tax(x) as x * 1.2"),
        RecipePart("duckdb", "version", "d", "2.0.0"),
    )
    flows = (
        Dependency("orders", "amount", "sum", "DIRECT", "AGGREGATION"),
        Dependency("orders", "id", None, "INDIRECT", "FILTER"),
    )
    about = AssetFacts("total", "sql", "All of it.", "", (), "pipeline.py:1")
    known = Known(query, {orders.id: orders}, (), Recipe("r", parts), about, flows)
    *_, end = told(known)
    assert end["job"]["facets"]["sql"]["query"] == (
        "create macro tax(x) as x * 1.2;\nselect tax(sum(amount)) as sum from orders"
    )
    assert "sourceCode" not in end["job"]["facets"]
    (output,) = end["outputs"]
    lineage = output["facets"]["columnLineage"]
    assert lineage["fields"]["sum"]["inputFields"][0]["field"] == "amount"
    assert lineage["dataset"][0]["transformations"][0]["subtype"] == "FILTER"
    (read,) = end["inputs"]
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 10
    assert read["facets"]["version"]["datasetVersion"] == digest("orders")
    without_text = Recipe("r", (replace(parts[0], text=""),))  # recorded before texts were
    *_, old = told(known._replace(recipe=without_text, dependencies=()))
    assert "sql" not in old["job"]["facets"]
    assert "columnLineage" not in old["outputs"][0]["facets"]


def test_an_input_that_was_not_looked_into_or_is_unknown_has_no_statistics():
    files = made("files", replace(table("files"), format="files"))
    looked = used(files)._replace(mode="none")
    gone = used(made("gone", table("gone", "id")), "id")
    trained = made("m", model("m"), looked, gone, reasons=(Reason("code_changed", "f", "a.py:1"),))
    *_, end = told(Known(trained, {files.id: files}))
    for read in end["inputs"]:
        assert "inputStatistics" not in read["inputFacets"]
    assert [set(read["facets"]) for read in end["inputs"]] == [{"version", "datasetType"}, set()]
    own = end["run"]["facets"]["lineal_materialization"]
    assert own["reasons"][0]["culprit"] == "f"
