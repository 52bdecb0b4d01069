"""`lineal fsck` through the command line: what is damaged is named, what is well is said to be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click import unstyle

from lineal.assets.digest import digest_bytes
from lineal.assets.records import Materialization, Publication, StoredObject
from lineal.cli.checkup import fsck_lines
from lineal.cli.render import Style
from lineal.fsck import look
from lineal.lineage.journal import Journal
from lineal.project import Project
from tests.e2e.command_line import Said, Workplace


@pytest.fixture
def kept(shop: Workplace) -> Workplace:
    """The shop, made twice: `priced` and what follows from it have an old version."""
    shop.make()
    shop.edit("helpers.py", "RATE = 1.1", "RATE = 1.2")
    shop.make()
    shop.lineal("sql", "select 1")
    return shop


def store(place: Workplace) -> Path:
    return place.root / ".lineal"


def objects(place: Workplace, asset: str) -> dict[bool, Path]:
    """The object of the current version of an asset (True), and of the one before (False)."""
    project = Project(place.root)
    found = {}
    for made in reversed(project.show(asset).versions):
        assert made.content is not None
        (stored,) = made.content.objects
        name = f"{stored.digest}.{stored.suffix}"
        found[made.id == project.version(asset).id] = (
            store(place) / "objects" / stored.digest[:2] / name
        )
    return found


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    overwrite(path, bytes(data))


def damages(said: Said) -> dict[str, dict[str, Any]]:
    assert said.code == (3 if said.json["damages"] else 0)
    return {found["path"]: found for found in said.json["damages"]}


def notes(said: Said) -> dict[str, dict[str, Any]]:
    return {note["kind"]: note for note in said.json["notes"]}


# ------------------------------------------------------------------------------------- all is well


def test_a_whole_store_is_all_well(kept: Workplace) -> None:
    said = kept.lineal("fsck")
    assert said.code == 0, said.out
    assert re.fullmatch(
        r"All well: \d+ entries, \d+ objects \(\d+ kB\), \d+ versions, \d+ caches and logs, "
        r"the catalog\.\n",
        said.out,
    )


def test_a_look_writes_nothing(kept: Workplace) -> None:
    before = kept.files()
    kept.lineal("fsck")
    assert kept.files() == before


def test_nothing_made_yet_is_nothing_to_check(shop: Workplace) -> None:
    said = shop.lineal("fsck")
    assert (said.code, said.out) == (0, "Nothing to check: nothing was made yet.\n")
    said = shop.lineal("fsck", "--repair", "--json")
    assert said.code == 0
    assert said.json["ok"]
    assert not store(shop).exists()


def test_outside_of_a_project_it_is_a_usage_error(empty: Workplace) -> None:
    said = empty.lineal("fsck")
    assert said.code == 2
    assert "no project" in said.err


def test_an_unknown_level_is_a_usage_error(kept: Workplace) -> None:
    assert kept.lineal("fsck", "--level", "deep").code == 2


def test_it_does_not_need_the_code_of_the_project(kept: Workplace) -> None:
    kept.write("pipeline.py", "this is no Python")
    assert kept.lineal("fsck").code == 0


# ------------------------------------------------------------------------------------------- notes


def test_orphans_leftovers_and_strangers_are_told_and_are_no_damage(kept: Workplace) -> None:
    orphan = Project(kept.root).path("priced")[0]
    data = orphan.read_bytes() + b"\n"
    from blake3 import blake3

    name = blake3(data).hexdigest()
    place = store(kept) / "objects" / name[:2] / f"{name}.bin"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    (store(kept) / "tmp" / "left").write_bytes(b"over")
    (store(kept) / "journal" / "notes.txt").write_text("mine")
    (store(kept) / "more").write_text("mine")
    said = kept.lineal("fsck")
    assert said.code == 0
    assert re.search(r"1 object \([\d.]+ k?B\) that no entry names\n", said.out)
    assert "1 file in tmp/ (4 B)" in said.out
    assert f"        {place}\n" in said.out
    assert f"        {store(kept) / 'tmp' / 'left'}\n" in said.out
    assert f"{store(kept) / 'journal' / 'notes.txt'}\n" in said.out
    told = notes(kept.lineal("fsck", "--json"))
    assert told["orphans"]["paths"] == [str(place)]
    assert told["orphans"]["bytes"] == len(data)
    assert told["leftovers"]["paths"] == [str(store(kept) / "tmp" / "left")]
    assert set(told["unknown"]["paths"]) == {
        str(store(kept) / "more"), str(store(kept) / "journal" / "notes.txt")
    }  # fmt: skip


def test_an_object_that_only_a_damaged_entry_may_name_is_not_offered_for_deletion(
    kept: Workplace,
) -> None:
    flip(entries(kept)[1])  # names mean's first version
    said = kept.lineal("fsck")
    assert "that no entry that can be read names; the damaged ones may" in said.out
    kept.lineal("fsck", "--repair")
    assert "that no entry names, unless the lost ones did" in kept.lineal("fsck").out


def test_a_damaged_orphan_is_damage(kept: Workplace) -> None:
    place = store(kept) / "objects" / "ab" / f"{'ab' * 32}.bin"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"not of this name")
    assert damages(kept.lineal("fsck", "--json"))[str(place)]["held"] == []


def test_a_deleted_catalog_and_one_behind_are_no_damage(kept: Workplace) -> None:
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.3")
    kept.make()
    said = kept.lineal("fsck")
    assert said.code == 0
    assert re.search(r"the catalog is \d entries behind the journal", said.out)
    for path in store(kept).glob("catalog*"):
        path.unlink()
    shutil.rmtree(store(kept) / "cache")
    said = kept.lineal("fsck", "--json")
    assert said.code == 0
    assert said.json["checked"]["catalog"] is False
    assert notes(said) == {}


# ----------------------------------------------------------------------------------------- objects


def test_a_damaged_object_is_named_by_its_whole_path_with_what_it_holds(kept: Workplace) -> None:
    path = objects(kept, "priced")[True]
    flip(path)
    version = Project(kept.root).version("priced").content
    assert version is not None
    said = kept.lineal("fsck")
    assert said.code == 3
    (row,) = [row for row in said.out.splitlines() if str(path) in row]
    assert "is damaged: its bytes don't have the digest that is its name" in row
    assert f"priced@{version.digest} (current)" in row
    assert said.out.splitlines()[-2].startswith("1 file is damaged. Looked at ")
    assert said.out.splitlines()[-1].strip().startswith("lineal fsck --repair")


def test_a_missing_and_an_empty_and_a_short_object_are_told(kept: Workplace) -> None:
    old, now = objects(kept, "priced")[False], objects(kept, "priced")[True]
    mean = objects(kept, "mean")[True]
    old.unlink()
    overwrite(now, now.read_bytes()[:100])
    overwrite(mean, b"")
    found = damages(kept.lineal("fsck", "--json", "--level", "objects"))
    assert {path: one["what"].split(",")[0] for path, one in found.items()} == {
        str(old): "is missing",
        str(now): "has 100 bytes",
        str(mean): "is empty",
    }
    assert [held["current"] for held in found[str(old)]["held"]] == [False]
    assert [held["current"] for held in found[str(now)]["held"]] == [True]
    assert found[str(now)]["held"][0]["run"] == Project(kept.root).version("priced").run


def test_each_level_looks_further(kept: Workplace) -> None:
    flip(objects(kept, "priced")[True])
    codes = [
        kept.lineal("fsck", "--level", level).code
        for level in ("journal", "objects", "bytes", "content", "catalog")
    ]
    assert codes == [0, 0, 3, 3, 3]


def lie(place: Workplace, *, published: bool, asset: str = "priced") -> Path:
    """An entry that says of an asset's object that it gives another content."""
    made = Project(place.root).version(asset)
    assert made.content is not None
    content = replace(made.content, digest="0" * 64)
    facts: list[Any] = [replace(made, id=f"{made.run}.99", content=content)]
    if published:
        facts.append(Publication("default", asset, None, facts[0].id, content.digest, made.run))
    (path,) = Project(place.root).path(asset)
    Project(place.root).journal.append(facts)
    return path


