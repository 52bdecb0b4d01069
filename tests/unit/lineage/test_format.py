"""The store of the first format, kept in tests/golden/store, is read by lineal and by others."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from blake3 import blake3

from lineal.assets.names import Step
from lineal.lineage.catalog import Catalog
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from tests.golden import make_store

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "store"


def read_store(root):
    """What docs/format.md is enough to write: current versions and their files, all verified."""

    def digest(data):
        return blake3(data).hexdigest()

    def read_entry(number, previous):
        data = (root / "journal" / f"{number:012d}.jsonl").read_bytes()
        *body, last = data.splitlines(keepends=True)
        header, end = json.loads(body[0]), json.loads(last)
        assert header == {"entry": number, "previous": previous}
        assert end == {"end": len(body) + 1, "digest": digest(b"".join(body))}
        return [json.loads(line) for line in body[1:]], digest(data)

    assert (root / "format").read_text().strip() == "1"
    made, shown, previous = {}, {}, "0" * 64
    for number in range(1, len(list((root / "journal").iterdir())) + 1):
        facts, previous = read_entry(number, previous)
        for line, fact in enumerate(facts):
            if fact["fact"] == "materialization":
                made[fact["id"]] = fact
            if fact["fact"] == "publication":
                step = fact["environment"], fact["asset"], fact["partition"]
                rank = int(fact["run"][1:]), number, line
                shown[step] = max(shown.get(step, ((0,), "")), (rank, fact["materialization"]))
    current = {}
    for step, (_, name) in shown.items():
        paths = []
        for stored in made[name]["content"]["objects"]:
            path = (
                root / "objects" / stored["digest"][:2] / f"{stored['digest']}.{stored['suffix']}"
            )
            if path.exists():
                assert digest(path.read_bytes()) == stored["digest"]
                paths.append(path)
        current[step] = made[name], paths
    return current


def test_a_reader_that_knows_only_the_page_finds_the_current_tables():
    current = read_store(GOLDEN)
    assert len(current) == 8
    made, paths = current["default", "numbers", None]
    assert made["outcome"] == "reused"
    assert dict(made.get("metrics", [])) == {}
    assert duckdb.sql(f"select sum(id) from '{paths[0]}'").fetchall() == [(6,)]
    _, paths = current["default", "monthly", "2026-02"]
    assert duckdb.sql(f"select id from '{paths[0]}'").fetchall() == [(2,), (3,)]


def test_lineal_sees_the_same_current_versions_as_that_reader(tmp_path):
    root = shutil.copytree(GOLDEN, tmp_path / "store")
    history = History.open(Journal(root), root / "cache")
    expected = {
        Step(asset, partition): made["id"]
        for (_, asset, partition), (made, _) in read_store(GOLDEN).items()
    }
    assert {step: m.id for step, m in history.currents().items()} == expected


def test_todays_entries_are_those_of_the_kept_store_byte_for_byte(tmp_path):
    make_store.write(tmp_path / "store")
    names = sorted(path.name for path in (GOLDEN / "journal").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "store" / "journal").iterdir())
    for name in names:
        kept, now = GOLDEN / "journal" / name, tmp_path / "store" / "journal" / name
        assert without_digests(now) == without_digests(kept), name


def without_digests(path):
    """Parquet's bytes, hence their digests and the chain, depend on pyarrow's version."""
    return re.sub(r"[0-9a-f]{64}", "#", re.sub(r'"bytes":\d+', "", path.read_text()))


def test_reading_the_kept_store_changes_nothing_in_it():
    before = sorted(GOLDEN.rglob("*"))
    assert Journal(GOLDEN).head() == len(list((GOLDEN / "journal").iterdir()))
    assert sorted(GOLDEN.rglob("*")) == before


# ------------------------------------------------------------------------------------------ docs


@pytest.fixture
def lineage(tmp_path):
    root = shutil.copytree(GOLDEN, tmp_path / "store")
    connection, _ = Catalog(root, Journal(root)).connect_for_questions()
    yield connection
    connection.close()


def documented():
    text = (ROOT / "docs" / "lineage-schema.md").read_text("utf-8")
    columns = set()
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        table = re.match(r"`(\w+)`", section).group(1)
        for name, kind, meaning in re.findall(r"^\| `(\w+)` \| `(.+?)` \| (.+) \|$", section, re.M):
            assert meaning.strip()
            columns.add((table, name, kind))
    macros = set(re.findall(r"^\| `(\w+\(\w+\))` \|", text, flags=re.M))
    return columns, macros


def test_the_schema_page_and_the_schema_are_the_same_both_ways(lineage):
    columns, macros = documented()
    rows = lineage.execute(
        "select table_name, column_name, lower(data_type) from information_schema.columns "
        "where table_schema = 'lineage'"
    ).fetchall()
    assert columns == set(rows)
    rows = lineage.execute(
        "select function_name, parameters[1] from duckdb_functions() where schema_name = 'lineage'"
    ).fetchall()
    assert macros == {f"{name}({parameter})" for name, parameter in rows}


def test_every_statement_of_the_schema_page_runs(lineage):
    text = (ROOT / "docs" / "lineage-schema.md").read_text("utf-8")
    statements = re.findall(r"```sql\n(.*?)```", text, flags=re.S)
    assert len(statements) == 3
    for statement in statements:
        lineage.execute(statement).fetchall()


def test_the_format_page_names_every_fact_and_every_field():
    from lineal.lineage.fact_json import _SHAPES

    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    for kind, shape in _SHAPES.items():
        row = re.search(rf"^\| `{kind}` \| (.*) \|$", text, flags=re.M).group(1)
        assert {f.name for f in shape.fields} <= set(re.findall(r"`(\w+)`", row)), kind
