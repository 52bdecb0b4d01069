"""Whatever is wrong is said clearly, with the right exit code, and nothing is lost."""

from __future__ import annotations

import json

import pytest

from tests.e2e.command_line import Workplace

HEAD = "import pandas as pd\nfrom lineal import asset, source, sql_asset, checks, columns\n\n"

KNOWN_BEFORE = {
    "cycle": (
        "@asset\ndef a(c): return 1\n@asset\ndef b(a): return 1\n@asset\ndef c(b): return 1\n",
        ["a cycle: ", " → "],
    ),
    "unknown input": (
        "@asset\ndef a(flihgts): return 1\n@asset\ndef flights(): return 1\n",
        ["no asset `flihgts`", "did you mean `flights`", "pipeline.py:4"],
    ),
    "duplicate name": (
        "@asset\ndef a(): return 1\n@asset(name='A')\ndef b(): return 2\n",
        ["two assets are called", "pipeline.py"],
    ),
    "missing file": ("source('raw/x', 'nowhere.csv')\n", ["nowhere.csv", "raw/x"]),
    "empty glob": ("source('raw/x', 'data/*.csv')\n", ["data/*.csv", "raw/x"]),
    "not a name": ("@asset(name='9lives')\ndef a(): return 1\n", ["`9lives` is not an asset name"]),
    "reserved name": ("@asset(name='lineage/x')\ndef a(): return 1\n", ["lineage"]),
    "failing import": (
        "import nothing_like_this\n",
        ["ModuleNotFoundError", "nothing_like_this", "pipeline.py:4"],
    ),
    "syntax": ("def a(:\n", ["pipeline.py:4"]),
    "SQL syntax": ("sql_asset('a', 'selec 1')\n", ["selec", "^"]),
    "SQL reads a file": ("sql_asset('a', \"select * from 'x.csv'\")\n", ["x.csv", "source("]),
    "SQL reads a file by function": ("sql_asset('a', \"from read_csv('x.csv')\")\n", ["source("]),
    "SQL table unknown": (
        "sql_asset('a', 'select * from ordres')\n@asset\ndef orders(): return 1\n",
        ["ordres", "did you mean"],
    ),
    "captured client": (
        "import sqlite3\nclient = sqlite3.connect(':memory:')\n@asset\n"
        "def a(): return client.execute('select 1').fetchone()[0]\n",
        ["client", "resource"],
    ),
}


@pytest.mark.parametrize("case", KNOWN_BEFORE)
def test_what_is_known_before_the_first_step_exits_2_and_runs_nothing(
    empty: Workplace, case: str
) -> None:
    body, told = KNOWN_BEFORE[case]
    empty.write("pipeline.py", HEAD + body)
    said = empty.lineal("materialize")
    assert said.code == 2, said.out + said.err
    assert not (empty.root / ".lineal" / "journal").exists()
    for words in told:
        assert words in said.err, said.err
    assert "Traceback" not in said.err
    document = empty.lineal("materialize", "--json")
    assert document.code == 2
    assert set(json.loads(document.out)["error"]) >= {"kind", "message", "where", "advice"}


def test_all_definition_errors_are_told_at_once(empty: Workplace) -> None:
    empty.write("pipeline.py", HEAD + "@asset\ndef a(x): return 1\n@asset\ndef b(y): return 1\n")
    said = empty.lineal("plan")
    assert "2 errors" in said.err
    assert "`x`" in said.err
    assert "`y`" in said.err


