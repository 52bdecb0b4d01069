"""The lineage told to other programs: OpenLineage events, judged by the official client."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.command_line import Workplace
from tests.openlineage_spec import errors, through_the_client, without_nothing

Event = dict[str, Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Two runs: files, Python, SQL, months, a model, checks, what fails, and what is reused."""
    place = Workplace(tmp_path_factory.mktemp("told") / "shop")
    place.write(
        "data/orders.csv",
        """
        id,customer,amount,day
        1,a,10.0,2024-01-03
        2,b,20.0,2024-01-20
        3,a,30.0,2024-02-11
        """,
    )
    place.write("data/customers.csv", "customer,city\na,Rome\nb,Oslo\n")
    place.write("lineal.toml", "")
    place.write(
        "pipeline.py",
        '''
        from typing import Annotated

        import pandas as pd
        from sklearn.linear_model import LinearRegression

        from lineal import Result, asset, check, columns, every, monthly, source, sql_asset

        RATE = 1.1

        source("raw/orders", "data/orders.csv")
        source("raw/customers", "data/customers.csv")


        @asset(owner="team:shop", tags=["pii"])
        def priced(raw_orders: Annotated[pd.DataFrame, columns("id", "customer", "amount", "day")]):
            """Orders with tax."""
            return raw_orders.assign(gross=raw_orders["amount"] * RATE)


        @check(priced)
        def positive(priced):
            return priced[priced["amount"] <= 0]


        @asset(partitions=monthly("2024-01", "2024-02", tz="Europe/Oslo"))
        def by_month(priced, partition):
            return priced[priced["day"].astype(str).str[:7] == str(partition)]


        sql_asset(
            "by_city",
            """select c.city, sum(p.gross) as total -- with tax
            from priced p join raw_customers c using (customer) group by c.city""",
        )


        @asset
        def model(by_month: Annotated[pd.DataFrame, every()], strength: float = 1.0):
            return Result(
                LinearRegression().fit(by_month[["amount"]], by_month["gross"]),
                metrics={"rows": len(by_month), "loss": float("nan")},
            )


        @asset
        def refused(by_city):
            return by_city.assign(total=-1)


        @check(refused)
        def not_negative(refused):
            return refused[refused["total"] < 0]


        @asset
        def broken(priced):
            raise KeyError("rush hour")
        ''',
    )
    assert place.lineal("materialize").code == 1
    place.edit("pipeline.py", "RATE = 1.1", "RATE = 1.2")
    place.make("priced")
    place.edit("pipeline.py", "RATE = 1.2", "RATE = 1.1")
    place.make("priced")
    return place


def _export(place: Workplace, *words: str) -> list[Event]:
    said = place.lineal("export", "openlineage", *words)
    assert said.code == 0, said.err
    return [json.loads(line) for line in said.out.splitlines()]


@pytest.fixture(scope="module")
def events(told: Workplace) -> list[Event]:
    return _export(told)


def _runs(place: Workplace) -> list[str]:
    return [run["run"] for run in place.lineal("runs", "--json").json]


def _last(events: list[Event], job: str, partition: str | None = None) -> Event:
    """The first terminal event of a job, of a partition."""
    for event in events:
        own = event["run"]["facets"].get("lineal_materialization", {})
        ended = event["job"]["name"] == job and event["eventType"] != "START"
        if ended and (partition is None or own["partition"] == partition):
            return event
    raise AssertionError(f"no end of {job}")


def _facets(of: dict[str, Any], which: str = "facets") -> dict[str, Any]:
    return {key: {name: value for name, value in facet.items() if not name.startswith("_")}
            for key, facet in of[which].items()}  # fmt: skip


def test_every_event_is_valid_and_the_official_client_would_send_the_same(
    events: list[Event],
) -> None:
    assert len(events) > 25
    assert [found for event in events for found in errors(event)] == []
    for event in events:
        assert through_the_client(event) == without_nothing(event)


def test_the_judge_sees_what_is_wrong(events: list[Event]) -> None:
    text = json.dumps(_last(events, "by_city"))
    for old, new in [
        ('"runId": "', '"runId": "x'),
        ("1-2-0/SchemaDatasetFacet", "1-9-0/SchemaDatasetFacet"),
        ('"datasetVersion"', '"versionOfDataset"'),
        ('"rowCount": ', '"rowCount": "many", "rows": '),
        ('"sql":', '"query":'),
        ('"eventTime": "2', '"eventTime": "at 2'),
    ]:
        assert old in text
        assert errors(json.loads(text.replace(old, new))), new


