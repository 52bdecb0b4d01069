"""Projects of SQL files: their macros, and what the command line says of mistakes in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command_line import Workplace

MACROS = """
    -- money
    create macro best(c, k) as euros(c) * (select max(rate) from rates where cur = k);
    create macro euros(c) as c / 100;
    create macro of(k) as table select * from raw.pay where cur = k;
    create macro unused(x) as x + 1;
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A project with macros, made once; every test leaves it as it found it."""
    folder = Workplace(tmp_path_factory.mktemp("macros"))
    folder.write(
        "pipeline.py",
        """
        from lineal import source, sql_asset, sql_assets

        source("raw/pay", "pay.csv")
        source("rates", "rates.csv")
        sql_asset("inline", "select euros(cents) as e from raw.pay")
        sql_assets("sql")
        """,
    )
    folder.write("pay.csv", "id,cents,cur\n1,100,eur\n2,250,usd\n")
    folder.write("rates.csv", "cur,rate\neur,1.0\nusd,2.0\n")
    folder.write("sql/macros.sql", MACROS)
    folder.write("sql/stg/best.sql", "select id, best(cents, cur) as eur from raw.pay")
    folder.write("sql/dollars.sql", "select id from of('usd')")
    folder.write("sql/wide.sql", "pivot raw.pay on cur using sum(euros(cents))")
    folder.write("sql/plain.sql", "select id from raw.pay")
    said = folder.lineal("materialize", "--jobs", "2", "--json")  # macros travel to workers
    assert said.code == 0, said.err
    yield folder


def stale(place: Workplace) -> set[str]:
    steps = place.lineal("plan", "--json").json["steps"]
    return {step["asset"] for step in steps if step["verdict"] != "fresh"}


def test_macros_are_no_asset_and_what_they_read_is_an_input(place: Workplace) -> None:
    told = place.lineal("plan", "--json").json["steps"]
    assert {s["asset"] for s in told} == {
        "raw/pay", "rates", "inline", "stg/best", "dollars", "plain", "wide",
    }  # fmt: skip
    upstream = place.lineal("lineage", "stg/best").out
    assert "rates@" in upstream and "raw/pay@" in upstream


def test_an_edit_of_a_macro_makes_those_stale_that_reach_it(place: Workplace) -> None:
    edits = [
        ("-- money", "-- money, and more\n\n", set()),
        ("c / 100", "c  /*here*/\n/ 100", set()),
        ("x + 1", "x + 2", set()),
        ("c / 100", "c / 1000", {"inline", "stg/best", "wide"}),
        ("select *", "select all *", {"dollars"}),
        ("max(rate)", "min(rate)", {"stg/best"}),
    ]
    for old, new, wanted in edits:
        place.edit("sql/macros.sql", old, new)
        assert stale(place) == wanted, new
        if "1000" in new:
            why = place.lineal("why", "stg/best").out
            assert "euros" in why and "macros.sql:3" in why
        place.write("sql/macros.sql", MACROS)
    place.edit("sql/macros.sql", "c / 100", "c / 50")
    assert place.lineal("materialize", "--json").steps("made") == {"inline", "stg/best", "wide"}
    (row, _) = place.lineal("sql", "select eur from stg.best order by id", "--json").json
    assert row == {"eur": 2.0}
    place.write("sql/macros.sql", MACROS)
    assert place.lineal("materialize", "--json").steps("reused") == {"inline", "stg/best", "wide"}
    place.edit("rates.csv", "2.0", "3.0")
    assert stale(place) == {"rates", "stg/best"}
    place.edit("rates.csv", "3.0", "2.0")
    assert stale(place) == set()


def test_why_names_what_makes_a_query_volatile(place: Workplace) -> None:
    place.write("sql/plain.sql", "select id, now() as at, random() as chance from raw.pay")
    why = place.lineal("why", "plain").out
    assert "it is volatile, so stale in every run" in why
    assert "its SQL has `now()`, `random()`" in why
    place.write("sql/plain.sql", "select id from raw.pay")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("sql/plain.sql", "select eurs(cents) from raw.pay", [
            "sql/plain.sql:1  no function or macro `eurs`; did you mean `euros`?",
            "      select eurs(cents) from raw.pay\n             ^",
        ]),
        ("sql/plain.sql", "select *\nfrom\n  raw.payx", [
            "sql/plain.sql:3  no asset `raw.payx`", "        raw.payx\n        ^",
        ]),
        ("sql/macros.sql", MACROS.replace("from rates", "from ratez"), [
            "sql/macros.sql:2  no asset `ratez`", "from ratez where cur = k)\n",
        ]),
        ("sql/macros.sql", MACROS + "select 1", ["sql/macros.sql:6  `SELECT` can't be among"]),
        ("sql/stg/macros.sql", "create macro x(a) as a", [
            "sql/stg/macros.sql:1  `CREATE` can't be a SQL asset", "`macros.sql` at the top of",
        ]),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_their_line(
    place: Workplace, file: str, text: str, said: list[str]
) -> None:
    path = place.root / file
    before = path.read_text() if path.exists() else None
    place.write(file, text)
    answer = place.lineal("plan")
    if before is None:
        path.unlink()
    else:
        path.write_text(before)
    assert answer.code == 2
    for each in said:
        assert each in answer.err, answer.err


def test_a_file_of_macros_alone_declares_no_asset(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    place.write("sql/macros.sql", "create macro one() as 1")
    place.write("pipeline.py", """
        from lineal import sql_asset, sql_assets
        sql_assets("sql")
        sql_asset("x", "select one() as one")
        """)  # fmt: skip
    assert place.lineal("materialize", "--json").steps("made") == {"x"}


def test_columns_are_described_in_the_header(place: Workplace) -> None:
    before = (place.root / "sql" / "plain.sql").read_text()
    place.write("sql/plain.sql", """
        /* lineal
        primary_key = "id"
        [columns]
        id = "number of the payment"
        idd = "misspelt"
        */
        select id from raw.pay
        """)  # fmt: skip
    assert place.lineal("materialize", "--json").steps("made") == {"plain"}
    shown = place.lineal("show", "plain").out
    assert "  id  int64  1 … 2  number of the payment" in shown
    assert "described, but no column: idd; did you mean `id`?" in shown
    columns = place.lineal("show", "plain", "--json").json["columns"]
    assert [(c["name"], c["description"]) for c in columns] == [("id", "number of the payment")]
    asked = "select unnest(columns, recursive := true) from lineage.asset where name = 'plain'"
    rows = place.lineal("sql", asked, "--json").json
    assert "number of the payment" in str(rows) and "misspelt" in str(rows)
    place.edit("sql/plain.sql", "misspelt", "another text")
    assert stale(place) == set()  # for people only
    place.edit("sql/plain.sql", 'id = "number', 'id = 3 # "number')
    assert "sql/plain.sql:4  `columns id=` is 3" in place.lineal("plan").err
    (place.root / "sql" / "plain.sql").write_text(before)
    assert place.lineal("materialize").code == 0


def test_only_a_column_that_is_read_makes_a_query_stale(place: Workplace) -> None:
    def made(old: str, new: str) -> set[str]:
        place.edit("pay.csv", old, new)
        steps = place.lineal("materialize", "--json").json["steps"]
        made = {step["asset"] for step in steps if step["outcome"] == "made"}
        assert "wide" in made  # groups by every other column
        return made - {"wide"}

    assert made("2,250", "2,260") == {"raw/pay", "inline", "stg/best"}  # through macros too
    assert made("usd", "eur") == {"raw/pay", "dollars", "stg/best"}
    assert made("cur\n1,100,eur\n2,260,eur", "cur,best\n1,100,eur,5\n2,260,eur,6") == {"raw/pay"}
    place.write("pay.csv", "id,cents,cur\n1,100,eur\n2,250,usd\n")
    assert place.lineal("materialize").code == 0
    assert stale(place) == set()