def test_a_current_version_that_is_recorded_wrongly_is_made_again(kept: Workplace) -> None:
    """Every byte is what was written, only that this is not what the entry says."""
    path = lie(kept, published=True)
    assert kept.lineal("fsck", "--level", "bytes").code == 0
    (found,) = damages(kept.lineal("fsck", "--json")).values()
    assert (found["path"], found["level"]) == (str(path), "content")
    assert found["what"].endswith("recorded is 000000000000…")
    assert [held["version"] for held in found["held"]] == ["0" * 64]
    said = kept.lineal("fsck", "--repair")
    assert said.code == 0, said.out
    assert re.search("priced@000000 was recorded wrongly: it is priced@[0-9a-f]{6} now", said.out)
    assert "moved to" not in said.out
    assert path.exists()
    assert Project(kept.root).version("priced").content.digest != "0" * 64  # type: ignore[union-attr]
    said = kept.lineal("fsck")
    assert said.code == 0
    assert "recorded wrongly, no longer current: priced@000000" in said.out
    assert kept.make().code == 0


@pytest.mark.parametrize("failing", [True, False], ids=["fails", "is gone"])
def test_what_is_recorded_wrongly_and_cannot_be_made_again_is_told(
    kept: Workplace, failing: bool
) -> None:
    path = lie(kept, published=True, asset="mean")
    text = (kept.root / "pipeline.py").read_text()
    if failing:
        kept.edit("pipeline.py", "return Result(float", "raise ValueError('no') or Result(float")
    else:
        kept.write("pipeline.py", text[: text.index("@asset")])
    said = kept.lineal("fsck", "--repair")
    assert said.code == 3
    why = "failed: ValueError: no" if failing else "no code declares it any more"
    assert f"mean could not be made again: {why}" in said.out
    assert said.out.splitlines()[-1].endswith("once more, when that is mended")
    assert path.exists()


