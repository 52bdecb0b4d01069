"""What lineage keeps beside the journal: any bit of it may flip, and no answer differs."""

from __future__ import annotations

import errno
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from lineal.assets.records import CheckResult
from lineal.disk import AnyPath, Disk, break_seal, keep, kept, seal, seal_of, state_of_seal
from lineal.lineage import checkpoint
from lineal.lineage.catalog import Catalog
from lineal.lineage.checkpoint import catch_up
from lineal.lineage.facts import History
from lineal.lineage.index import Index
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, model_pipeline, table

QUERY = """
    select (select count(*) from lineage.version), (select count(*) from lineage.input),
        (select string_agg(id, ' ' order by id) from lineage.materialization)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / ".lineal")
    model_pipeline(journal)
    run = Run(journal)
    bad = CheckResult(
        digest("check"), "rows", "b", None, digest("bad"), "error", False, digest("rule"),
        3, "3 rows", (), 0.1,
    )  # fmt: skip
    made = run.make("b", table("bad", "id"), outcome="blocked", checks=[bad])
    run.make("b", None, outcome="failed")
    Run(journal).reuse(made)
    run.end()
    return journal


@pytest.fixture
def cache(journal: Journal) -> Path:
    return journal.root / "cache"


@pytest.fixture
def catalog(journal: Journal) -> Catalog:
    return Catalog(journal.root, journal)


def put(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def flipped(data: bytes, places: range | list[int]) -> Iterator[bytes]:
    for place in places:
        bit = 1 << random.Random(place).randrange(8)
        yield data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


class Unwilling(Disk):
    """A disk that removes nothing."""

    def unlink(self, path: AnyPath) -> None:
        raise PermissionError(errno.EPERM, "not permitted", path)


def test_a_file_whose_seal_cannot_be_broken_is_not_changed(journal: Journal, cache: Path) -> None:
    asked(Catalog(journal.root, journal))
    known(journal)
    made = Run(journal).make("c", table("c"))
    files = [journal.root / "catalog.duckdb", *cache.glob("*.sqlite")]
    before = [path.read_bytes() for path in files]
    unwilling = Journal(journal.root, Unwilling())
    connection, note = Catalog(journal.root, unwilling).connect_for_questions()
    count = connection.execute("select count(*) from lineage.run").fetchall()
    connection.close()
    assert count == [(5,)]
    assert note is not None
    assert "not permitted" in note
    assert opened(unwilling).materialization(made.id) == made
    assert [path.read_bytes() for path in files] == before


# ----------------------------------------------------------------------------------------- catalog


def asked(catalog: Catalog) -> tuple[list[Any], str | None]:
    connection, note = catalog.connect_for_questions()
    try:
        return connection.execute(QUERY).fetchall(), note
    finally:
        connection.close()


def some_places(size: int) -> list[int]:
    """In each of DuckDB's three headers, and anywhere."""
    anywhere = random.Random(size).sample(range(size), 12)
    return [0, 8, 20, 4096, 4104, 8192, 8200, 12288, size - 1, *anywhere]


def test_a_flipped_bit_of_the_catalog_is_told_and_changes_no_answer(catalog: Catalog) -> None:
    expected, note = asked(catalog)
    assert note is None
    whole = catalog.path.read_bytes()
    for data in flipped(whole, some_places(len(whole))):
        put(catalog.path, data)
        assert catalog.damage() == f"`{catalog.path}` is not what was written"
        found, note = asked(catalog)
        assert found == expected
        assert note is not None
        assert "damaged" in note
        assert asked(catalog) == (expected, None)
        whole = catalog.path.read_bytes()


def test_a_flipped_bit_of_the_catalogs_seal_changes_no_answer(catalog: Catalog) -> None:
    expected, _ = asked(catalog)
    mark = Path(seal_of(catalog.path))
    for data in flipped(mark.read_bytes(), [0, 30, 64]):
        put(mark, data)
        assert catalog.damage() is not None
        assert asked(catalog)[0] == expected
        assert asked(catalog) == (expected, None)


