import subprocess
import sys

import pytest

from lineal.assets.errors import IntegrityError
from lineal.assets.names import Step
from lineal.assets.records import (
    Acceptance,
    AssetFacts,
    CheckResult,
    EnvironmentFacts,
    Publication,
    Recipe,
    RecipePart,
)
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, source_file, table, used


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


def opened(journal, environment="default"):
    return History.open(Journal(journal.root), journal.root / "cache", environment)


def judged(made_of, name="rows", passed=True, fingerprint=None):
    content = made_of.digest
    key = fingerprint or digest(f"{name}{content}")
    return CheckResult(key, name, "a", None, content, "error", passed, digest(f"code of {name}"))


def test_a_project_without_a_store_has_no_past_and_gets_no_store(tmp_path):
    journal = Journal(tmp_path / ".lineal")
    history = opened(journal)
    assert history.current("a", None) is None
    assert history.last("a", None) is None
    assert list(history.by_fingerprint("f")) == []
    assert history.check("f") is None
    assert history.runs() == []
    assert not history.knows("r")
    assert not (tmp_path / ".lineal").exists()


def test_current_is_what_was_published_and_last_what_was_attempted(journal):
    run = Run(journal)
    made = run.make("a", table("one"))
    failed = run.make("a", None, outcome="failed")
    history = opened(journal)
    assert history.current("a", None) == made
    assert history.last("a", None) == failed
    assert history.current("b", None) is None
    assert history.currents() == {Step("a"): made}
    assert history.lasts() == {Step("a"): failed}


def test_partitions_are_steps_of_their_own(journal):
    run = Run(journal)
    first = run.make("a", table("one"), partition="2026-01")
    second = run.make("a", table("two"), partition="2026-02")
    history = opened(journal)
    assert history.current("a", "2026-01") == first
    assert history.current("a", "2026-02") == second
    assert history.current("a", None) is None


def test_a_run_planned_earlier_never_overrides_one_planned_later(journal):
    early, late = Run(journal), Run(journal)
    of_late = late.make("a", table("late"))
    of_early = early.make("a", table("early"))
    history = opened(journal)
    assert history.current("a", None) == of_late
    assert history.last("a", None) == of_early


def test_runs_are_compared_as_numbers_not_as_text(journal):
    runs = [Run(journal) for _ in range(11)]
    newest = runs[10].make("a", table("r11"))
    runs[8].make("a", table("r9"))
    assert opened(journal).current("a", None) == newest


def test_within_a_run_the_later_publication_wins(journal):
    run = Run(journal)
    run.make("a", table("one"))
    second = run.make("a", table("two"))
    assert opened(journal).current("a", None) == second


def test_environments_have_their_own_current_and_last(journal):
    prod = Run(journal, "prod").make("a", table("one"))
    dev_run = Run(journal, "dev")
    dev_run.make("a", None, outcome="failed")
    assert opened(journal, "prod").current("a", None) == prod
    assert opened(journal, "prod").last("a", None) == prod
    assert opened(journal, "dev").current("a", None) is None
    assert opened(journal, "dev").last("a", None).outcome == "failed"


def test_an_old_version_can_be_published_again(journal):
    run = Run(journal)
    old = run.make("a", table("one"))
    run.make("a", table("two"))
    run.make("a", table("three"))
    opened(journal)
    back = Run(journal)
    journal.append([back.publication(old)])
    assert opened(journal).current("a", None) == old
    assert opened(journal).current("a", None) == old  # also from the checkpoint


def test_a_publication_of_something_never_recorded_shows_nothing(journal):
    run = Run(journal)
    journal.append([Publication("default", "a", None, "r9.9", digest("x"), run.id)])
    assert opened(journal).current("a", None) is None
    assert opened(journal).currents() == {}


def test_by_fingerprint_gives_what_has_a_content_newest_first(journal):
    run = Run(journal)
    first = run.make("a", table("one"), fingerprint="f")
    run.make("a", None, outcome="failed", fingerprint="f")
    blocked = run.make("a", table("two"), outcome="blocked", fingerprint="f")
    reused = Run(journal).reuse(first)
    run.make("a", table("other"), fingerprint="g")
    assert list(opened(journal).by_fingerprint("f")) == [reused, blocked, first]