def test_of_old_versions_what_is_recorded_wrongly_is_a_note(kept: Workplace) -> None:
    path = lie(kept, published=False)
    assert notes(kept.lineal("fsck", "--json"))["wrong"]["paths"] == [str(path)]


# ----------------------------------------------------------------------------------------- journal


def entries(place: Workplace) -> list[Path]:
    return sorted((store(place) / "journal").glob("*.jsonl"))


def test_a_deleted_entry_is_named(kept: Workplace) -> None:
    gone = entries(kept)[2]
    gone.unlink()
    (found,) = damages(kept.lineal("fsck", "--json", "--level", "journal")).values()
    assert found["path"] == str(gone)
    assert found["what"].startswith("is missing, but later ones exist")
    assert f"{gone}   is missing, but later ones exist (entry 3)" in kept.lineal("fsck").out


def test_the_last_entry_is_missed_as_long_as_a_cache_knows_of_it(kept: Workplace) -> None:
    gone = entries(kept)[-1]
    gone.unlink()
    (found,) = damages(kept.lineal("fsck", "--json")).values()
    assert found["path"] == str(gone)
    assert "it was there" in found["what"]
    assert kept.lineal("fsck", "--repair").code == 0
    assert kept.lineal("fsck").code == 0


@pytest.mark.parametrize("edited", [True, False], ids=["edited", "cut short"])
def test_a_changed_entry_is_named_and_all_else_is_still_looked_at(
    kept: Workplace, edited: bool
) -> None:
    path, mean = entries(kept)[1], objects(kept, "mean")[True]
    data = path.read_bytes()
    overwrite(path, data.replace(b'"priced"', b'"prized"') if edited else data[:-40])
    flip(mean)
    found = damages(kept.lineal("fsck", "--json"))
    told = "was changed" if edited else "is cut short"
    assert told in found.pop(str(path))["what"]
    assert list(found) == [str(mean)]


def test_a_format_that_is_not_ours_is_told(kept: Workplace) -> None:
    path = store(kept) / "format"
    overwrite(path, b"x\n")
    (found,) = damages(kept.lineal("fsck", "--json")).values()
    assert found["path"] == str(path)
    overwrite(path, b"2\n")
    said = kept.lineal("fsck")
    assert said.code == 3
    assert "update lineal" in said.err


# ------------------------------------------------------------------------------------------ repair


def in_trash(place: Workplace) -> dict[str, bytes]:
    """What repairs moved away, by the path it had in the store."""
    return {
        str(Path(*path.relative_to(store(place)).parts[2:])): path.read_bytes()
        for path in (store(place) / "trash").rglob("*")
        if path.is_file()
    }