def test_each_run_and_step_has_one_start_and_one_end_with_its_parent(events: list[Event]) -> None:
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert all(found[0] == "START" and len(found) == 2 for found in kinds.values())
    runs = [e for e in events if e["job"]["name"] == "lineal.run"]
    assert [e["eventType"] for e in runs] == ["START", "FAIL", *["START", "COMPLETE"] * 2]
    ids = {e["run"]["runId"] for e in runs}
    parents = {e["run"]["facets"]["parent"]["run"]["runId"] for e in events if e not in runs}
    assert parents == ids
    assert all(e["eventTime"].endswith("Z") for e in events)
    assert {e["job"]["namespace"] for e in events} == {"shop"}
    ends = {e["job"]["name"]: e["eventType"] for e in reversed(events) if e["eventType"] != "START"}
    failed = {name for name, kind in ends.items() if kind == "FAIL"}
    assert failed == {"broken", "refused", "refused.checks", "lineal.run"}


def test_files_become_datasets_become_columns_with_versions(
    told: Workplace, events: list[Event]
) -> None:
    (file,) = _last(events, "raw/orders")["inputs"]
    assert (file["namespace"], file["name"]) == ("file", f"{told.root}/data/orders.csv")
    assert len(_facets(file)["version"]["datasetVersion"]) == 64
    (raw,) = _last(events, "raw/orders")["outputs"]
    (read,) = _last(events, "priced")["inputs"]
    assert (
        (read["namespace"], read["name"])
        == (raw["namespace"], raw["name"])
        == ("shop", "raw/orders")
    )
    assert read["facets"]["version"] == raw["facets"]["version"]
    (priced,) = _last(events, "priced")["outputs"]
    about = _facets(priced)
    assert [f["name"] for f in about["schema"]["fields"]] == [
        "id",
        "customer",
        "amount",
        "day",
        "gross",
    ]
    assert about["schema"]["fields"][4] == {
        "name": "gross",
        "type": "float64",
        "ordinal_position": 5,
    }
    assert about["documentation"] == {"description": "Orders with tax."}
    assert about["ownership"] == {"owners": [{"name": "team:shop"}]}
    assert about["datasetType"] == {"datasetType": "TABLE"}
    assert _facets(priced, "outputFacets")["outputStatistics"]["rowCount"] == 3
    reads = _facets(read, "inputFacets")
    assert reads["lineal_reads"]["reads"][0]["columns"] == ["id", "customer", "amount", "day"]
    assert reads["inputStatistics"] == {"rowCount": 3}
    assert _facets(_last(events, "model")["outputs"][0])["datasetType"] == {"datasetType": "MODEL"}


def test_code_is_told_as_the_query_or_as_the_parts_of_the_program(events: list[Event]) -> None:
    job = _facets(_last(events, "priced")["job"])
    assert job["jobType"] == {
        "processingType": "BATCH",
        "integration": "LINEAL",
        "jobType": "ASSET",
    }
    assert job["tags"]["tags"][0]["key"] == "pii"
    text = job["sourceCode"]["sourceCode"]
    assert job["sourceCode"]["language"] == "python"
    assert "# pipeline.py:14  function pipeline.priced" in text
    assert "RATE = 1.1" in text
    query = _facets(_last(events, "by_city")["job"])["sql"]
    assert query["dialect"] == "duckdb"
    assert query["query"].lower().startswith("select")
    assert "with tax" not in query["query"]
    model = _facets(_last(events, "model")["run"])
    assert model["executionParameters"] == {"parameters": [{"key": "strength", "value": "1.0"}]}
    assert model["lineal_materialization"]["metrics"] == {"rows": 3.0, "loss": "nan"}


