from __future__ import annotations

from pathlib import Path

import pytest

from lineal.assets.records import StoredObject
from lineal.lineage.census import Census, Version
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, model, table


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / ".lineal")


def census(journal: Journal) -> Census:
    found = Census()
    for entry in journal.entries_left():
        found.take(entry)
    return found


def stored(text: str) -> StoredObject:
    return StoredObject(digest(text), "parquet", 100)


def test_an_empty_journal_names_nothing(journal: Journal) -> None:
    found = census(journal)
    assert (found.entries, found.holders, found.versions) == (0, {}, {})
    assert found.current() == found.needed() == frozenset()


def test_every_object_is_named_with_the_versions_that_rest_on_it(journal: Journal) -> None:
    run = Run(journal)
    first = run.make("orders", table("one", "id", objects=[stored("x")]))
    run.make("copy", table("one", "id", objects=[stored("x")]))
    run.make("broken", None, outcome="failed")
    found = census(journal)
    assert found.holders == {
        stored("x"): [
            Version("orders", None, digest("one")),
            Version("copy", None, digest("one")),
        ]
    }
    making = found.versions[Version("orders", None, digest("one"))]
    assert (making.materialization, making.run) == (first.id, run.id)
    assert found.entries == journal.head()


def test_the_newest_publication_of_the_newest_run_is_current(journal: Journal) -> None:
    early, late = Run(journal), Run(journal)
    late.make("orders", table("late", "id"))
    early.make("orders", table("early", "id"))  # ends later, but was planned earlier
    found = census(journal)
    assert found.current() == {Version("orders", None, digest("late"))}
    assert found.needed() == {stored("latebytes")}


def test_a_refused_version_is_named_and_is_not_current(journal: Journal) -> None:
    run = Run(journal)
    run.make("orders", table("good", "id"))
    run.make("orders", table("bad", "id"), outcome="blocked")
    found = census(journal)
    assert set(found.holders) == {stored("goodbytes"), stored("badbytes")}
    assert found.current() == {Version("orders", None, digest("good"))}


def test_of_a_version_made_twice_only_the_newer_bytes_are_needed(journal: Journal) -> None:
    Run(journal).make("orders", table("same", "id", objects=[stored("old")]))
    Run(journal).make("orders", table("same", "id", objects=[stored("new")]))
    found = census(journal)
    assert set(found.holders) == {stored("old"), stored("new")}
    assert found.needed() == {stored("new")}


def test_partitions_are_current_each_by_itself(journal: Journal) -> None:
    run = Run(journal)
    run.make("monthly", table("jan", "id"), partition="2026-01")
    run.make("monthly", table("feb", "id"), partition="2026-02")
    assert {v.partition for v in census(journal).current()} == {"2026-01", "2026-02"}


def test_entries_that_stand_for_lost_ones_are_counted_apart(journal: Journal) -> None:
    run = Run(journal)
    run.make("orders", table("one", "id"))
    run.make("fitted", model("two"))
    path = journal.path(journal.head() - 1)
    path.unlink()
    path.write_bytes(b"torn")
    before = census(journal)
    assert before.lost == []
    assert before.entries == journal.head() - 1
    journal.mend(journal.root / "trash")
    after = census(Journal(journal.root))
    assert after.lost == [journal.head() - 1]
    assert after.holders == before.holders