def test_a_repair_brings_back_what_is_current_byte_for_byte(kept: Workplace) -> None:
    path = objects(kept, "priced")[True]
    whole = path.read_bytes()
    flip(path)
    damaged = path.read_bytes()
    said = kept.lineal("fsck", "--repair")
    assert said.code == 0, said.out
    assert re.search(r"priced@[0-9a-f]{6} is back, byte for byte", said.out)
    assert path.read_bytes() == whole
    assert in_trash(kept)[str(path.relative_to(store(kept)))] == damaged
    said = kept.lineal("fsck")
    assert said.code == 0
    assert "in trash/" in said.out
    assert kept.make().json["run"] is None


def test_an_old_version_that_is_lost_stays_told_and_is_damage_no_more(kept: Workplace) -> None:
    path = objects(kept, "priced")[False]
    path.unlink()
    run = damages(kept.lineal("fsck", "--json"))[str(path)]["held"][0]["run"]
    said = kept.lineal("fsck", "--repair", "--json")
    assert said.code == 0
    (action,) = said.json["actions"]
    assert action["kind"] == "lost"
    assert f"run {run} made it" in action["what"]
    said = kept.lineal("fsck", "--json")
    assert said.code == 0
    assert notes(said)["lost"]["paths"] == [str(path)]
    # It is made once more by whoever goes back to that code, and is then not lost.
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.1")
    kept.make()
    assert "lost" not in notes(kept.lineal("fsck", "--json"))


def test_what_is_lost_is_known_without_the_trash(kept: Workplace) -> None:
    path = objects(kept, "priced")[False]
    flip(path)
    assert kept.lineal("fsck", "--repair").code == 0
    shutil.rmtree(store(kept) / "trash")
    said = kept.lineal("fsck")
    assert said.code == 0
    assert f"        {path}\n" in said.out
    flip(store(kept) / "lost")
    assert set(damages(kept.lineal("fsck", "--json"))) == {str(path), str(store(kept) / "lost")}
    assert kept.lineal("fsck", "--repair").code == 0
    assert kept.lineal("fsck").code == 0


def test_the_last_copy_of_something_current_is_not_offered_for_deletion(kept: Workplace) -> None:
    flip(objects(kept, "mean")[True])
    whole = (kept.root / "pipeline.py").read_text()
    kept.write("pipeline.py", "this is no Python")
    said = kept.lineal("fsck", "--repair")
    assert "keep them, for what is current of mean is damaged or missing" in said.out
    kept.write("pipeline.py", whole)
    assert "yours to delete" in kept.lineal("fsck", "--repair").out
    assert "yours to delete" not in kept.lineal("fsck", "--level", "objects").out


def test_the_newest_run_without_an_end_is_a_note(kept: Workplace) -> None:
    last = entries(kept)[-1]
    assert b'"run_ended"' in last.read_bytes()
    last.unlink()
    shutil.rmtree(store(kept) / "cache")
    for path in store(kept).glob("catalog*"):
        path.unlink()
    run = Project(kept.root).version("priced").run
    told = notes(kept.lineal("fsck", "--json", "--level", "journal"))["runs"]["what"]
    assert told == f"run {run} has no end: cut off, going on, or the last entries are gone"


def test_lost_entries_are_told_as_spans_and_once(kept: Workplace) -> None:
    for path in [*entries(kept)[:3], entries(kept)[4]]:
        path.unlink()
    said = kept.lineal("fsck", "--repair")
    assert "lost from the journal: entries 1 to 3, 5" in said.out
    assert "makes again what only lost entries told of" in said.out


def test_a_format_that_is_missing_is_written_anew_and_hides_nothing(kept: Workplace) -> None:
    (store(kept) / "format").unlink()
    said = kept.lineal("fsck")
    assert "not looked at" not in said.out
    assert "moves" not in said.out
    said = kept.lineal("fsck", "--repair")
    assert said.code == 0
    assert "lineal materialize" not in said.out


def test_what_was_lost_is_damage_again_when_something_current_needs_it(kept: Workplace) -> None:
    path = objects(kept, "mean")[False]
    path.unlink()
    assert kept.lineal("fsck", "--repair").code == 0
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.1")
    kept.make()
    path.unlink()
    assert str(path) in damages(kept.lineal("fsck", "--json"))


def test_a_repair_that_comes_out_otherwise_says_so(kept: Workplace) -> None:
    path = objects(kept, "priced")[True]
    flip(path)
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.5")
    said = kept.lineal("fsck", "--repair", "--json")
    assert said.code == 0
    assert [a["kind"] for a in said.json["actions"]] == ["moved", "changed"]
    assert "came out otherwise" in said.json["actions"][1]["what"]
    assert kept.lineal("fsck").code == 0


