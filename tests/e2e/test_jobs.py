"""`--jobs`: what many workers make, try again, wait for and give up, as people see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command_line import Workplace
from tests.flaky import compared


def outcomes(document: Mapping[str, Any]) -> dict[str, str]:
    return {step["asset"]: step["outcome"] for step in document["steps"]}


def made_of(place: Workplace, *words: str, code: int = 0) -> Mapping[str, Any]:
    """What `materialize --json` says, and that it ends with this code."""
    said = place.lineal("materialize", "--json", *words)
    assert said.code == code, said.out + said.err
    return said.json


def story(place: Workplace, run: str) -> dict[str, Any]:
    """What `runs ID` tells of each asset."""
    return {step["asset"]: step for step in place.lineal("runs", run, "--json").json["steps"]}


# ------------------------------------------------------------------------------------- the same


def test_a_flaky_graph_made_by_workers_is_what_one_process_makes_of_a_sound_one(
    tmp_path: Path,
) -> None:
    def lineal(folder: Path, *words: str) -> Any:
        said = Workplace(folder).lineal(*words)
        assert said.code == 0, said.out + said.err
        return said.json

    failed = compared(tmp_path, 40, 1, lineal)
    assert len(failed) == 4


FACTORY = """
    from lineal import asset


    def family(name, number):
        @asset(name=f"first_{name}")
        def first():
            return number

        @asset(name=f"second_{name}", inputs={"given": f"first_{name}"})
        def second(given):
            return [name, number + given]


    for number, name in enumerate("xyz"):
        family(name, number)
    """


def test_functions_that_share_what_a_factory_gave_them_run_in_workers(empty: Workplace) -> None:
    empty.write("pipeline.py", FACTORY)
    inline = made_of(empty)
    # The workers see no `first`, with which `second` shares a value.
    again = made_of(empty, "second_x", "second_y", "second_z", "--force", "--jobs", "2")
    assert [n for n, told in outcomes(again).items() if told == "made"] == [
        "second_x", "second_y", "second_z",
    ]  # fmt: skip
    before = {s["asset"]: s["version"] for s in inline["steps"]}
    assert {s["asset"]: s["version"] for s in again["steps"]} == before


# ----------------------------------------------------------------------------- places in pools

POOLS = """
    import json
    import os
    import time
    from pathlib import Path

    from lineal import Retry, asset

    STAMPS = Path(__file__).resolve().parent.parent / "stamps"


    def stamped(name, pools, exclusive=False, retry=None):
        @asset(name=name, pools=pools or None, exclusive=exclusive, retry=retry)
        def work():
            began = time.monotonic()
            time.sleep(0.05)
            failing = retry is not None and not (STAMPS / name).exists()
            with (STAMPS / (name if failing else f"{name}-again")).open("w") as file:
                json.dump([name, began, time.monotonic()], file)
            if failing:
                raise ConnectionError("not yet")
            return name


    for i in range(4):
        stamped(f"alone{i}", {"database": 1}, retry=Retry(1, delay=0.01))
        stamped(f"both{i}", {"database": 1, "web": 1})
        stamped(f"wide{i}", {"web": 2} if i % 2 else {"web": 1})
        stamped(f"free{i}", {})
    stamped("nobody", {}, exclusive=True)
    """
LIMITS = {"database": 1, "web": 2}


def test_pools_are_never_fuller_than_they_are_and_who_wants_to_be_alone_is(
    empty: Workplace,
) -> None:
    stamps = empty.root.parent / "stamps"
    stamps.mkdir()
    empty.write("pipeline.py", POOLS)
    empty.write("lineal.toml", "[pools]\ndatabase = 1\nweb = 2\n")
    assert set(outcomes(made_of(empty, "--jobs", "4")).values()) == {"made"}
    spans = [json.loads(path.read_text()) for path in stamps.iterdir()]
    assert len(spans) == 4 * 5 + 1
    assert _most(spans, lambda name: 1) > 1
    assert _most(spans, lambda name: name.startswith(("alone", "both"))) == LIMITS["database"]
    web = {f"wide{i}": 1 + i % 2 for i in range(4)} | {f"both{i}": 1 for i in range(4)}
    assert _most(spans, lambda name: web.get(name, 0)) <= LIMITS["web"]
    (alone,) = [span for span in spans if span[0] == "nobody"]
    others = [span for span in spans if span is not alone]
    assert not [name for name, began, ended in others if began < alone[2] and alone[1] < ended]


def _most(spans: list[tuple[str, float, float]], places: Callable[[str], int]) -> int:
    """The most places that were taken at any moment."""
    moments = [(began, places(name)) for name, began, _ in spans]
    moments += [(ended, -places(name)) for name, _, ended in spans]
    taken = most = 0
    for _, change in sorted(moments):
        taken += change
        most = max(most, taken)
    return most


# ------------------------------------------------------------------------------------- patience

PATIENCE = """
    import ctypes
    import time
    from pathlib import Path

    from lineal import Retry, asset

    MARKS = Path(__file__).resolve().parent.parent


    @asset(timeout="0.4s")
    def python_sleeps():
        print("going to sleep")
        for _ in range(3000):
            time.sleep(0.01)


    @asset(timeout="0.4s", retry=Retry(1, delay=0))
    def slow_once():
        if not (MARKS / "slow").exists():
            (MARKS / "slow").touch()
            time.sleep(30)
        return 1
    """
IN_C = """

    @asset(timeout="0.4s", retry=Retry(1, delay=0))
    def c_sleeps():
        ctypes.PyDLL(None).sleep(30)  # while it sleeps, nothing in Python can run
    """


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_step_that_takes_too_long_ends(empty: Workplace, jobs: str) -> None:
    empty.write("pipeline.py", PATIENCE + (IN_C if jobs != "1" else ""))
    run = made_of(empty, "--jobs", jobs, code=1)
    told = story(empty, run["run"])
    assert outcomes(run) == dict.fromkeys(told, "failed") | {"slow_once": "made"}
    for name in told.keys() - {"slow_once"}:
        assert told[name]["error"]["type"] == "timeout"
        assert "longer than its timeout of 0.4 s" in told[name]["error"]["message"]
    attempts = {name: [a["error"]["type"] for a in told[name]["attempts"]] for name in told}
    assert attempts.pop("slow_once") == ["timeout"]
    assert attempts.pop("python_sleeps") == []
    assert list(attempts.values()) in ([], [["timeout"]])
    log = empty.lineal("logs", "python_sleeps").out
    assert log.startswith("going to sleep\n")
    assert "longer than its timeout" in log


RETRIES = """
    from pathlib import Path

    import pyarrow as pa
    from lineal import Retry, asset, check

    COUNTS = Path(__file__).resolve().parent.parent
    ONLY = Retry(2, delay=0, on=(ConnectionError,))


    def attempt(name):
        path = COUNTS / name
        found = 1 + (int(path.read_text()) if path.exists() else 0)
        path.write_text(str(found))
        return found


    class Refused(ConnectionError):
        pass


    @asset(retry=ONLY)
    def refused():
        if attempt("refused") < 3:
            raise Refused("not yet")
        return 1


    @asset(retry=ONLY)
    def mistaken():
        attempt("mistaken")
        raise ValueError("never")


    @asset(retry=ONLY, outputs=["head", "tail"])
    def halves():
        number = attempt("halves")

        def batches():
            yield pa.record_batch({"n": [number]})
            if number < 2:
                raise ConnectionError("half way")

        return {"head": [number], "tail": batches()}


    @asset(retry=ONLY, outputs=["good", "bad"])
    def never():
        def batches():
            yield pa.record_batch({"n": [attempt("never")]})
            raise ConnectionError("half way")

        return {"good": [1], "bad": batches()}


    @asset(retry=Retry(3, delay=0))
    def judged():
        return attempt("judged")


    @check(judged)
    def never_good(judged):
        return False
    """


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_only_what_may_go_better_is_tried_again_and_never_is_half_a_version_left(
    empty: Workplace, jobs: str
) -> None:
    empty.write("pipeline.py", RETRIES)
    run = made_of(empty, "--jobs", jobs, code=1)
    assert outcomes(run) == {
        "refused": "made",
        "mistaken": "failed",
        "head": "made",
        "tail": "made",
        "good": "failed",
        "bad": "failed",
        "judged": "blocked",
    }
    counts = empty.root.parent
    done = {
        n: int((counts / n).read_text())
        for n in ("refused", "mistaken", "halves", "never", "judged")
    }
    assert done == {"refused": 3, "mistaken": 1, "halves": 2, "never": 3, "judged": 1}
    told = story(empty, run["run"])
    attempts = {name: len(step["attempts"]) for name, step in told.items()}
    assert attempts == {
        "refused": 2, "mistaken": 0, "head": 1, "tail": 1, "good": 2, "bad": 2, "judged": 0,
    }  # fmt: skip
    assert told["good"]["version"] is None
    shown = empty.lineal("sql", "select n from tail", "--json")
    assert shown.json == [{"n": 2}]


# ------------------------------------------------------------------------------------ resources

TOOLS = """
    import atexit
    import os
    import time
    from pathlib import Path

    from lineal import asset, resource

    OPENED = Path(__file__).resolve().parent.parent / "opened"


    def note(word):
        with OPENED.open("a") as file:
            file.write(f"{word} {os.getpid()}\\n")


    @resource
    def tool():
        note("opened")
        atexit.register(note, "left")
        yield "tool"
        note("closed")


    def step(number):
        @asset(name=f"step{number}")
        def made(tool):
            time.sleep(0.02)
            return f"{number} with a {tool}"


    for number in range(8):
        step(number)
    """


def test_a_resource_is_opened_once_a_worker_and_closed_at_the_end(empty: Workplace) -> None:
    empty.write("pipeline.py", TOOLS)
    made_of(empty, "--jobs", "2")
    noted = [line.split() for line in (empty.root.parent / "opened").read_text().splitlines()]
    opened = [pid for word, pid in noted if word == "opened"]
    assert len(opened) == len(set(opened)) == 2
    for end in ("closed", "left"):
        assert sorted(pid for word, pid in noted if word == end) == sorted(opened)


# ----------------------------------------------------------------------------------- what it says

LOUD = """
    import logging
    import multiprocessing
    import os
    import subprocess
    import sys
    import time

    from lineal import asset


    @asset
    def loud():
        print("printed")
        sys.stderr.write("complained\\n")
        logging.getLogger("there").warning("logged")
        os.write(1, b"one\\n")
        os.write(2, b"two\\n")
        subprocess.run(["sh", "-c", "echo three; echo four >&2"], check=True)
        return 1


    @asset
    def other():
        print("another")
        # Signals that a worker does not hear reach what it starts.
        child = subprocess.Popen(["sleep", "1000"])
        child.terminate()
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        forked.start()
        forked.terminate()
        forked.join(60)
        return [child.wait(60), forked.exitcode]
    """
SAID = ["printed", "complained", "WARNING there: logged", "one", "two", "three", "four"]


def test_all_that_a_step_in_a_worker_says_is_shown_with_its_name_and_kept(empty: Workplace) -> None:
    empty.write("pipeline.py", LOUD)
    said = empty.lineal("materialize", "--jobs", "2")
    assert said.code == 0, said.err
    shown = [line for line in said.err.splitlines() if line.startswith("loud")]
    assert shown == [f"loud │ {line}" for line in SAID]
    assert "other │ another" in said.err
    assert not [word for word in ("printed", "three", "another") if word in said.out]
    assert empty.lineal("logs", "loud").out.splitlines() == SAID
    assert empty.lineal("logs", "other").out == "another\n"
    assert "-15, -15" in empty.lineal("show", "other").out


# ------------------------------------------------------------------------------------ bad input


@pytest.fixture
def plain(empty: Workplace) -> Iterator[Workplace]:
    empty.write("pipeline.py", "from lineal import asset\n\n\n@asset\ndef one():\n    return 1\n")
    yield empty


@pytest.mark.parametrize("words", [("--jobs", "0"), ("--jobs", "x"), ("-j", "-1"), ("-j", "1.5")])
def test_a_number_of_jobs_that_is_none_is_refused(plain: Workplace, words: tuple[str, str]) -> None:
    said = plain.lineal("materialize", *words)
    assert said.code == 2
    assert "--jobs" in said.err
    assert not (plain.root / ".lineal").exists()


WRONG = {
    "retry=-1": "`retry=` is -1",
    "retry=Retry(1, delay=-5)": "`retry delay=` is -5",
    "retry=Retry(1, on=(int,))": "`retry on=` is",
    "timeout='0s'": "`timeout=` is '0s'",
    "timeout='soon'": "`timeout=` is 'soon'",
    "pools={'database': 0}": "places from 1",
}


def test_options_that_can_never_be_are_refused_together_before_anything_runs(
    plain: Workplace,
) -> None:
    made = [f"@asset({o})\ndef a{i}():\n    return 1\n" for i, o in enumerate(WRONG)]
    plain.write("pipeline.py", "from lineal import Retry, asset\n\n\n" + "\n\n".join(made))
    said = plain.lineal("materialize", "--jobs", "2")
    assert said.code == 2, said
    assert [told for told in WRONG.values() if told not in said.err] == []
    assert said.err.count("pipeline.py:") == len(WRONG)


def test_pools_that_are_not_or_are_too_small_are_refused(plain: Workplace) -> None:
    plain.write("lineal.toml", "[pools]\ndatabase = 2\n")
    plain.write(
        "pipeline.py",
        """
        from lineal import asset


        @asset(pools={"databse": 1})
        def one():
            return 1


        @asset(pools={"database": 3})
        def two():
            return 2
        """,
    )
    said = plain.lineal("materialize", "--jobs", "2")
    assert said.code == 2
    assert "no pool `databse`, of which `one` takes 1; did you mean `database`?" in said.err
    assert "`two` takes 3 places of the pool `database`, which has 2" in said.err
