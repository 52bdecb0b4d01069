"""The stores of the first format, kept in tests/golden, are read by lineal and by others."""

import itertools
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
from tests.unit.lineage.story import Run, table

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "store"
MENDED = ROOT / "tests" / "golden" / "mended"  # with packs; what was damaged is lost
# Told in the first store by a story without files; monthly and numbers have theirs.
WITHOUT_FILES = {"clean", "features", "delay_model", "raw/flights", "raw/holidays"}


def digest(data):
    return blake3(data).hexdigest()


def read_entries(root):
    """The bytes of each entry, by its number: packs win over files."""
    entries = {}
    for path in sorted((root / "journal" / "packs").glob("*.pack")):
        data = path.read_bytes()
        end = json.loads(data[-184:])
        index = data[end["index"] : -184]
        assert (digest(data[:-184]), digest(index)) == (end["digest"], end["index_digest"])
        told = json.loads(index)
        places = itertools.pairwise([*told["places"], end["index"]])
        entries |= {n: data[a:b] for n, (a, b) in enumerate(places, told["first"])}
        assert max(entries) == told["last"]
    for path in (root / "journal").glob("*.jsonl"):
        entries.setdefault(int(path.stem), path.read_bytes())
    assert sorted(entries) == list(range(1, len(entries) + 1))
    return entries


def read_facts(root):
    """The facts of each entry, the chain verified."""
    previous = "0" * 64
    for number, data in sorted(read_entries(root).items()):
        *body, last = data.splitlines(keepends=True)
        header, end = json.loads(body[0]), json.loads(last)
        assert (header["entry"], header["previous"]) == (number, previous)
        assert end == {"end": len(body) + 1, "digest": digest(b"".join(body))}
        assert len(body) == 1 or not header.get("lost")
        previous = header.get("stands_for", digest(data))
        yield number, [json.loads(line) for line in body[1:]]


def read_store(root):
    """What docs/format.md is enough to write: current versions and their files, all verified; and
    the assets of which an object is missing, with its digest.
    """
    assert (root / "format").read_text() == "1\n"
    made, shown = {}, {}
    for number, facts in read_facts(root):
        for line, fact in enumerate(facts):
            if fact["fact"] == "materialization":
                made[fact["id"]] = fact
            if fact["fact"] in ("publication", "retirement"):
                step = fact["environment"], fact["asset"], fact["partition"]
                rank = int(fact["run"][1:]), number, line
                name = fact["materialization"] if fact["fact"] == "publication" else None
                shown[step] = max(shown.get(step, ((0,), None)), (rank, name))
    current, missing = {}, set()
    for step, (_, name) in shown.items():
        if name is None:
            continue
        paths = []
        for stored in made[name]["content"]["objects"]:
            file = f"{stored['digest']}.{stored['suffix']}"
            paths.append(root / "objects" / stored["digest"][:2] / file)
            if paths[-1].exists():
                assert digest(paths[-1].read_bytes()) == stored["digest"]
            else:
                missing.add((step[1], stored["digest"]))
        current[step] = made[name], paths
    return current, missing


def test_a_reader_that_knows_only_the_page_finds_the_current_tables():
    current, missing = read_store(GOLDEN)
    assert len(current) == 8
    assert {asset for asset, _ in missing} == WITHOUT_FILES
    made, paths = current["default", "numbers", None]
    assert made["outcome"] == "reused"
    assert dict(made.get("metrics", [])) == {}
    assert duckdb.sql(f"select sum(id) from '{paths[0]}'").fetchall() == [(6,)]
    _, paths = current["default", "monthly", "2026-02"]
    assert duckdb.sql(f"select id from '{paths[0]}'").fetchall() == [(2,), (3,)]