def test_damage_is_not_added_to_and_sealed(journal: Journal, catalog: Catalog) -> None:
    asked(catalog)
    whole = catalog.path.read_bytes()
    place = whole.rindex(digest("labels")[:8].encode()) if b"labels" in whole else len(whole) // 2
    put(catalog.path, next(flipped(whole, [place])))
    Run(journal).make("c", table("c"))
    catalog.bring_up_to_date()
    assert catalog.damage() is None


def test_what_another_program_wrote_into_the_catalog_is_not_served(catalog: Catalog) -> None:
    expected, _ = asked(catalog)
    with duckdb.connect(catalog.path) as other:
        other.execute("delete from lineage.version")
    found, note = asked(catalog)
    assert found == expected
    assert note is not None
    assert "another program" in note


UNFINISHED = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("set wal_autocheckpoint = '1TB'")
connection.execute("delete from lineage.version")
os.kill(os.getpid(), 9)
"""


def test_what_another_program_left_in_its_log_is_not_served(
    journal: Journal, catalog: Catalog
) -> None:
    expected, _ = asked(catalog)
    subprocess.run([sys.executable, "-c", UNFINISHED, str(catalog.path)], check=False)
    assert catalog.path.with_name("catalog.duckdb.wal").stat().st_size > 0
    Run(journal)  # something to take in: the file is opened for writing
    assert asked(catalog) == (expected, None)
    assert (catalog.behind(), catalog.damage()) == (0, None)


def test_a_catalog_whose_writer_died_is_built_anew_without_a_word(catalog: Catalog) -> None:
    expected, _ = asked(catalog)
    with duckdb.connect(catalog.path) as half:
        half.execute("delete from lineage.version")
    break_seal(catalog.path, Disk())
    assert catalog.damage() is None
    assert catalog.behind() == catalog._journal.head()
    assert asked(catalog) == (expected, None)


def test_a_catalog_is_neither_touched_nor_made_anew_when_nothing_is_new(
    journal: Journal, catalog: Catalog
) -> None:
    def seen() -> list[tuple[int, int]]:
        paths = (catalog.path, Path(seal_of(catalog.path)))
        return [(p.stat().st_ino, p.stat().st_mtime_ns) for p in paths]

    asked(catalog)
    before = seen()
    asked(catalog)
    assert catalog.bring_up_to_date() == journal.head()
    assert (catalog.behind(), catalog.damage()) == (0, None)
    assert seen() == before
    Run(journal)
    assert catalog.behind() == 1
    asked(catalog)
    assert seen()[0][0] == before[0][0]  # the same file, with more in it
    assert state_of_seal(catalog.path) == "whole"


def test_a_sealed_catalog_that_says_something_else_is_damage(
    journal: Journal, catalog: Catalog
) -> None:
    assert (catalog.behind(), catalog.damage()) == (None, None)
    catalog.bring_up_to_date()
    Run(journal)
    with duckdb.connect(catalog.path) as other:
        other.execute("insert into lineage.input from lineage.input limit 1")  # one row twice
    seal(catalog.path, Disk())
    said = catalog.damage()
    assert said is not None
    assert "lineage.input" in said


def test_a_catalog_of_another_journal_is_no_damage(catalog: Catalog, tmp_path: Path) -> None:
    other = Journal(tmp_path / "other")
    for _ in range(3):
        Run(other)
    Catalog(other.root, other).bring_up_to_date()
    put(catalog.path, (other.root / "catalog.duckdb").read_bytes())
    seal(catalog.path, Disk())
    assert catalog.damage() is None
    assert catalog.behind() == catalog._journal.head()


# ------------------------------------------------------------------------------------------- index


class Known(NamedTuple):
    """What there is to ask for."""

    ids: list[str]
    recipes: list[str]
    environments: list[str]
    runs: list[str]
    fingerprints: list[str]


def known(journal: Journal) -> Known:
    history = opened(journal)
    runs = [start.run for start, _ in history.runs()]
    made = [m for run in runs for m in history.run_materializations(run)]
    history.close()
    return Known(
        [m.id for m in made],
        sorted({m.recipe for m in made}),
        sorted({m.environment for m in made}),
        runs,
        sorted({m.fingerprint for m in made}),
    )


def look_ups(history: History, of: Known) -> dict[str, Callable[[], Any]]:
    """Every kind of question that the index answers."""
    return {
        "materialization": lambda: [history.materialization(i) for i in [*of.ids, "r1.99"]],
        "recipe": lambda: [history.recipe(r) for r in of.recipes],
        "environment": lambda: [history.environment_facts(e) for e in of.environments],
        "knows": lambda: [history.knows(r) for r in [*of.recipes, "nothing"]],
        "check": lambda: [history.check(f) for f in (digest("check"), "none")],
        "asset": lambda: [history.asset_facts(a) for a in ("b", "clean", "none")],
        "run": history.runs,
        "of_run": lambda: [history.run_materializations(run) for run in of.runs],
        "version": lambda: [history.versions(a) for a in ("b", "clean", "features")],
        "read_from": lambda: [history.readers(i) for i in of.ids],
        "reuse_of": lambda: [history.reuses(i) for i in of.ids],
    }


def opened(journal: Journal, small: int = 1 << 24) -> History:
    cache = journal.root / "cache"
    return History(journal, Index(journal, cache, small), catch_up(journal, cache), "default")


def answers(journal: Journal, of: Known, small: int = 1 << 24) -> dict[str, Any]:
    """Each kind asked by a process of its own, as it were."""
    found = {}
    for kind in look_ups(opened(journal), of):
        history = opened(journal, small)
        found[kind] = look_ups(history, of)[kind]()
        history.close()
    return found


def by_fingerprint(journal: Journal, of: Known, small: int) -> list[list[str]]:
    history = opened(journal, small)
    found = [[m.id for m in history.by_fingerprint(f)] for f in of.fingerprints]
    history.close()
    return found


@pytest.mark.parametrize("small", [0, 1 << 24], ids=["large", "small"])
def test_a_flipped_bit_of_the_index_changes_no_answer(
    journal: Journal, cache: Path, small: int
) -> None:
    of = known(journal)
    expected, made = answers(journal, of), by_fingerprint(journal, of, 1 << 24)
    (path,) = cache.glob("*.sqlite")
    whole = path.read_bytes()
    used = [i for i in range(len(whole)) if whole[i]]
    for data in flipped(whole, [*range(0, 100, 9), *random.Random(1).sample(used, 60)]):
        put(path, data)
        if small:
            assert opened(journal)._index.damage() is not None
        for those, wanted in zip(by_fingerprint(journal, of, small), made, strict=True):
            # Of a large index, a computation may be overlooked: it is then made again.
            assert those == wanted or (not small and set(those) <= set(wanted))
        put(path, data)
        assert answers(journal, of, small) == expected


@pytest.mark.parametrize("change", [
    "update place set entry = entry + 1 where kind = 'materialization'",
    "update place set line = line + 1 where kind in ('recipe', 'environment')",
    "update place set line = 900 where kind = 'fingerprint'",
    "update place set line = 'x' where kind = 'fingerprint'",
    "update place set key = 'nothing' where kind = 'recipe' and line = 1",
    "delete from place where kind in ('materialization', 'recipe', 'environment')",
    "delete from place where kind not in ('fingerprint')",
    "delete from place where kind in ('of_run', 'read_from') and entry % 2",
    "update through set digest = 'x'",
    "update through set entry = 1",
    "drop table place",
])  # fmt: skip
def test_rows_of_a_large_index_that_changed_are_found_out(
    journal: Journal, cache: Path, change: str
) -> None:
    of = known(journal)
    expected, made = answers(journal, of), by_fingerprint(journal, of, 0)
    (path,) = cache.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    spoilt = path.read_bytes()
    assert by_fingerprint(journal, of, 0) == made
    for kind in expected:
        put(path, spoilt)
        history = opened(journal, 0)
        assert look_ups(history, of)[kind]() == expected[kind]
        history.close()


DIE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma cache_size = 1")
connection.execute("begin immediate")
connection.execute("update place set kind = 'asset', key = key || 'x'")
os.kill(os.getpid(), 9)
"""


