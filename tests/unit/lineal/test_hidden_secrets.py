"""What a step prints, logs or raises holds no secret, wherever it is kept or shown."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path

import pytest

from lineal.assets.errors import StepError, UserCodeError
from lineal.assets.records import Recipe
from lineal.assets.secrets import secret
from lineal.project import Project
from lineal.user_code import UserCode

NAME, VALUE = "LINEAL_TEST_PASSWORD", "hunter2 & Söhne"


class Step:
    """User code that runs in a folder, with what was shown of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown = ""
        self.code = UserCode(
            root, root / ".lineal", lambda _: None, lambda _: None, lambda: None, self.echo
        )

    def echo(self, step: str, text: str) -> None:
        self.shown += text

    def running(self):  # type: ignore[no-untyped-def]  # a context manager of UserCode
        return self.code.running(Recipe("0" * 64), "orders", "1/orders", ())

    def log(self) -> str:
        return (self.root / ".lineal" / "logs" / "1" / "orders.log").read_text().partition("--")[0]


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    monkeypatch.setenv(NAME, VALUE)
    secret(NAME)
    return Step(tmp_path)


def test_what_is_printed_and_logged_holds_no_secret(step: Step) -> None:
    with step.running():
        print("it is", VALUE, "here")
        logging.getLogger("orders").error("login as me:%s", VALUE)
    expected = "it is *** here\nERROR orders: login as me:***\n"
    assert (step.log(), step.shown) == (expected, expected)


def test_a_secret_that_is_written_in_pieces_is_found(step: Step) -> None:
    with step.running():
        for piece in ("a h", "unter2", " & Söh", "ne", "!\n", "b hunter", " is no secret\n", "hun"):
            print(piece, end="")
    expected = "a ***!\nb hunter is no secret\nhun"
    assert (step.log().rstrip("\n"), step.shown) == (expected, expected)


def test_what_is_raised_holds_no_secret(step: Step) -> None:
    with pytest.raises(UserCodeError) as caught, step.running():
        raise ConnectionError(f"can't log in with {VALUE!r}" + "." * 3000)
    error = caught.value
    assert error.message.startswith("ConnectionError: can't log in with '***'")
    assert VALUE not in f"{vars(error)} {error}"
    assert VALUE not in step.log()


def test_an_error_of_a_step_holds_no_secret(step: Step) -> None:
    with pytest.raises(StepError) as caught, step.running():
        raise StepError(f"no {VALUE}")
    assert (caught.value.message, str(caught.value)) == ("no ***", "no ***")
    assert VALUE not in step.log()


PIPELINE = """
    from lineal import asset, secret

    @asset
    def leaks():
        password = secret("LINEAL_TEST_PASSWORD").value
        print("logging in with", password)
        return len(password)

    @asset
    def fails():
        raise RuntimeError("refused: " + secret("LINEAL_TEST_PASSWORD").value)

    @asset
    def needs():
        return secret("LINEAL_TEST_ABSENT").value
"""


def test_no_file_of_a_store_holds_the_value_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, VALUE)
    monkeypatch.delenv("LINEAL_TEST_ABSENT", raising=False)
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    project = Project(tmp_path)
    shown: list[str] = []
    run = project.materialize(echo=lambda step, text: shown.append(text))
    outcomes = {report.step.asset: report.outcome for report in run.steps}
    assert outcomes == {"leaks": "made", "fails": "failed", "needs": "failed"}
    assert "".join(shown) == "logging in with ***\n"
    assert project.load("leaks") == len(VALUE)
    (missing,) = [r.error for r in run.steps if r.step.asset == "needs"]
    assert missing is not None
    assert "`LINEAL_TEST_ABSENT` is not set" in str(missing)
    for file in tmp_path.joinpath(".lineal").rglob("*"):
        if file.is_file():
            assert b"hunter2" not in file.read_bytes(), file
    monkeypatch.setenv(NAME, "another, equally long")
    explained = project.why("leaks")
    assert explained.decision.verdict.name == "fresh"
    assert NAME not in dict(explained.environment.variables)