def test_a_history_is_frozen_at_the_entry_it_was_opened_at(journal):
    run = Run(journal)
    first = run.make("a", table("one"), fingerprint="f")
    history = opened(journal)
    run.make("a", table("two"), fingerprint="f")
    opened(journal).by_fingerprint("f")  # brings the shared index beyond
    assert history.current("a", None) == first
    assert list(history.by_fingerprint("f")) == [first]
    assert len(opened(journal).by_fingerprint("f")) == 2


def test_checks_of_current_and_of_older_contents_are_found(journal):
    old, new = judged(table("one")), judged(table("two"), passed=False)
    run = Run(journal)
    run.make("a", table("one"), checks=[old])
    run.make("a", table("two"), checks=[new])
    run.make("a", table("three"))
    for _ in range(2):  # folded now, and from the checkpoint
        history = opened(journal)
        assert history.check(old.fingerprint) == old
        assert history.check(new.fingerprint) == new
        assert history.check("other") is None


def test_the_newest_result_of_a_check_counts(journal):
    run = Run(journal)
    run.make("a", table("one"), checks=[judged(table("one"), fingerprint="f")])
    again = judged(table("one"), passed=False, fingerprint="f")
    journal.append([again])
    assert opened(journal).check("f") == again


def test_acceptance_goes_both_ways_and_over_several_steps(journal):
    def accept(old, new, asset="a"):
        journal.append([Acceptance(asset, old, new, "same", "ada", 1.0)])

    accept("r1", "r2")
    accept("r2", "r3")
    accept("x", "y", asset="b")
    history = opened(journal)
    assert history.accepted("a", "r1", "r2")
    assert history.accepted("a", "r3", "r1")
    assert history.accepted("a", "other", "other")
    assert not history.accepted("a", "r1", "r4")
    assert not history.accepted("a", "x", "y")
    assert not history.accepted("b", "r1", "r2")


def test_recipes_environments_and_assets_are_found_by_what_names_them(journal):
    recipe = Recipe(digest("r"), (RecipePart("f", "function", digest("f")),), imports=("pandas",))
    environment = EnvironmentFacts(digest("e"), "3.12", (("pandas", "3.0"),), ())
    first = AssetFacts("a", "python", "One.", "", (), "p.py:1")
    second = AssetFacts("a", "python", "Two.", "ada", ("daily",), "p.py:2")
    journal.append([first, recipe, environment])
    journal.append([second])
    history = opened(journal)
    assert history.recipe(recipe.digest) == recipe
    assert history.environment_facts(environment.digest) == environment
    assert history.asset_facts("a") == second
    assert history.known_recipe(recipe.digest)
    assert not history.known_recipe(environment.digest)
    assert history.known_environment(environment.digest)
    assert history.knows(recipe.digest) and history.knows(environment.digest)
    assert not history.knows("nothing")
    assert history.recipe("nothing") is None


def test_runs_and_what_they_made_are_told_in_order(journal):
    first = Run(journal)
    a = first.make("a", table("one"))
    second = Run(journal)
    b = first.make("b", table("two"))
    first.end()
    history = opened(journal)
    assert [(s.run, e.outcome if e else None) for s, e in history.runs()] == [
        (first.id, "done"),
        (second.id, None),
    ]
    assert list(history.run_materializations(first.id)) == [a, b]
    assert history.materialization(b.id) == b
    assert history.materialization("r1.99") is None


def test_readers_and_reuses_lead_downstream(journal):
    run = Run(journal)
    source = run.observe("raw", table("raw"), source_file("x.csv", "x"))
    reader = run.make("a", table("a"), used(source), used(source, "id", parameter="again"))
    reused = Run(journal).reuse(reader)
    history = opened(journal)
    assert list(history.readers(source.id)) == [reused, reader]
    assert list(history.reuses(reader.id)) == [reused]


# ------------------------------------------------------------------------------------- checkpoint


def told(history):
    return (
        history.currents(),
        history.lasts(),
        history.runs(),
        [history.by_fingerprint(m.fingerprint) for m in history.currents().values()],
        history.accepted("a", "r1", "r2"),
    )


