"""What was current at a moment, and after a run."""

from __future__ import annotations

import datetime as dt

import pytest

from lineal.assets.errors import UsageError
from lineal.assets.versions import moment
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.moments import after_runs, as_of, before_last_change
from lineal.lineage.questions import mentioned_versions, resolve_version, table_views
from tests.unit.lineage.story import Run, table

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def opened(journal):
    return History.open(Journal(journal.root), journal.root / "cache")


def at(history, seconds, asset=None):
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return as_of(history, moment(when, NOW), asset)


def shown(past, asset, partition=None):
    made = past.current(asset, partition)
    return None if made is None else made.id


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


def test_a_version_is_current_from_when_it_was_made_until_another_is(journal):
    first, second = Run(journal, at=1000.0), Run(journal, at=2000.0)
    old = first.make("a", table("one"))  # in 0.5 s
    other = first.make("b", table("x"))
    new = second.make("a", table("two"))
    history = opened(journal)
    assert shown(at(history, 1000.5), "a") == old.id
    assert shown(at(history, 2000.4), "a") == old.id
    assert shown(at(history, 2000.5), "a") == new.id
    assert shown(at(history, 3000.0), "b") == other.id
    assert resolve_version(history, "a@1970-01-01") == new
    assert resolve_version(history, "a@1970-01-01T00:20") == old


def test_before_anything_was_made_there_is_an_error_that_says_since_when(journal):
    run = Run(journal, at=1000.0)
    run.make("a", table("one"))
    run.make("b", table("x"), started_at=5000.0)
    history = opened(journal)
    with pytest.raises(UsageError, match="nothing of `b` had been made") as caught:
        at(history, 1001.0, "b")
    assert "1970-01-01T01:23:20" in caught.value.advice
    with pytest.raises(UsageError, match="nothing had been made"):
        at(history, 999.0)
    with pytest.raises(UsageError, match=r"nothing was ever made of `bb`; did you mean `b`"):
        at(history, 1001.0, "bb")


def test_times_say_what_is_told_of_and_runs_what_overrides(journal):
    early, late = Run(journal, at=1000.0), Run(journal, at=1100.0)
    newer = late.make("a", table("late"))
    older = early.make("a", table("early"), started_at=1200.0)  # planned earlier, ended later
    history = opened(journal)
    assert shown(at(history, 1300.0), "a") == newer.id == shown(history, "a")
    assert shown(after_runs(history, [history.runs()[0][0]])[0], "a") == older.id


def test_partitions_that_were_retired_later_are_there(journal):
    first, second = Run(journal, at=1000.0), Run(journal, at=2000.0)
    one = first.make("a", table("1"), partition="2026-01")
    two = first.make("a", table("2"), partition="2026-02")
    second.retire(one, "its file is gone")
    second.make("a", table("3"), partition="2026-03")
    history = opened(journal)
    before, after = at(history, 1500.0), at(history, 2500.0)
    assert sorted(before.partitions("a")) == ["2026-01", "2026-02"]
    assert sorted(after.partitions("a")) == ["2026-02", "2026-03"]
    assert after.retired("a")["2026-01"].reason == "its file is gone"
    assert not before.retired("a")
    (view,) = table_views(before)
    assert [o.digest for o in view.objects] == [
        m.content.objects[0].digest for m in (one, two) if m.content is not None
    ]
    (named,) = mentioned_versions(history, 'from "a@1970-01-01T00:25"')
    assert named.objects == view.objects
    with pytest.raises(UsageError, match="was retired"):
        resolve_version(history, "a 2026-01@1970-01-01")


def test_what_a_check_refused_was_never_current(journal):
    run = Run(journal, at=1000.0)
    good = run.make("a", table("good"))
    run.make("a", table("bad"), outcome="blocked")
    assert shown(at(opened(journal), 1500.0), "a") == good.id


def test_what_is_recorded_after_the_past_was_opened_is_not_in_it(journal):
    old = Run(journal, at=1000.0).make("a", table("one"))
    history = opened(journal)
    Run(journal, at=1001.0).make("a", table("two"))
    assert shown(at(history, 3000.0), "a") == old.id


def test_before_the_last_change_is_before_the_newest_run_that_left_another_version(journal):
    history = opened(journal)
    first = Run(journal, at=1000.0)
    one = first.make("a", table("one"))
    jan = first.make("p", table("jan"), partition="2026-01")
    Run(journal, at=2000.0).make("a", table("two"))
    third = Run(journal, at=3000.0)
    third.make("a", table("two"))  # computed again: the same version
    third.make("p", table("feb"), partition="2026-02")
    history = opened(journal)
    then = before_last_change(history, "a", None)
    assert then is not None
    assert shown(then, "a") == one.id
    then = before_last_change(history, "p", None)
    assert then is not None
    assert list(then.partitions("p")) == ["2026-01"]
    assert shown(then, "p", "2026-01") == jan.id
    assert before_last_change(history, "p", "2026-01") is None
