"""Logs: read back as they were written, or refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.errors import IntegrityError
from lineal.assets.names import Step
from lineal.logs import (
    Echoing,
    Follower,
    Log,
    is_being_written,
    log_name,
    read_log,
    shown_log,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r1" / "step.log"


def write(path: Path, *texts: str) -> None:
    log = Log(path, "step")
    for text in texts:
        log.write(text)
    log.close()


def test_a_log_ends_with_the_line_that_proves_it(path: Path) -> None:
    write(path, "fitting ", "…\n", "done\n")
    text = "fitting …\ndone\n".encode()
    proof = f"-- lineal: {len(text)} bytes, blake3 {blake3(text).hexdigest()}\n".encode()
    assert path.read_bytes() == text + proof
    assert read_log(path) == ("fitting …\ndone\n", "whole")
    assert shown_log(path) == "fitting …\ndone\n"


def test_a_step_that_prints_nothing_leaves_no_log(path: Path) -> None:
    write(path)
    write(path, "")
    assert not path.parent.exists()


def test_the_last_line_is_ended(path: Path) -> None:
    write(path, "half")
    assert read_log(path) == ("half\n", "whole")


def test_each_text_is_in_the_file_at_once(path: Path) -> None:
    log = Log(path, "step")
    log.write("one\n")
    assert path.read_bytes() == b"one\n"
    assert read_log(path) == ("one\n", "open")
    assert "not closed" in shown_log(path)
    log.close()
    assert "not closed" not in shown_log(path)


def test_a_later_attempt_goes_on_in_the_same_log(path: Path) -> None:
    write(path, "first\n")
    write(path, "second\n")
    assert read_log(path) == ("first\nsecond\n", "whole")
    log = Log(path, "step")
    log.write("third\n")
    assert read_log(path) == ("first\nsecond\nthird\n", "open")
    log.close()
    assert read_log(path) == ("first\nsecond\nthird\n", "whole")


def test_any_bit_flipped_is_noticed_in_every_attempt(path: Path) -> None:
    write(path, "one\n")
    write(path, "two\n-- lineal: not a proof\n")
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            assert read_log(path)[1] == "damaged", (place, bit)


def test_a_bit_flipped_before_an_attempt_that_died_is_noticed(path: Path) -> None:
    write(path, "one\n")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"one", b"ont") + b"two\n")
    assert read_log(path)[1] == "damaged"


def test_an_attempt_does_not_vouch_for_damage_before_it(path: Path) -> None:
    write(path, "one\n")
    path.write_bytes(path.read_bytes().replace(b"one", b"ont"))
    write(path, "two\n")
    assert read_log(path)[1] == "damaged"


def test_a_damaged_log_is_refused_by_its_whole_path(path: Path) -> None:
    write(path, "auc 0.91\n")
    path.write_bytes(path.read_bytes().replace(b"0.91", b"0.99"))
    with pytest.raises(IntegrityError) as caught:
        shown_log(path)
    assert caught.value.where == str(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("kept", [0, 5, 9, 10, 20, -1])
def test_a_log_cut_short_is_not_whole(path: Path, kept: int) -> None:
    write(path, "auc 0.91\n")
    path.write_bytes(path.read_bytes()[:kept])
    assert read_log(path)[1] != "whole"


# --------------------------------------------------------------------------------- who writes it


def test_threads_that_write_at_once_leave_a_log_that_holds(path: Path) -> None:
    log = Log(path, "step")
    threads = [
        threading.Thread(target=lambda n=n: [log.write(f"{n} {i}\n") for i in range(300)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    text, state = read_log(path)
    assert state == "whole"
    assert sorted(text.splitlines()) == sorted(f"{n} {i}" for n in range(4) for i in range(300))


def test_what_a_thread_writes_after_its_step_is_sealed_too(path: Path) -> None:
    log = Log(path, "step")
    log.write("first\n")
    log.close()
    log.write("late\n")
    assert read_log(path) == ("first\nlate\n", "whole")


def test_what_goes_past_python_is_in_the_log_and_proved(path: Path) -> None:
    log = Log(path, "step")
    os.write(log.descriptor(), b"from below")
    log.write(", from above")
    log.close()
    assert read_log(path) == ("from below, from above\n", "whole")


def test_a_descriptor_to_which_nothing_is_written_leaves_no_log(path: Path) -> None:
    log = Log(path, "step")
    log.descriptor()
    log.close()
    assert not path.exists()


def test_a_log_tells_whether_somebody_writes_it(path: Path) -> None:
    assert is_being_written(path) is False
    log = Log(path, "step")
    log.write("one\n")
    assert is_being_written(path) is True
    assert shown_log(path) == "one\n-- lineal: this log was not closed: the step still runs\n"
    log.close()
    assert is_being_written(path) is False


WRITES = """
import pathlib, sys
from lineal.logs import Log
log = Log(pathlib.Path(sys.argv[1]), "step")
log.write(sys.argv[2])
print("written", flush=True)
sys.stdin.read()
"""


def killed_while_writing(path: Path, text: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()


def test_a_log_cut_by_a_kill_is_readable_and_says_so(path: Path) -> None:
    killed_while_writing(path, "epoch 1\nepo")
    told = "epoch 1\nepo\n-- lineal: this log was not closed: its process died\n"
    assert shown_log(path) == told
    path.write_bytes(path.read_bytes() + b"-- lineal: 11 bytes, bl")  # in the middle of its end
    assert shown_log(path).startswith("epoch 1\nepo")
    path.write_bytes(b"epoch 1\nepo")
    write(path, "epoch 1 again\n")  # another attempt, or its parent's word
    assert read_log(path) == ("epoch 1\nepoepoch 1 again\n", "whole")


def test_the_log_of_an_attempt_killed_after_one_that_was_closed_is_readable(path: Path) -> None:
    write(path, "one\n")
    killed_while_writing(path, "two\n")
    assert shown_log(path).startswith("one\ntwo\n-- lineal: this log was not closed")
    path.write_bytes(path.read_bytes().replace(b"one", b"ont"))
    with pytest.raises(IntegrityError):
        shown_log(path)


# --------------------------------------------------------------------------------------- its name


def test_the_log_of_a_whole_asset_has_its_name() -> None:
    assert log_name(Step("raw/orders")) == "raw_orders"


@pytest.mark.parametrize(
    "key", ["2024", "2024-01", "2024-01-31", "2013-W05", "2013-01-05T07", "eu", "north_west-2.b"]
)
def test_a_plain_key_stands_as_it_is(key: str) -> None:
    assert log_name(Step("raw/orders", key)) == f"raw_orders@{key}"


def test_no_two_keys_share_a_file_and_each_is_a_name_for_every_system() -> None:
    keys = [
        "eu", "EU", "Eu", "2013-W05", "2013-w05", "2013-01-05T07", "2013-01-05t07", "", " ", ".",
        "..", "a.", "a", "a/b", "a\\b", "a:b", "a-b", "a=1,b=2", "a=1", "é", "e\u0301", "日本",
        "x" * 100, "x" * 101, "x" * 500, "x" * 499 + "y", "a@b", "a\0b", "a\nb", "con", "~", "*",
        log_name(Step("m", "EU")).partition("@")[2],
    ]  # fmt: skip
    names = [log_name(Step("m", key)) for key in keys]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(keys)
    assert all(re.fullmatch(r"m@[0-9A-Za-z_.@-]{0,100}", name) for name in names)
    assert not any(name.endswith(".") for name in names)


# -------------------------------------------------------------------------------------- followed


def test_a_log_is_followed_from_before_it_is_there_to_its_end(path: Path) -> None:
    follower = Follower(path)
    assert (follower.news(), follower.ended) == ("", False)
    log = Log(path, "step")
    log.write("one\nhal")
    assert (follower.news(), follower.ended) == ("one\nhal", False)
    log.write("f\n")
    assert follower.news() == "f\n"
    log.close()
    assert (follower.news(), follower.ended) == ("", True)
    write(path, "again\n")
    assert (follower.news(), follower.ended) == ("again\n", True)


def test_a_log_followed_byte_by_byte_says_what_is_read_at_the_end(path: Path) -> None:
    write(path, "grün → 🦊\n-- lineal: not a proof\n--", " lineal", "\n-")
    write(path, "-- lineal: 3 bytes, blake3 " + "0" * 64 + " \n", "a", "-- lineal: \nend")
    data, path = path.read_bytes(), path.with_name("slow.log")
    follower, told = Follower(path), ""
    for place in range(len(data)):
        path.write_bytes(data[: place + 1])
        news = follower.news()
        assert "\ufffd" not in news
        told += news
        assert follower.ended == (read_log(path)[1] == "whole")
    assert follower.ended
    assert told == read_log(path)[0]


def test_a_line_that_only_looks_like_the_end_is_none(path: Path) -> None:
    log = Log(path, "step")
    log.write("a\n-- lineal: 7 bytes, blake3 " + "0" * 64 + "\n")
    follower = Follower(path)
    follower.news()
    assert not follower.ended
    log.close()
    follower.news()
    assert follower.ended


def test_what_running_steps_print_is_told_once_and_to_its_end(path: Path) -> None:
    heard: list[tuple[str, str]] = []
    echoing = Echoing(lambda step, text: heard.append((step, text)))
    write(path, "first attempt, told by then\n")
    other = path.with_name("other.log")
    echoing.start("a", path)
    echoing.start("b", other)
    log = Log(path, "a")
    log.write("one\n")
    echoing.poll()
    echoing.poll()
    log.write("two\n")
    log.close()
    write(other, "three\n")
    echoing.stop("a")
    echoing.poll()
    echoing.stop("b")
    echoing.stop("never started")
    assert heard == [("a", "one\n"), ("a", "two\n"), ("b", "three\n")]


# --------------------------------------------------------------------------- below Python's streams

BELOW = """
import ctypes, logging, os, pathlib, subprocess, sys
handler = logging.StreamHandler(sys.stderr)  # as a module may, while it is imported
logging.getLogger("early").addHandler(handler)
from lineal.logs import Log, descriptors_to
libc = ctypes.CDLL(None)
for name in ("one", "two"):
    log = Log(pathlib.Path(sys.argv[1], f"{name}.log"), name)
    print("before", name)
    with descriptors_to(log.descriptor()):
        libc.printf(b"printf %s\\n", name.encode())
        subprocess.run([sys.executable, "-c", f"import os; os.write(2, b'child {name}\\\\n')"])
        logging.getLogger("early").error("logged %s", name)
        sys.__stdout__.write(f"held back {name}\\n")
    print("after", name)
    log.close()
"""


def test_what_c_code_children_and_early_handlers_write_is_in_the_log_of_their_step(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BELOW, str(tmp_path)], capture_output=True, cwd=ROOT, check=True
    )
    assert ended.stdout.decode().split("\n") == [
        "before one", "after one", "before two", "after two", ""
    ]  # fmt: skip
    assert ended.stderr == b""
    for name in ("one", "two"):
        text, state = read_log(tmp_path / f"{name}.log")
        assert state == "whole"
        assert sorted(text.splitlines()) == [
            f"child {name}", f"held back {name}", f"logged {name}", f"printf {name}"
        ]  # fmt: skip