def test_an_index_whose_writer_died_is_built_anew(journal: Journal, cache: Path) -> None:
    of = known(journal)
    expected = answers(journal, of)
    (path,) = cache.glob("*.sqlite")
    break_seal(path, Disk())
    subprocess.run([sys.executable, "-c", DIE, str(path)], check=False)
    left = path.with_name(path.name + "-journal")
    assert left.stat().st_size > 0
    assert opened(journal)._index.damage() is None
    assert answers(journal, of, 0) == expected
    assert state_of_seal(path) == "whole"


def test_an_index_is_filled_up_and_sealed_again_not_made_anew(
    journal: Journal, cache: Path
) -> None:
    known(journal)
    (path,) = cache.glob("*.sqlite")
    before = path.stat().st_ino
    made = Run(journal).make("new", table("new"))
    assert opened(journal).materialization(made.id) == made
    assert path.stat().st_ino == before
    assert state_of_seal(path) == "whole"
    assert opened(journal)._index.damage() is None


def test_damage_of_a_large_index_is_not_added_to_and_sealed(journal: Journal, cache: Path) -> None:
    known(journal)
    (path,) = cache.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("delete from place where kind = 'version'")
    connection.close()
    made = Run(journal).make("new", table("new"))
    assert opened(journal, 0).by_fingerprint(made.fingerprint) == [made]
    assert opened(journal)._index.damage() is None
    assert opened(journal, 0).versions("clean")


