import re

import pytest

from lineal.assets.asset import Asset, Check, Input
from lineal.assets.graph import Graph
from lineal.assets.partitions import static
from lineal.lineage.drawing import (
    Drawing,
    Line,
    Node,
    declared,
    declared_json,
    drawn,
    to_dot,
    to_mermaid,
)
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.tree import upstream
from tests.unit.lineage.story import Run, digest, model, model_pipeline, table, used
from tests.workbench import HERE, from_files, made


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


def opened(journal):
    return History.open(Journal(journal.root), journal.root / "cache")


def test_a_derivation_is_drawn_with_every_node_and_edge_in_the_shape_of_its_kind(journal):
    pipeline = model_pipeline(journal)
    drawing = drawn(upstream(opened(journal), pipeline["model 1"]))
    shapes = {node.label.partition("@")[0]: node.shape for node in drawing.nodes}
    assert shapes == {
        "raw/flights": "source", "raw/holidays": "source", "clean": "table",
        "features": "table", "delay_model": "model",
    }  # fmt: skip
    mermaid, dot = to_mermaid(drawing), to_dot(drawing)
    assert mermaid.startswith("flowchart LR\n")
    assert mermaid.count("-->") == dot.count("->") == len(drawing.lines) == 5
    assert f'{{{{"delay_model@{digest("model 1")[:6]}"}}}}' in mermaid
    assert re.search(r'"raw/holidays@\w{6}", shape=cylinder', dot)
    assert '[label="day"]' in dot


def test_partitions_of_an_asset_are_one_node(journal):
    run = Run(journal)
    raw = [run.make("raw", table(f"r{n}", "id"), partition=f"{n:02}") for n in (2, 1, 3)]
    days = [run.make("day", table(r.partition), used(r, "id"), partition=r.partition) for r in raw]
    whole = run.make("whole", model("whole"), *map(used, days))
    drawing = drawn(upstream(opened(journal), whole))
    assert to_mermaid(drawing).splitlines() == [
        "flowchart LR",
        f'  n0{{{{"whole@{digest("whole")[:6]}"}}}}',
        '  n1["day  3 partitions, 01 … 03"]',
        '  n2["raw  3 partitions, 01 … 03"]',
        "  n1 --> n0",
        '  n2 -->|"id"| n1',
    ]
    assert to_dot(drawing).splitlines()[4:] == [
        f'  "{whole.id}" [label="whole@{digest("whole")[:6]}", shape=hexagon];',
        f'  "{days[0].id}" [label="day  3 partitions, 01 … 03", shape=box];',
        f'  "{raw[2].id}" [label="raw  3 partitions, 01 … 03", shape=box];',
        f'  "{days[0].id}" -> "{whole.id}";',
        f'  "{raw[2].id}" -> "{days[0].id}" [label="id"];',
        "}",
    ]


def test_no_name_can_end_a_label_or_be_taken_for_markup():
    odd = 'k="a"|]}#1; <b>\\ `x` & é\nend'
    drawing = Drawing(
        (Node(odd, odd, "source"), Node("b", "b", "thing")), (Line(odd, "b", (odd,)),)
    )
    plain = "k=#34;a#34;|]}#35;1; #60;b#62;#92; #96;x#96; #38; é end"
    assert to_mermaid(drawing).splitlines()[1:] == [
        f'  n0[("{plain}")]', '  n1[/"b"/]', f'  n0 -->|"{plain}"| n1'
    ]  # fmt: skip
    quoted = '"k=\\"a\\"|]}#1; <b>\\\\ `x` & é end"'
    assert f"  {quoted} [label={quoted}, shape=cylinder];" in to_dot(drawing)
    assert f'  {quoted} -> "b" [label={quoted}];' in to_dot(drawing)


def test_an_edge_names_a_few_columns_and_counts_many():
    nodes = (Node("a", "a", "table"), Node("b", "b", "table"))
    few, many = (Drawing(nodes, (Line("a", "b", tuple("vwxyz"[:n])),)) for n in (4, 5))
    assert '|"v, w, x, y"|' in to_mermaid(few)
    assert 'label="5 columns"' in to_dot(many)


def test_what_is_declared_is_drawn_whether_made_or_not(journal):
    def apart(raw):
        return raw, raw

    split = made("split", apart, {"raw": ("raw", "id")}, outputs=("small", "large"),
                 partitions=static(["a"]))  # fmt: skip
    limits = (Input("value", "small"), Input("raw", "raw"))
    check = Check("known", HERE, function=lambda value, raw: True, asset="small", inputs=limits)
    query = Asset("total", "sql", HERE, ("total",), inputs=(Input("large", "large"),))
    graph = Graph.build([from_files("raw"), split, check, query])
    run = Run(journal)
    large = run.make("large", table("l", "id", "n"))
    total = {"total": run.make("total", table("t"), used(large, "n"), kind="sql")}
    formats = {"small": "parquet", "large": "joblib"}
    drawing = declared(graph, formats, total)
    assert {node.name: node.shape for node in drawing.nodes} == {
        "raw": "source", "small": "table", "large": "model", "total": "table"
    }  # fmt: skip
    assert drawing.lines == (
        Line("raw", "small", ("id",)),
        Line("raw", "small", (), check=True),
        Line("raw", "large", ("id",)),
        Line("large", "total", ("n",)),  # by what was made of it: no code declares it
    )
    assert "n0 -.-> n1" in to_mermaid(drawing)
    assert '"raw" -> "small" [style=dashed];' in to_dot(drawing)
    assert declared(graph, formats, {}).lines[-1].columns == ()
    value = declared_json(graph, {"small": "parquet"}, {})
    assert value["nodes"][1] == {
        "asset": "small", "kind": "python", "format": "parquet", "description": "",
        "partitions": "static a", "checks": ["known"],
    }  # fmt: skip
    assert value["edges"][:2] == [
        {"source": "raw", "target": "small", "parameter": "raw", "columns": ["id"], "check": None},
        {"source": "raw", "target": "small", "parameter": "raw", "columns": None, "check": "known"},
    ]
