"""What DuckDB refuses is told at the query's own line, with a caret under what it is about."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from lineal.assets.asset import Contract, Query, Where
from lineal.assets.errors import QueryError
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault

PAY = pa.table({"id": [1, 2], "cents": [100, 2**63 - 1], "cur": ["eur", "12x"]})
RATES = pa.table({"cur": ["eur"], "rate": [1.0]})


@pytest.fixture(scope="module")
def refusal(tmp_path_factory: pytest.TempPathFactory):
    """The error of a query over two tables."""
    folder: Path = tmp_path_factory.mktemp("refusal")
    vault = Vault(Objects(folder / "objects"))
    engine = Engine(vault, folder, threads=1)
    inputs = {
        name: vault.canonical(table, Contract(), rows=False, name=name)
        for name, table in (("raw/pay", PAY), ("rates", RATES))
    }

    def ask(text: str) -> QueryError:
        with pytest.raises(QueryError) as caught:
            engine.query(Query(text, Where("/p/x.sql", 10)), inputs, {}, Contract())
        return caught.value

    return ask


@pytest.mark.parametrize(
    ("text", "line", "said", "caret"),
    [
        ("select id,\n  cents cur\nfrm raw.pay", 12, "syntax error", "frm"),
        ("select 'unterminated\nfrom raw.pay", 10, "unterminated string", "'unterminated"),
        ("select id,\n\tnosuch\nfrom raw.pay", 11, 'column "nosuch"', "nosuch"),
        ("select cur\nfrom raw.pay\njoin rates on true", 10, "Ambiguous", "cur"),
        ("select id,\n\tcur + 1 as n\nfrom raw.pay", 11, "No function matches", "+"),
        ("select 'é', uppr(cur) from raw.pay", 10, "uppr does not exist", "uppr"),
        ("with a as (\n  select nope from raw.pay\n)\nfrom a", 11, '"nope"', "nope"),
        ("pivot raw.pay on nope using sum(cents)", 10, '"nope"', "nope"),
        ("from raw.pay pivot (sum(no) for cur in ('eur'))", 10, '"no"', "no)"),
        ("unpivot raw.pay on nope into name x value y", 10, "nope", "nope into"),
        ("select *\nexclude (nope) from raw.pay", 11, "EXCLUDE list", "nope"),
        ("select struct_pack(a := 1).b from raw.pay", 10, 'key "b"', "b from"),
        ("select id\nfrom raw.pay\nwhere sum(cents) > 1", 12, "aggregates", "sum"),
        ("select id, sum(cents) from raw.pay", 10, "GROUP BY", "id"),
        ("select id from raw.pay order by\n 5", 11, "ORDER term", "5"),
        ("select list_transform([1], lambda x: nope(x)) from rates", 10, "nope", "nope"),
        ("select date 'foo' from raw.pay", 10, "invalid date", "date"),
        ("select id,\n cur::int from raw.pay", 11, "'eur' to INT32 .* column cur", "::int"),
        ("select 1; select 2", 10, "holds 2 statements", "select 2"),
        ("-- gone\ndelete from raw.pay", 11, "`DELETE` can't", "delete"),
    ],
)
def test_an_error_has_its_line_and_a_caret(refusal, text, line, said, caret) -> None:
    error = refusal(text)
    with pytest.raises(QueryError, match=said):
        raise error
    assert error.where == f"/p/x.sql:{line}"
    shown, mark = error.excerpt.split("\n")
    assert shown == text.split("\n")[line - 10]
    assert shown[mark.index("^") :].startswith(caret)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select cents * 10 from raw.pay", r"\(9223372036854775807 \* 10\)"),
        ("select cents // 0 from raw.pay", r"\(cents // 0\).*TRY\(...\) to return NULL for this "),
        ("select (select id from raw.pay) as x", "More than one row"),
        ("select error('boom') from raw.pay", "boom"),
    ],
)
def test_an_error_without_a_place_says_what_duckdb_knows(refusal, text: str, said: str) -> None:
    error = refusal(text)
    with pytest.raises(QueryError, match=said):
        raise error
    assert (error.where, error.excerpt) == ("/p/x.sql:10", None)
    assert "SET" not in f"{error.message} {error.advice}"  # the settings are locked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select p.cent from raw.pay p", "`p` has no column `cent`; did you mean `cents`?"),
        ("from rates join raw.pay as P on p.cent", "`P` has no column `cent`; did you mean `ce"),
        ("select pay.rat from raw.pay, rates r", "`pay` has no column `rat`"),
        ("select r.rat from raw_pay, rates r", "`r` has no column `rat`; did you mean `rate`?"),
        ("select s.rat from (from rates) s", "`s` has no column `rat`"),
    ],
)
def test_a_column_that_a_table_lacks_is_told_with_the_nearest(refusal, text, said) -> None:
    error = refusal(text)
    assert error.message.startswith(said) and ("mean" in said) == ("mean" in error.message)
    shown, mark = error.excerpt.split("\n")
    assert re.match(r"\w+\.(cent|rat)\b", shown[mark.index("^") :])
    assert error.advice == ("it has id, cents, cur" if "pay.rat" in text else None)


def test_of_many_candidates_a_few_are_named(refusal) -> None:
    advice = refusal("select cur + 1 from raw.pay").advice
    assert advice.startswith("Candidate functions: ")
    assert advice.endswith(" more") and len(advice) < 250