def test_a_repair_goes_as_far_as_it_can_when_the_project_does_not_load(kept: Workplace) -> None:
    path, old = objects(kept, "priced")[True], objects(kept, "mean")[False]
    whole = (kept.root / "pipeline.py").read_text()
    flip(path)
    old.unlink()
    kept.write("pipeline.py", "this is no Python")
    said = kept.lineal("fsck", "--repair")
    assert said.code == 3
    assert "could not be made again" in said.out
    assert re.search("priced@[0-9a-f]{6} is current still, and can't be read", said.out)
    assert "once more, when that is mended" in said.out
    assert str(old) in {
        p for n in json.loads(kept.lineal("fsck", "--json").out)["notes"] for p in n["paths"]
    }
    kept.write("pipeline.py", whole)
    assert kept.lineal("fsck", "--repair").code == 0
    assert path.exists()


def test_equal_content_in_other_bytes_is_told_and_is_no_loss(kept: Workplace) -> None:
    """As another version of a library writes it: the entry of before names bytes that are gone."""
    journal = Project(kept.root).journal
    made = Project(kept.root).version("mean")
    assert made.content is not None
    other = StoredObject(digest_bytes(b"77"), "json", 2)
    before = replace(made, id=f"{made.run}.98", content=replace(made.content, objects=(other,)))
    content = made.content.digest
    publication = Publication("default", "mean", None, before.id, content, made.run)
    journal.append([before, publication])
    said = kept.lineal("fsck", "--repair", "--json")
    assert said.code == 0
    assert [action["kind"] for action in said.json["actions"]] == ["made_again"]
    assert said.json["actions"][0]["what"].endswith("the same content, in other bytes")
    assert Project(kept.root).version("mean").id != before.id
    assert kept.lineal("fsck").code == 0


def test_a_step_that_fails_in_a_repair_is_told(kept: Workplace) -> None:
    flip(objects(kept, "mean")[True])
    kept.edit("pipeline.py", "return Result(float", "raise ValueError('no') or Result(float")
    said = kept.lineal("fsck", "--repair")
    assert said.code == 3
    assert "mean could not be made again: failed: ValueError: no" in said.out


def test_a_repaired_journal_keeps_the_rest(kept: Workplace) -> None:
    expected = {name: Project(kept.root).load(name) for name in ("mean", "by_city")}
    path = entries(kept)[0]
    overwrite(path, path.read_bytes()[:50])
    said = kept.lineal("fsck", "--repair")
    assert said.code == 0, said.out
    assert len(in_trash(kept)["journal/000000000001.jsonl"]) == 50
    assert Project(kept.root).load("mean") == expected["mean"]
    assert Project(kept.root).load("by_city").equals(expected["by_city"])
    said = kept.lineal("fsck", "--json")
    assert said.code == 0
    assert notes(said)["lost"]["what"] == "lost from the journal: entry 1"
    assert kept.lineal("materialize").code == 0
    assert kept.lineal("sql", "select count(*) from lineage.run").code == 0


def test_caches_logs_and_catalog_are_repaired(kept: Workplace) -> None:
    kept.edit("pipeline.py", "    return Result(float", "    print('ok')\n    return Result(float")
    kept.make()
    kept.lineal("sql", "select 1")
    (log,) = (store(kept) / "logs").rglob("mean.log")
    wrong = [p for p in (store(kept) / "cache").rglob("*") if p.is_file()]
    wrong += [log, store(kept) / "catalog.duckdb"]
    for path in wrong:
        flip(path)
    found = set(damages(kept.lineal("fsck", "--json")))
    assert found == {str(path) for path in wrong if path.suffix != ".seal"}
    said = kept.lineal("fsck", "--repair")
    assert said.code == 0, said.out
    assert f"logs/{log.parent.name}/mean.log" in in_trash(kept)
    assert kept.make().json["run"] is None


def test_what_was_mended_since_the_look_stays_where_it_is(kept: Workplace) -> None:
    from lineal.repair import repair

    journal, path = Journal(store(kept)), objects(kept, "priced")[True]
    whole = path.read_bytes()
    flip(path)
    found = look(journal)
    assert [damage.path for damage in found.damages] == [path]
    overwrite(path, whole)
    done = repair(journal, found, lambda *asked: None, 1e9)
    assert done.ok
    assert path.read_bytes() == whole
    assert not any(action.kind == "moved" for action in done.actions)