def some_past(journal):
    early = Run(journal)
    run = Run(journal, "dev")
    raw = run.observe("raw", table("raw", "id"), source_file("x.csv", "x"))
    run.make("a", table("one", "id"), used(raw, "id"), checks=[judged(table("one", "id"))])
    run.make("p", table("p1"), partition="1")
    early.make("a", table("late", "id"))
    early.make("b", None, outcome="failed")
    journal.append([Acceptance("a", "r1", "r2", "", "ada", 1.0)])


@pytest.mark.parametrize("environment", ["default", "dev"])
def test_a_folding_from_a_checkpoint_equals_one_from_scratch(journal, environment):
    for _ in range(3):
        some_past(journal)
        opened(journal, environment).by_fingerprint("x")  # saves both, to be carried on from
    from_checkpoint = told(opened(journal, environment))
    for path in (journal.root / "cache").iterdir():
        path.unlink()
    assert told(opened(journal, environment)) == from_checkpoint


def test_an_unchanged_journal_writes_nothing(journal):
    some_past(journal)
    opened(journal).by_fingerprint("f")
    cache = journal.root / "cache"
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in journal.root.rglob("*")}
    told(opened(journal))
    assert {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in journal.root.rglob("*")} == before
    assert {p.suffix for p in cache.iterdir()} == {".jsonl", ".sqlite", ".seal"}


def spoil(path):
    size = path.stat().st_size
    return {
        "empty": b"",
        "half": path.read_bytes()[: size // 2],
        "zeros": b"\0" * size,
        "flipped": path.read_bytes().replace(b"r2.", b"r3."),
        "other": b"something else entirely, and long enough to be looked at " * 100,
    }


@pytest.mark.parametrize("how", ["empty", "half", "zeros", "flipped", "other"])
def test_a_damaged_cache_is_built_anew(journal, how):
    some_past(journal)
    expected = told(opened(journal))
    for path in (journal.root / "cache").iterdir():
        if how != "flipped" or path.suffix == ".jsonl":
            path.write_bytes(spoil(path)[how])
    assert told(opened(journal)) == expected
    assert told(opened(journal)) == expected


def test_a_checkpoint_of_another_journal_is_not_believed(journal, tmp_path):
    other = Journal(tmp_path / "other")
    some_past(journal)
    Run(other).make("a", table("elsewhere"))
    for _ in range(8):
        Run(other)
    expected = told(opened(journal))
    told(opened(other))
    for path in (journal.root / "cache").iterdir():
        path.write_bytes((other.root / "cache" / path.name).read_bytes())
    assert told(opened(journal)) == expected


def test_a_journal_that_became_shorter_is_folded_anew(journal):
    run = Run(journal)
    first = run.make("a", table("one"), fingerprint="f")
    run.make("a", table("two"), fingerprint="f")
    opened(journal).by_fingerprint("f")
    journal.path(3).unlink()
    history = opened(journal)
    assert history.current("a", None) == first
    assert list(history.by_fingerprint("f")) == [first]


def test_a_cache_that_cannot_be_written_costs_time_only(journal):
    some_past(journal)
    (journal.root / "cache").write_text("a file where a folder should be")
    assert told(opened(journal))[0]


def test_a_missing_entry_is_told_even_when_nothing_else_is_new(journal):
    run = Run(journal)
    run.make("a", table("one"))
    opened(journal)
    run.make("a", table("two"))
    run.make("a", table("three"))
    journal.path(3).unlink()
    with pytest.raises(IntegrityError, match=r"entry 3 .* is missing"):
        opened(journal)


def test_looking_at_the_past_imports_nothing_heavy(journal):
    some_past(journal)
    code = (
        "import sys, pathlib\n"
        "from lineal.lineage.facts import History\n"
        "from lineal.lineage.journal import Journal\n"
        f"root = pathlib.Path({str(journal.root)!r})\n"
        "history = History.open(Journal(root), root / 'cache')\n"
        "history.currents(), history.by_fingerprint('x')\n"
        "heavy = {'duckdb', 'pandas', 'pyarrow', 'numpy', 'sqlglot', 'rich', 'filelock',\n"
        "         'tempfile', 'importlib.metadata', 'tomllib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