def test_a_sealed_index_that_says_something_else_is_damage(journal: Journal, cache: Path) -> None:
    assert opened(journal)._index.damage() is None
    known(journal)
    (path,) = cache.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("delete from place where kind = 'version'")
    connection.close()
    seal(path, Disk())
    said = opened(journal)._index.damage()
    assert said is not None
    assert str(path) in said


FILL = """
import pathlib, sys
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
root = pathlib.Path(sys.argv[1])
history = History.open(Journal(root), root / "cache")
print(len(history.runs()), len(history.versions("clean")), flush=True)
"""


def test_several_processes_fill_the_index_at_once(journal: Journal, cache: Path) -> None:
    for _ in range(3):
        Run(journal).make("clean", table("more"))
        running = [
            subprocess.Popen(
                [sys.executable, "-c", FILL, str(journal.root)], stdout=subprocess.PIPE
            )
            for _ in range(3)
        ]
        history = opened(journal)
        expected = f"{len(history.runs())} {len(history.versions('clean'))}"
        history.close()
        for process in running:
            out, _ = process.communicate(timeout=60)
            assert (process.returncode, out.decode().strip()) == (0, expected)
        (path,) = cache.glob("*.sqlite")
        assert state_of_seal(path) == "whole"
        assert opened(journal)._index.damage() is None


# -------------------------------------------------------------------------------------- checkpoint


def test_a_flipped_bit_of_the_checkpoint_changes_no_answer(journal: Journal, cache: Path) -> None:
    def told() -> Any:
        history = opened(journal)
        return history.currents(), history.lasts(), history.check(digest("check"))

    expected = told()
    path = cache / "facts-4.jsonl"
    whole = path.read_bytes()
    assert checkpoint.damage(journal, cache) is None
    assert checkpoint.seen_through(cache) == journal.head()
    for data in flipped(whole, random.Random(2).sample(range(len(whole)), 300)):
        put(path, data)
        assert checkpoint.damage(journal, cache) == f"`{path}` is not what was written"
        assert checkpoint.seen_through(cache) == 0
        put(path, data)
        assert told() == expected


def test_a_checkpoint_that_was_carried_on_is_no_damage(journal: Journal, cache: Path) -> None:
    assert (checkpoint.damage(journal, cache), checkpoint.seen_through(cache)) == (None, 0)
    run = Run(journal)
    for text in ("one", "two", "one"):
        result = CheckResult(
            digest(text + "check"), "rows", "a", None, digest(text), "error", True,
            digest("rule"), 0, "", (), 0.1,
        )  # fmt: skip
        run.make("a", table(text), checks=[result])
        opened(journal)
        assert checkpoint.damage(journal, cache) is None
    stood = journal.head()
    run.make("a", table("three"))
    assert checkpoint.damage(journal, cache) is None
    assert checkpoint.seen_through(cache) == stood


def test_a_sealed_checkpoint_that_says_something_else_is_damage(
    journal: Journal, cache: Path
) -> None:
    opened(journal)
    path = cache / "facts-4.jsonl"
    body = kept(path)
    assert body is not None
    keep(path, body.replace(b'"clean"', b'"claen"'), Disk())
    said = checkpoint.damage(journal, cache)
    assert said is not None
    assert str(path) in said