IN_THE_STEP = {
    "unsupported type": ("@asset\ndef a(): return object()\n", ["object", 'format="pickle"']),
    "mixed column": ("@asset\ndef a(): return pd.DataFrame({'m': [1, 'x']})\n", ["`m`"]),
    "duplicate columns": (
        "@asset\ndef a(): return pd.DataFrame([[1, 2]], columns=['x', 'X'])\n",
        ["x"],
    ),
    "runtime SQL error": (
        "@asset\ndef t(): return pd.DataFrame({'x': ['a']})\n"
        "sql_asset('a', 'select x::integer as n from t')\n",
        ["Could not convert", "^"],
    ),
    "SQL column unknown": (
        "@asset\ndef t(): return pd.DataFrame({'price': [1]})\n"
        "sql_asset('a', 'select prise from t')\n",
        ["prise", "price"],
    ),
    "primary key broken": (
        "@asset(primary_key='k')\ndef a(): return pd.DataFrame({'k': [1, 1]})\n",
        ["k", "1"],
    ),
    "declared column missing": (
        "from typing import Annotated\n@asset\ndef t(): return pd.DataFrame({'price': [1]})\n"
        "@asset\ndef a(t: Annotated[pd.DataFrame, columns('prise')]): return 1\n",
        ["prise", "price"],
    ),
    "wrong outputs": (
        "@asset(outputs=['x', 'y'])\ndef a(): return 1, 2, 3\n",
        ["`x`", "`y`", "3"],
    ),
    "empty exit": ("@asset\ndef a(): raise SystemExit(3)\n", ["SystemExit"]),
}


@pytest.mark.parametrize("case", IN_THE_STEP)
def test_what_goes_wrong_in_a_step_fails_that_step_and_exits_1(empty: Workplace, case: str) -> None:
    body, told = IN_THE_STEP[case]
    empty.write("pipeline.py", HEAD + "@asset\ndef bystander(): return 1\n" + body)
    said = empty.lineal("materialize")
    assert said.code == 1, said.out + said.err
    for words in told:
        assert words in said.out + said.err
    assert "bystander" in said.out
    assert empty.lineal("show", "bystander").code == 0


def test_a_file_that_is_no_csv_is_named(empty: Workplace) -> None:
    path = empty.root / "data.csv"
    path.write_bytes(bytes(range(256)) * 20)
    empty.write("pipeline.py", HEAD + "source('raw/x', 'data.csv')\n")
    said = empty.lineal("materialize")
    assert said.code == 1
    assert "data.csv" in said.out


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("[project]\nstrickt = true\n", ["strickt", "strict"]),
        ("[project]\nstrict = 3\n", ["strict"]),
        ("[parameters.nobody]\nx = 1\n", ["nobody"]),
        ("[parameters.fine]\nrat = 1\n", ["rat", "rate"]),
        ("[parameters.fine]\nrate = 'much'\n", ["rate", "much"]),
        ("[project\n", ["lineal.toml"]),
    ],
)
def test_wrong_settings_exit_2(empty: Workplace, settings: str, told: list[str]) -> None:
    empty.write("pipeline.py", HEAD + "@asset\ndef fine(rate: float = 1.0): return rate\n")
    empty.write("lineal.toml", settings)
    said = empty.lineal("materialize")
    assert said.code == 2, said.out
    for words in told:
        assert words in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["materialize", "fin"], "did you mean `fine`"),
        (["materialize", "tag:none"], "tag:none"),
        (["plan", "kind:table"], "kinds are"),
        (["materialize", "-p", "fine.rat=2"], "rat"),
        (["materialize", "-p", "rate=2"], "ASSET.NAME=VALUE"),
        (["show", "nobody"], "nobody"),
        (["path", "fine"], "fine"),
        (["runs", "r99"], "r99"),
        (["logs", "nobody"], "nobody"),
        (["observe", "fine"], "no source"),
        (["accept", "fine", "--reason", "x"], "never made"),
        (["wy", "fine"], "why"),
        (["run"], "lineal materialize"),
        (["s"], "could be"),
        (["sql", "select * from flight"], "flight"),
        (["sql", "selec 1"], "selec"),
        (["sql", "delete from lineage.run"], "only reads"),
    ],
)
def test_wrong_words_exit_2_and_say_what_to_type(
    empty: Workplace, words: list[str], told: str
) -> None:
    empty.write("pipeline.py", HEAD + "@asset\ndef fine(rate: float = 1.0): return rate\n")
    said = empty.lineal(*words)
    assert said.code == 2, (said.out, said.err)
    assert told in said.err


def test_outside_a_project_it_says_how_to_begin(empty: Workplace) -> None:
    said = empty.lineal("plan")
    assert said.code == 2
    assert "lineal init" in said.err
