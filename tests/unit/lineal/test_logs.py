"""Logs: read back as they were written, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.errors import IntegrityError
from lineal.logs import Log, read_log, shown_log


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


def test_each_line_is_in_the_file_at_once(path: Path) -> None:
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
