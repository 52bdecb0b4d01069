"""Words on the command line that can't be meant: refused before anything is looked at."""

from __future__ import annotations

import pytest

from lineal.cli.main import run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--jobs", "0"], "0 is not in the range x>=1"),
        (["-j", "-2"], "-2 is not in the range x>=1"),
        (["--jobs", "many"], "'many' is not a valid integer"),
        (["--pdb", "--jobs", "3"], "leave one of them out, or give --jobs 1"),
    ],
)
def test_jobs_that_can_not_be_are_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["materialize", *words])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
