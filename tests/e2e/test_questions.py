"""What lineage answers in one SQL statement each, through the command line."""

from __future__ import annotations

import json

import pytest

from tests.e2e.command_line import Workplace


@pytest.fixture
def trained(empty: Workplace) -> Workplace:
    empty.write("data/a.csv", "x,y\n1,0\n2,0\n3,1\n4,1\n")
    empty.write("data/b.csv", "x,y\n5,1\n6,1\n7,0\n8,0\n")
    empty.write("helpers.py", "SCALE = 2\n\n\ndef scaled(x):\n    return x * SCALE\n")
    empty.write(
        "pipeline.py",
        """
        from typing import Annotated

        import pandas as pd
        from sklearn.linear_model import LogisticRegression

        from helpers import scaled
        from lineal import asset, columns, source

        source("raw/a", "data/a.csv")
        source("raw/b", "data/b.csv")


        @asset
        def points(raw_a):
            return raw_a.assign(x=scaled(raw_a["x"]), extra=1)


        @asset
        def model(points: Annotated[pd.DataFrame, columns("x", "y")], strength: float = 1.0):
            return LogisticRegression(C=strength).fit(points[["x"]], points["y"])


        @asset
        def other(raw_b):
            return LogisticRegression().fit(raw_b[["x"]], raw_b["y"])
        """,
    )
    empty.make()
    return empty


def _ask(place: Workplace, query: str) -> list[dict[str, object]]:
    said = place.lineal("sql", query, "--format", "json")
    assert said.code == 0, said.err
    rows: list[dict[str, object]] = json.loads(said.out)
    return rows


def test_which_file_versions_trained_this_model(trained: Workplace) -> None:
    rows = _ask(
        trained,
        "select distinct path, digest from lineage.model_training_data where model = 'model'",
    )
    assert [row["path"] for row in rows] == ["data/a.csv"]
    assert len(str(rows[0]["digest"])) == 64


def test_which_models_contain_this_file_version(trained: Workplace) -> None:
    (digest,) = {
        str(row["digest"])
        for row in _ask(trained, "select digest from lineage.source_file where path = 'data/b.csv'")
    }
    rows = _ask(
        trained,
        f"select distinct model from lineage.model_training_data where digest = '{digest}'",
    )
    assert rows == [{"model": "other"}]


def test_what_changed_between_two_versions_of_a_model(trained: Workplace) -> None:
    trained.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    trained.edit("pipeline.py", "strength: float = 1.0", "strength: float = 0.5")
    trained.make()
    ids = [
        str(row["id"])
        for row in _ask(
            trained,
            "select id from lineage.materialization where asset = 'model' order by started_at",
        )
    ]
    assert len(ids) == 2
    rows = _ask(
        trained,
        f"""
        with sides as (
          select 'parameter' what, name, value, materialization from lineage.parameter
          union all
          select 'column', i.asset || '.' || c.name, c.digest, c.materialization
            from lineage.input_column c
            join lineage.input i using (materialization, parameter)
        ), was as (from sides where materialization = '{ids[0]}'),
           now as (from sides where materialization = '{ids[1]}')
        select coalesce(now.what, was.what) what, coalesce(now.name, was.name) name
        from was full join now using (what, name)
        where was.value is distinct from now.value order by all
        """,
    )
    assert rows == [
        {"what": "column", "name": "points.x"},
        {"what": "parameter", "name": "strength"},
    ]


def test_lineage_shows_the_columns_that_were_read_and_the_files(trained: Workplace) -> None:
    told = trained.lineal("lineage", "model").out
    assert "2 of 3 columns" in told
    assert "data/a.csv" in told
    assert "raw/b" not in told
    assert "model" in trained.lineal("lineage", "raw/a", "--down").out
    assert trained.lineal("lineage", "model", "--format", "mermaid").out.startswith("flowchart")
    assert json.loads(trained.lineal("lineage", "model", "--json").out)


def test_what_rests_on_a_source_is_shown_after_an_edit_that_nobody_read(
    trained: Workplace,
) -> None:
    trained.write("data/a.csv", "x,y,unread\n1,0,9\n2,0,9\n3,1,9\n4,1,9\n")
    trained.edit(
        "pipeline.py",
        "def points(raw_a)",
        'def points(raw_a: Annotated[pd.DataFrame, columns("x", "y")])',
    )
    trained.make()
    trained.write("data/a.csv", "x,y,unread\n1,0,8\n2,0,8\n3,1,8\n4,1,8\n")
    assert trained.make().steps("made") == {"raw/a"}
    told = trained.lineal("lineage", "raw/a", "--down").out
    assert "points" in told
    assert "model" in told
    assert "points" in trained.lineal("show", "raw/a").out


def test_an_edited_declaration_of_columns_is_the_culprit_not_the_data(trained: Workplace) -> None:
    trained.edit("pipeline.py", 'columns("x", "y")', 'columns("x", "y", "extra")')
    assert "points: reads extra too" in trained.lineal("plan").out


def test_a_failure_that_was_undone_is_not_told_again(trained: Workplace) -> None:
    trained.edit("pipeline.py", "LogisticRegression(C=strength)", "LogisticRegression(C=nothing)")
    assert trained.lineal("materialize").code == 1
    assert "failed" in trained.lineal("status").out
    trained.edit("pipeline.py", "LogisticRegression(C=nothing)", "LogisticRegression(C=strength)")
    trained.make()
    trained.edit("pipeline.py", "strength: float = 1.0", "strength: float = 0.3")
    told = trained.lineal("status").out
    assert "failed" not in told
    assert "strength" in told


def test_many_times_with_a_zone_can_be_asked_for(empty: Workplace) -> None:
    empty.write(
        "pipeline.py",
        """
        import pandas as pd
        from lineal import asset


        @asset
        def ticks():
            return pd.DataFrame({"t": pd.date_range("2020", periods=20_000, freq="h", tz="UTC")})
        """,
    )
    empty.make()
    rows = _ask(empty, "select t from ticks order by t")
    assert len(rows) == 20_000
    assert str(rows[0]["t"]).startswith("2020-01-01T00:00:00")


def test_the_plan_is_a_table_for_a_statement_that_names_it(empty: Workplace) -> None:
    empty.write("pipeline.py", "from lineal import asset\n\n\n@asset\ndef plan() -> list[dict]:\n"
                               "    return [{'x': 1}]\n")  # fmt: skip
    query = "select asset, verdict, [r.kind for r in reasons] as reasons from lineage.plan"
    asked = {"asset": "plan", "verdict": "stale", "reasons": ["never_made"]}
    assert _ask(empty, query) == [asked]
    empty.make()
    assert _ask(empty, query.replace("lineage.plan", 'LINEAGE . "plan"')) == [
        {"asset": "plan", "verdict": "fresh", "reasons": []}
    ]
    assert _ask(empty, "from plan") == [{"x": 1}]  # the asset of that name
    empty.write("pipeline.py", "import nonsense_that_is_not_there\n")
    assert _ask(empty, "select count(*) as n from lineage.run") == [{"n": 1}]
    said = empty.lineal("sql", query)
    assert (said.code, "nonsense_that_is_not_there" in said.err) != (0, False)