def test_columns_are_told_with_the_columns_they_come_from(events: list[Event]) -> None:
    (by_city,) = _last(events, "by_city")["outputs"]
    lineage = _facets(by_city)["columnLineage"]

    def comes(fields: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
        return {
            (field["name"], field["field"], how["type"], how["subtype"])
            for field in fields
            for how in field["transformations"]
        }

    assert comes(lineage["fields"]["city"]["inputFields"]) == {
        ("raw/customers", "city", "DIRECT", "IDENTITY")
    }
    assert comes(lineage["fields"]["total"]["inputFields"]) == {
        ("priced", "gross", "DIRECT", "AGGREGATION")
    }
    assert comes(lineage["dataset"]) == {
        ("priced", "customer", "INDIRECT", "JOIN"),
        ("raw/customers", "customer", "INDIRECT", "JOIN"),
        ("raw/customers", "city", "INDIRECT", "GROUP_BY"),
    }
    (priced,) = _last(events, "priced")["outputs"]  # of Python: what was read, and no more
    read = _facets(priced)["columnLineage"]
    assert read["fields"] == {}
    assert {(f["name"], f["field"]) for f in read["dataset"]} == {
        ("raw/orders", name) for name in ("id", "customer", "amount", "day")
    }
    (model,) = _last(events, "model")["outputs"]
    assert "columnLineage" not in model["facets"]


def test_partitions_have_their_time_and_are_one_input(events: list[Event]) -> None:
    january = _last(events, "by_month", "2024-01")
    assert _facets(january["run"])["nominalTime"] == {
        "nominalStartTime": "2023-12-31T23:00:00.000000Z",
        "nominalEndTime": "2024-01-31T23:00:00.000000Z",
    }
    month = {"identifier": "2024-01", "dimensions": {"partition": "2024-01"}}
    (written,) = january["outputs"]
    assert written["name"] == "by_month"
    assert _facets(written, "outputFacets")["subset"]["outputCondition"]["partitions"] == [month]
    (read,) = _last(events, "model")["inputs"]
    about = _facets(read, "inputFacets")
    assert [p["identifier"] for p in about["subset"]["inputCondition"]["partitions"]] == [
        "2024-01", "2024-02"
    ]  # fmt: skip
    assert "version" not in read["facets"]  # of two
    assert len({r["version"] for r in about["lineal_reads"]["reads"]}) == 2
    assert about["inputStatistics"] == {"rowCount": 3}


def test_failures_and_refused_versions_say_why_and_name_no_version(events: list[Event]) -> None:
    broken = _last(events, "broken")
    error = _facets(broken["run"])["errorMessage"]
    assert error["message"] == "KeyError: 'rush hour'"
    assert error["stackTrace"].startswith("pipeline.py:")
    assert broken["outputs"] == [{"namespace": "shop", "name": "broken"}]
    refused = _last(events, "refused")
    assert "blocked by check `not_negative`" in _facets(refused["run"])["errorMessage"]["message"]
    assert refused["outputs"] == [{"namespace": "shop", "name": "refused"}]
    (judged,) = _last(events, "refused.checks")["inputs"]
    (result,) = _facets(judged, "inputFacets")["dataQualityAssertions"]["assertions"]
    assert (result["assertion"], result["success"], result["actual"]) == (
        "not_negative",
        False,
        "2",
    )
    assert _facets(judged)["version"] == {
        "datasetVersion": _facets(refused["run"])["lineal_materialization"]["version"]
    }


def test_what_is_reused_is_told_as_published_again_not_as_written(
    told: Workplace, events: list[Event]
) -> None:
    again = _last(_export(told, "--run", _runs(told)[2]), "priced")
    first = _last(events, "priced")
    own = _facets(again["run"])["lineal_materialization"]
    assert (again["eventType"], own["outcome"]) == ("COMPLETE", "reused")
    assert own["origin"] == _facets(first["run"])["lineal_materialization"]["materialization"]
    assert again["run"]["runId"] != first["run"]["runId"]
    assert again["outputs"][0]["facets"]["version"] == first["outputs"][0]["facets"]["version"]
    assert "outputStatistics" not in again["outputs"][0]["outputFacets"]


def test_an_export_is_the_same_twice_and_by_run_and_into_a_file(
    told: Workplace, events: list[Event]
) -> None:
    assert _export(told) == events
    second = _runs(told)[1]
    one, later = _export(told, "--run", "r1"), _export(told, "--since", second)
    assert one + later == events
    said = told.lineal("export", "openlineage", "--output", "events.jsonl", "--since", second)
    assert said.out == f"Wrote {len(later)} events of 2 runs to events.jsonl.\n"
    file = told.root / "events.jsonl"
    written = file.read_text(encoding="utf-8")
    assert [json.loads(line) for line in written.splitlines()] == later
    refused = told.lineal("export", "openlineage", "--output", "nowhere/events.jsonl")
    assert refused.code == 2
    assert "give `--output` a file" in refused.err
    wrong = told.lineal("export", "openlineage", "--run", "r9", "--output", "events.jsonl")
    assert (wrong.code, "no run `r9`" in wrong.err) == (2, True)
    assert file.read_text(encoding="utf-8") == written
    named = _export(told, "--run", "r1", "--namespace", "prod")
    assert {e["job"]["namespace"] for e in named} == {"prod"}
    assert [e["run"]["runId"] for e in named] == [e["run"]["runId"] for e in one]


# ---------------------------------------------------------------------------------- to an endpoint


class _Server(http.server.ThreadingHTTPServer):
    """An endpoint that keeps what it gets; from some event on it answers with another status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, str | None, Event]] = []
        self.refuse_after = 10**6
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = len(self.server.got) >= self.server.refuse_after
        if not refused:
            self.server.got.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.status if refused else 201)
        if self.server.status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()
        key = self.headers["Authorization"] or ""
        self.wfile.write(f"the event is too dull {key}\nreally".encode() if refused else b"")

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test looks at what arrived."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_events_are_posted_with_the_key_and_nobody_sees_it(
    told: Workplace, events: list[Event], endpoint: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "hush-hush")
    said = told.lineal("export", "openlineage", "--url", endpoint.url)
    assert said.out == f"Sent {len(events)} events of 3 runs to {endpoint.url}/api/v1/lineage.\n"
    assert [body for _, _, body in endpoint.got] == events
    assert {(path, key) for path, key, _ in endpoint.got} == {
        ("/api/v1/lineage", "Bearer hush-hush")
    }
    assert "hush" not in said.out + said.err
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "hush\nhush")
    wrong = told.lineal("export", "openlineage", "--url", endpoint.url)
    assert (wrong.code, "hush" in wrong.err) == (2, False)


def test_a_refused_event_tells_how_far_it_came_and_how_to_go_on(
    told: Workplace, events: list[Event], endpoint: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "hush-hush")
    first = len(_export(told, "--run", "r1"))
    endpoint.refuse_after, endpoint.status = first + 1, 422
    said = told.lineal("export", "openlineage", "--url", f"{endpoint.url}/other")
    assert said.code == 1
    assert f"{endpoint.url}/other answered 422" in said.err
    assert "the event is too dull Bearer …\n" in said.err
    assert f"{first + 1} events were sent" in said.err
    assert f"--since {_runs(told)[1]}`" in said.err
    endpoint.got.clear()
    endpoint.refuse_after, endpoint.status = 0, 302  # a redirect is not followed
    moved = told.lineal("export", "openlineage", "--url", endpoint.url)
    assert (moved.code, "answered 302" in moved.err, endpoint.got) == (1, True, [])


def test_an_endpoint_that_is_not_there_or_no_url_is_an_error(
    told: Workplace, endpoint: _Server
) -> None:
    nobody = endpoint.url
    endpoint.server_close()
    said = told.lineal("export", "openlineage", "--url", nobody, "--run", "r1")
    assert (said.code, "can't be reached" in said.err) == (1, True)
    for url in ("ftp://x", "http://", "localhost:5000", "file:///etc/passwd"):
        assert told.lineal("export", "openlineage", "--url", url).code == 2
    told_off = told.lineal("export", "openlineage", "--url", "http://me:pass@x")
    assert (told_off.code, "pass@" in told_off.err) == (2, False)


# ------------------------------------------------------------------------------------------ graphs


def test_the_whole_project_is_listed_and_drawn_without_a_run(told: Workplace) -> None:
    rows = told.lineal("lineage").out.splitlines()
    assert rows[0].split() == ["raw/orders", "source"]
    assert "by_city".ljust(16) + "from priced, raw/customers" in rows
    assert rows[-1] == "8 assets."
    value = told.lineal("lineage", "--json").json
    assert [node["asset"] for node in value["nodes"]][:3] == [
        "raw/orders",
        "raw/customers",
        "priced",
    ]
    formats = {node["asset"]: node["format"] for node in value["nodes"]}
    assert (formats["model"], formats["by_month"], formats["broken"]) == ("joblib", "parquet", None)
    mermaid = told.lineal("lineage", "--format", "mermaid").out
    assert '[("raw/orders")]' in mermaid
    assert '{{"model"}}' in mermaid
    dot = told.lineal("lineage", "--format", "dot").out
    assert '"priced" -> "by_city" [label="' in dot
    assert '"by_city" -> "refused";' in dot
    for words in (["--down"], ["--columns"], ["--partition", "2024-01"]):
        assert told.lineal("lineage", *words).code == 2