def test_two_repairs_in_one_second_keep_both_files(kept: Workplace) -> None:
    from lineal.repair import repair

    journal = Journal(store(kept))
    for _ in range(2):
        path = objects(kept, "mean")[False]
        if path.exists():
            flip(path)
        else:
            path.write_bytes(b"another damage")
        repair(journal, look(journal), lambda *asked: None, 1e9)
    assert sorted(p.name for p in (store(kept) / "trash").iterdir()) == [
        "20010909T014640Z", "20010909T014640Z-2",
    ]  # fmt: skip


# -------------------------------------------------------------------------------------- how it says


def test_on_a_terminal_paths_are_whole_and_the_rest_fits(kept: Workplace) -> None:
    old = objects(kept, "mean")[True]
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.3")
    kept.make()
    flip(objects(kept, "priced")[True])
    old.unlink()
    flip(entries(kept)[1])
    found = Project(kept.root).fsck()
    told = [found, Project(kept.root).fsck(repair=True)]
    assert {action.kind for action in told[1].actions} >= {"moved", "forgotten", "lost"}
    for report, width, plain in product(told, (60, 120), (False, True)):
        rows = [
            unstyle(row) for row in fsck_lines(Style(width, ascii=plain), report, str(kept.root))
        ]
        paths = [row for row in rows if str(kept.root) in row]
        named = [*report.damages, *(a for a in report.actions if a.path), *report.notes]
        assert len(paths) >= len({path for one in named for path in paths_of(one)})
        assert all(len(row.split()) <= 2 for row in paths)  # a glyph and the path, nothing else
        assert all(len(row) <= width for row in rows if row not in paths)
        assert plain == all(row.isascii() for row in rows)
    rows = fsck_lines(Style(60, ascii=True), found, str(store(kept)))
    assert any(row.endswith(str(objects_path(found))) for row in rows)
    assert {"journal (1)", "objects (2)"} <= set(rows)


def paths_of(told: Any) -> list[Path]:
    if hasattr(told, "kind") and getattr(told, "kind", "") in ("trash", "behind"):
        return []
    return list(told.paths) if hasattr(told, "paths") else [told.path]


def objects_path(report: Any) -> Path:
    found: Path = next(f.path for f in report.damages if f.level == "bytes")
    return found


def test_a_notebook_gets_a_report_that_shows_itself(kept: Workplace) -> None:
    report = Project(kept.root).fsck()
    assert report.ok
    assert repr(report).startswith("All well: ")
    flip(objects(kept, "priced")[True])
    report = Project(kept.root).fsck(repair=False)
    assert not report.ok
    assert str(objects_path(report)) in repr(report)


# ---------------------------------------------------------------------------------------- meanwhile


def test_a_run_meanwhile_is_no_damage(kept: Workplace) -> None:
    code = "from lineal.project import open\nfor _ in range(4): open().materialize(force=True)\n"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    runs = subprocess.Popen([sys.executable, "-c", code], cwd=kept.root, env=environment)
    looks = 0
    while runs.poll() is None:
        report = Project(kept.root).fsck()
        assert report.ok, report
        looks += 1
    assert runs.returncode == 0
    assert looks > 1


def test_what_is_deleted_while_it_is_looked_at_is_missing(kept: Workplace) -> None:
    def heard(what: str, done: int, of: int) -> None:
        if (what, done) == ("versions", 1):
            shutil.rmtree(store(kept) / "objects")

    found = look(Journal(store(kept)), heard=heard).damages
    assert found
    assert {(f.level, f.what) for f in found} == {("bytes", "is missing")}


def test_a_materialization_is_not_needed_to_know_what_is_current(kept: Workplace) -> None:
    """The version an old publication shows again is current, and told to be."""
    made = Project(kept.root).version("mean")
    assert isinstance(made, Materialization)
    kept.edit("helpers.py", "RATE = 1.2", "RATE = 1.1")
    kept.make()
    old = objects(kept, "mean")
    flip(old[True])
    (found,) = damages(kept.lineal("fsck", "--json")).values()
    assert [held["current"] for held in found["held"]] == [True]