def test_that_reader_reads_packs_and_misses_only_what_is_said_to_be_lost():
    assert [n for n, facts in read_facts(MENDED) if not facts] == [2, 10, 11]
    assert len(list((MENDED / "journal" / "packs").iterdir())) == 2
    current, missing = read_store(MENDED)
    seal, lost = (MENDED / "lost").read_bytes().split(b"\n", 1)
    assert seal.decode() == digest(lost)
    assert [asset for asset, _ in missing] == ["forgotten"]
    assert [name for _, name in missing] == json.loads(lost)
    values = {
        step[1:]: duckdb.sql(f"select id from '{paths[0]}'").fetchall()
        for step, (_, paths) in current.items()
        if step[1] != "forgotten"
    }
    assert values == {  # entries 10 and 11 told of two more months
        ("counted", None): [(2,)],
        ("numbers", None): [(1,), (2,), (3,)],
        ("monthly", "2026-01"): [(1,)],
        ("monthly", "2026-02"): [(2,)],
    }


def test_lineal_sees_the_same_partitions_as_that_reader_when_some_were_retired(tmp_path):
    journal = Journal(tmp_path / "store")
    early, late = Run(journal), Run(journal)
    gone, back, stays = (late.make("p", table(key), partition=key) for key in "123")
    late.retire(gone)
    late.retire(back)
    early.retire(stays)
    journal.append([Run(journal).publication(back)])
    current, _ = read_store(journal.root)
    assert {part: made["id"] for (_, _, part), (made, _) in current.items()} == {
        m.partition: m.id for m in (back, stays)
    }
    history = History.open(journal, journal.root / "cache")
    assert {(s.partition, m.id) for s, m in history.currents().items()} == {
        (m.partition, m.id) for m in (back, stays)
    }


@pytest.mark.parametrize("golden", [GOLDEN, MENDED], ids=lambda path: path.name)
def test_lineal_sees_the_same_current_versions_as_that_reader(golden, tmp_path):
    root = shutil.copytree(golden, tmp_path / "store")
    history = History.open(Journal(root), root / "cache")
    current, _ = read_store(golden)
    expected = {Step(asset, part): made["id"] for (_, asset, part), (made, _) in current.items()}
    assert {step: m.id for step, m in history.currents().items()} == expected


@pytest.mark.parametrize(
    ("golden", "write"), [(GOLDEN, make_store.write), (MENDED, make_store.write_mended)]
)
def test_todays_entries_are_those_of_the_kept_store_byte_for_byte(golden, write, tmp_path):
    write(tmp_path / "store")
    kept, now = golden / "journal", tmp_path / "store" / "journal"
    names = sorted(path.relative_to(kept) for path in kept.rglob("*"))
    assert names == sorted(path.relative_to(now) for path in now.rglob("*"))
    for name in names:
        if (kept / name).is_file():
            assert without_digests(now / name) == without_digests(kept / name), name


def without_digests(path):
    """Parquet's bytes, hence their digests and the chain, depend on pyarrow's version."""
    text = re.sub(r'"places":.*|"index": *\d+|"bytes":\d+', "", path.read_text())
    return re.sub(r"[0-9a-f]{64}", "#", text)


@pytest.mark.parametrize("golden", [GOLDEN, MENDED], ids=lambda path: path.name)
def test_reading_the_kept_store_changes_nothing_in_it(golden):
    before = sorted(golden.rglob("*"))
    assert Journal(golden).head() == len(read_entries(golden))
    assert sorted(golden.rglob("*")) == before


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
    macros = set(re.findall(r"^\| `(\w+\([\w, ]+\))` \|", text, flags=re.M))
    return columns, macros


def test_the_schema_page_and_the_schema_are_the_same_both_ways(lineage):
    columns, macros = documented()
    rows = lineage.execute(
        "select table_name, column_name, lower(data_type) from information_schema.columns "
        "where table_schema = 'lineage'"
    ).fetchall()
    assert columns == set(rows)
    rows = lineage.execute(
        "select function_name, parameters from duckdb_functions() where schema_name = 'lineage'"
    ).fetchall()
    assert macros == {f"{name}({', '.join(parameters)})" for name, parameters in rows}


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
