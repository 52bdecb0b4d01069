"""Declaring: what the words make, and what they say when a declaration can't be right."""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import sys
import textwrap
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lineal.assets import checks
from lineal.assets.asset import (
    Asset,
    Check,
    Fetch,
    Folder,
    Input,
    Reader,
    Result,
    columns,
    gathering,
)
from lineal.assets.declare import asset, check, csv, json, parquet, source
from lineal.assets.declare_sql import sql_asset, sql_assets
from lineal.assets.errors import DefinitionError, SettingsError, UsageError
from lineal.assets.parameters import convert_parameter

HERE = str(Path(__file__).absolute())


class Disk:
    """Reads SQL files from the disk, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        return Path(path).read_bytes()

    def below(self, folder: str, suffix: str) -> Sequence[str]:
        return sorted(str(p) for p in Path(folder).rglob(f"*{suffix}"))


def declare(text: str) -> list[Any]:
    """What a definitions module of this text declares, errors among it."""
    module = types.ModuleType("a_pipeline")
    code = compile(textwrap.dedent(text), "/project/pipeline.py", "exec", dont_inherit=True)
    with gathering(Disk()) as found:
        exec(code, module.__dict__)
    return found


WORDS = (
    "from __future__ import annotations\n"
    "from lineal import asset, check, checks, columns, source, sql_asset, Folder\n"
)


def the_error(text: str) -> DefinitionError:
    errors = [d for d in declare(WORDS + textwrap.dedent(text)) if isinstance(d, DefinitionError)]
    assert len(errors) == 1, errors
    assert errors[0].where is not None
    assert errors[0].where.startswith("/project/pipeline.py:")
    return errors[0]


def given(made: Asset, parameter: str) -> Input:
    return next(each for each in made.inputs if each.parameter == parameter)


# -------------------------------------------------------------------------------------- assets


def test_columns_are_described_wherever_a_table_is_declared() -> None:
    found = declare(
        WORDS
        + "said = {'id': 'its number'}\n"
        + "@asset(columns=said)\ndef a(): ...\n"
        + "source('b', 'b.csv', columns=said)\n"
        + "sql_asset('c', 'select 1 as id', columns=said)\n"
    )
    assert [each.columns for each in found if isinstance(each, Asset)] == [
        (("id", "its number"),)
    ] * 3
    error = the_error("sql_asset('c', 'select 1 as id', columns=['id'])")
    assert "each column and what it is" in str(error.advice)


def test_a_bare_asset_takes_name_place_and_description_from_its_function() -> None:
    @asset
    def flights(raw_flights):  # type: ignore[no-untyped-def]
        """Flights with
        a timestamp."""
        return raw_flights

    assert isinstance(flights, Asset)
    assert (flights.name, flights.kind, flights.outputs) == ("flights", "python", ("flights",))
    assert flights.inputs == (Input("raw_flights"),)
    assert flights.description == "Flights with\na timestamp."
    assert flights.where.file == HERE
    assert "@asset" in Path(HERE).read_text().splitlines()[flights.where.line - 1]
    assert not flights.several


def test_an_asset_stays_callable_and_inspectable_as_the_plain_function() -> None:
    @asset
    def doubled(x: int, *, times: int = 2) -> int:
        """Twice."""
        return x * times

    assert doubled(3) == 6
    assert doubled(3, times=3) == 9
    assert doubled.__name__ == "doubled"
    assert doubled.__doc__ == "Twice."
    assert list(inspect.signature(doubled).parameters) == ["x", "times"]
    assert inspect.unwrap(doubled) is doubled.function


def test_every_option_of_an_asset_is_kept() -> None:
    def log() -> None: ...

    @asset(
        name="stg/orders",
        inputs={"left": "raw/orders"},
        outputs=["stg/good", "stg/bad"],
        primary_key="id",
        order_by=["day", "id"],
        keep_order=True,
        schema={"id": "BIGINT"},
        format="parquet",
        checks=[checks.not_null("id")],
        version="3",
        ignore=[log],
        volatile=True,
        variables=["HOME"],
        tags="daily",
        owner="me",
        description="Said here",
    )
    def anything(left):  # type: ignore[no-untyped-def]
        """Not this."""
        return left, left

    contract = anything.contract
    assert anything.name == "stg/orders"
    assert anything.outputs == ("stg/good", "stg/bad")
    assert anything.several
    assert anything.inputs == (Input("left", "raw/orders"),)
    assert (contract.primary_key, contract.order_by) == (("id",), ("day", "id"))
    assert (contract.keep_order, contract.format) == (True, "parquet")
    assert contract.schema == (("id", "BIGINT"),)
    assert [c.name for c in anything.checks] == ["not_null(id)"]
    assert (anything.version, anything.ignore, anything.volatile) == ("3", (log,), True)
    assert (anything.variables, anything.tags, anything.owner) == (("HOME",), ("daily",), "me")
    assert anything.description == "Said here"


def test_defaults_and_keyword_only_arguments_are_parameters() -> None:
    @asset
    def model(train, rate: float = 0.1, depth=None, *, seed: int, deep: bool = False):  # type: ignore[no-untyped-def]
        return train

    assert [i.parameter for i in model.inputs] == ["train"]
    assert dict(model.parameters) == {"rate": 0.1, "depth": None, "deep": False}
    assert dict(model.parameter_types) == {"rate": float, "depth": Any, "seed": int, "deep": bool}


def test_a_keyword_only_argument_named_in_inputs_is_an_input() -> None:
    @asset(inputs={"left": "raw/orders"})
    def joined(right, *, left):  # type: ignore[no-untyped-def]
        return left

    assert joined.inputs == (Input("right"), Input("left", "raw/orders"))


def test_inputs_may_be_given_as_assets_and_taken_by_double_star() -> None:
    orders = source("raw/orders", "orders.csv")

    @asset(inputs={"orders": orders, "b": "raw/b"})
    def union(a, **inputs):  # type: ignore[no-untyped-def]
        return inputs

    assert union.takes_rest
    assert union.inputs == (Input("a"), Input("orders", "raw/orders"), Input("b", "raw/b"))


def test_assets_made_in_loops_and_factories_are_all_gathered() -> None:
    with gathering() as found:
        for i in range(3):
            asset(lambda: 1, name=f"part_{i}")
            source(f"raw/{i}", "x.csv")
    assert [d.name for d in found if isinstance(d, Asset)] == [
        "part_0", "raw/0", "part_1", "raw/1", "part_2", "raw/2",
    ]  # fmt: skip


def test_positional_only_arguments_are_inputs_like_others() -> None:
    @asset
    def ratio(a, /, b, rate: float = 1.0):  # type: ignore[no-untyped-def]
        return a, b, rate

    assert [i.parameter for i in ratio.inputs] == ["a", "b"]


# ------------------------------------------------------------------------------------- arrival


def tables(  # type: ignore[no-untyped-def]
    nothing,
    pandas: pd.DataFrame,
    arrow: pa.Table,
    batches: pa.RecordBatchReader,
    relation: duckdb.DuckDBPyRelation,
    polars: pl.DataFrame,
    rows: list[dict[str, Any]],
    array: np.ndarray,
    path: Path,
    paths: list[Path],
    estimator: dict[str, Any],
    maybe: pd.DataFrame | None,
    any_: Any,
) -> list[dict]:  # type: ignore[type-arg]
    return []


ARRIVALS = {
    "nothing": "auto", "pandas": "pandas", "arrow": "arrow", "batches": "batches",
    "relation": "relation", "polars": "polars", "rows": "rows", "array": "array", "path": "path",
    "paths": "paths", "estimator": "object", "maybe": "pandas", "any_": "auto",
}  # fmt: skip


def test_an_annotation_written_as_text_says_how_an_input_arrives() -> None:
    assert isinstance(tables.__annotations__["pandas"], str)
    made = asset(tables)
    assert {i.parameter: i.arrival for i in made.inputs} == ARRIVALS
    assert made.returns_rows


def test_an_annotation_that_is_an_object_says_the_same() -> None:
    real = {k: eval(v, globals()) for k, v in tables.__annotations__.items()}
    made = asset(types.FunctionType(tables.__code__, globals(), "copy"), name="t1")
    assert {i.arrival for i in made.inputs} == {"auto"}  # without annotations
    function = types.FunctionType(tables.__code__, globals(), "copy")
    function.__annotations__ = real
    made = asset(function, name="t2")
    assert {i.parameter: i.arrival for i in made.inputs} == ARRIVALS
    assert made.returns_rows


def test_types_that_are_not_imported_are_known_by_how_they_are_spelt() -> None:
    found = declare(
        """
        from __future__ import annotations
        from lineal import asset
        from typing import Annotated
        @asset
        def t(a: pd.DataFrame, b: "pandas.DataFrame", c: pl.DataFrame, d: pyarrow.Table,
              e: pa.RecordBatchReader, f: duckdb.DuckDBPyRelation, g: np.ndarray, h: list[Path],
              i: NDArray[np.float64], j: Unknown, k: what.ever[0](1),
              l: Annotated[pl.DataFrame, columns("x", "y")]) -> list[dict]: ...
        """
    )
    (made,) = found
    assert {i.parameter: i.arrival for i in made.inputs} == {
        "a": "pandas", "b": "pandas", "c": "polars", "d": "arrow", "e": "batches",
        "f": "relation", "g": "array", "h": "paths", "i": "array", "j": "auto", "k": "auto",
        "l": "polars",
    }  # fmt: skip
    assert given(made, "l").columns == ("x", "y")
    assert made.returns_rows


def test_reading_annotations_imports_nothing() -> None:
    before = set(sys.modules)
    text = "from lineal import asset\n@asset\ndef t(a: 'xmlrpc.client.ServerProxy'): ...\n"
    declare(text)
    assert not {m for m in set(sys.modules) - before if m.startswith("xmlrpc")}


READ = columns("a", "b")
NAMES = ["c", "d"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[pd.DataFrame, columns("a", "b")], ("a", "b")),
        ("Annotated[pd.DataFrame, columns('b', 'a')]", ("b", "a")),
        ("Annotated[pd.DataFrame, READ]", ("a", "b")),
        ("Annotated[pd.DataFrame, columns('x', *NAMES)]", ("x", "c", "d")),
        ("Annotated[pd.DataFrame, 'a note']", None),
    ],
)
def test_declared_columns_are_read_from_the_annotation(annotation: Any, expected: Any) -> None:
    def table(orders): ...  # type: ignore[no-untyped-def]

    table.__annotations__["orders"] = annotation
    made = asset(table)
    assert made.inputs == (Input("orders", None, "pandas", expected),)


def test_declared_columns_that_can_not_be_read_are_an_error_and_never_ignored() -> None:
    error = the_error(
        """
        @asset
        def t(a: Annotated[pd.DataFrame, columns(*(c for c in "ab"))]): ...
        """
    )
    assert "columns(" in error.message
    assert "columns" in the_error("@asset\ndef t(a: Annotated[object, columns()]): ...").message
    assert "twice" in the_error('@asset\ndef t(a: Annotated[int, columns("a", "a")]): ...').message


def test_a_folder_parameter_is_no_input() -> None:
    @asset
    def report(model, out: Folder):  # type: ignore[no-untyped-def]
        return out

    assert report.folder_parameter == "out"
    assert [i.parameter for i in report.inputs] == ["model"]


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@asset(primary_kee='id')\ndef t(): ...", "did you mean `primary_key`"),
        ("@asset(in_place=True)\ndef t(): ...", "`in_place=` is not built yet"),
        ("@asset(env=['HOME'])\ndef t(): ...", "did you mean `variables`"),
        ("@asset('name')\ndef t(): ...", "takes options by name"),
        ("@asset(name='1x')\ndef t(): ...", "`1x` is not an asset name"),
        ("@asset(name='lineage/x')\ndef t(): ...", "`lineage/x` can't be an asset name"),
        ("@asset(format='parket')\ndef t(): ...", "did you mean `parquet`"),
        ("@asset(checks=[1])\ndef t(): ...", "which is no check"),
        ("@asset(checks=[checks.rows(1), checks.rows(1)])\ndef t(): ...", "two checks are called"),
        ("@asset(outputs='train')\ndef t(): ...", "`outputs=` is 'train'"),
        ("@asset(outputs=['a', 'A'])\ndef t(): ...", "`outputs=`"),
        ("@asset(volatile='yes')\ndef t(): ...", "`volatile=` is 'yes'"),
        ("@asset(tags=[1])\ndef t(): ...", "`tags=` is [1]"),
        ("@asset(version=3)\ndef t(): ...", "`version=` is 3"),
        ("@asset\ndef t(*args): ...", "`*args` can't be an input"),
        ("@asset\ndef t(**rest): ...", "it names none"),
        ("@asset\nasync def t(): ...", "can't be `async`"),
        ("@check('a')\ndef t(a):\n    yield True", "`t`: it can't `yield`"),
        ("@asset\ndef t(partition): ...", "receives the partition that is made"),
        ("@asset\ndef t(x=object()): ...", "the default of `x`"),
        ("@asset\ndef t(a: Folder, b: Folder): ...", "one folder"),
        ("@asset(inputs={'lefft': 'raw/a'})\ndef t(left): ...", "did you mean `left`"),
        ("@asset(inputs={'left': 'raw/a'})\ndef t(left=None): ...", "so it is a parameter"),
        ("@asset(inputs={'left': 'no name'})\ndef t(left): ...", "`no name` is not an asset name"),
        ("@asset\nclass T: ...", "which is no function"),
        ("asset(lambda: 1)", "`<lambda>` is not an asset name"),
        ("source('x', 'https://host/a.csv')", "only watches files"),
        ("source('x', 3)", "3 is not a path"),
        ("source(3, 'a.csv')", "3 is not an asset name"),
        ("source('x', 'a.csv', reed=1)", "did you mean `read`"),
        ("source('x', 'a.csv', refetch='1h')", "does not take `refetch=`"),
        ("@source('x', refetch='soon')\ndef f(): ...", "`refetch=` is 'soon'"),
        ("@source\ndef f(): ...", "needs the name"),
        ("@check\ndef t(a): ...", "needs the asset"),
        ("@check('a', severity='fatal')\ndef t(a): ...", "`severity=` is 'fatal'"),
        ("@check('a', sevrity='warn')\ndef t(a): ...", "@check does not take `sevrity=`"),
        ("@check('a')\ndef t(a, *, minimum): ...", "`minimum` of the check `t` has no value"),
        ("sql_asset('x')", "needs its text or its path"),
        ("sql_asset('x', 'select 1', path='a.sql')", "needs its text or its path"),
        ("sql_asset('x', ' ')", "is empty"),
        ("sql_asset('x', 'select 1', parameters={'a': object()})", "the parameter `a`"),
        ("sql_asset('x', path='missing.sql')", "can't be read"),
    ],
)
def test_a_declaration_that_can_not_be_right_says_what_and_where(text: str, says: str) -> None:
    assert says in the_error(text).message


def test_all_mistakes_of_a_module_are_told_and_the_right_declarations_kept() -> None:
    found = declare(
        WORDS
        + textwrap.dedent(
            """
            @asset(nam="x")
            def a(): ...

            @check(a)
            def fine(a): ...

            @asset
            def b(a, *args): ...

            source("raw/x", "http://host/x.csv")

            @asset
            def c(b): return b
            """
        )
    )
    errors = [d for d in found if isinstance(d, DefinitionError)]
    assert [e.where for e in errors] == [f"/project/pipeline.py:{n}" for n in (4, 10, 13)]
    # Stand-ins of the refused ones are there, so that nothing that names them is an error too.
    assert [d.name for d in found if isinstance(d, Asset)] == ["a", "b", "raw/x", "c"]
    assert [d.name for d in found if isinstance(d, Check)] == ["fine"]


def test_outside_of_a_load_a_mistake_raises_at_once() -> None:
    with pytest.raises(DefinitionError, match="did you mean `owner`"):
        asset(lambda: 1, name="x", ownr="me")


def test_an_asset_with_several_outputs_is_named_by_one_of_them() -> None:
    text = "@asset(outputs=['a', 'b'])\ndef both(): ...\n@check(both)\ndef t(a): ..."
    error = the_error(text)
    assert "makes several outputs: a, b" in error.message
    assert error.advice == 'say which by name: "a"'


# ------------------------------------------------------------------------------------- sources


def test_files_are_relative_to_the_file_that_says_them() -> None:
    (made,) = declare("from lineal import source, csv\nsource('raw/f', 'data/f*.csv', read=csv())")
    assert made.files is not None
    assert (made.kind, made.outputs) == ("files", ("raw/f",))
    assert (made.files.pattern, made.files.base) == ("data/f*.csv", "/project")
    assert made.files.reader == Reader("csv")
    assert str(made.where) == "/project/pipeline.py:2"


def test_readers_keep_what_they_are_told() -> None:
    assert csv() == Reader("csv")
    assert csv(types={"a": "BIGINT"}, nulls=["-"], delimiter=";").options == (
        ("types", (("a", "BIGINT"),)),
        ("nulls", ("-",)),
        ("delimiter", ";"),
    )
    assert (parquet(), json()) == (Reader("parquet"), Reader("json"))
    with pytest.raises(DefinitionError, match="`delimiter=` is"):
        csv(delimiter=";;")


@pytest.mark.parametrize(
    ("said", "expected"),
    [("1h", 3600.0), ("90s", 90.0), ("1.5d", 129600.0), (60, 60.0), (None, None),
     (dt.timedelta(hours=2), 7200.0)],
)  # fmt: skip
def test_a_fetched_source_is_due_again_after_a_time(said: Any, expected: float | None) -> None:
    @source("raw/wine", refetch=said)
    def fetch(pages: int = 1) -> pd.DataFrame:
        """From outside."""
        return pd.DataFrame()

    assert (fetch.kind, fetch.name, fetch.fetch) == ("fetch", "raw/wine", Fetch(expected))
    assert dict(fetch.parameters) == {"pages": 1}
    assert fetch.description == "From outside."


# -------------------------------------------------------------------------------------- checks


def test_a_check_knows_its_asset_inputs_and_parameters() -> None:
    flights = source("raw/flights", "x.csv")

    @check(flights, severity="warn", name="enough")
    def rows(raw_flights: pa.Table, weather, minimum: int = 1) -> bool:  # type: ignore[no-untyped-def]
        return bool(raw_flights.num_rows >= minimum)

    assert isinstance(rows, Check)
    assert (rows.name, rows.severity, rows.asset) == ("enough", "warn", "raw/flights")
    assert rows.inputs == (Input("raw_flights", arrival="arrow"), Input("weather"))
    assert dict(rows.parameters) == {"minimum": 1}
    assert rows(pa.table({"a": [1]}), None) is True


# ----------------------------------------------------------------------------------------- SQL


def test_a_sql_asset_keeps_its_text_and_options() -> None:
    made = sql_asset(
        "busiest", "select 1 as id where $n > 0", primary_key="id", parameters={"n": 5}, tags=["x"]
    )
    assert made.query is not None
    assert (made.kind, made.query.text) == ("sql", "select 1 as id where $n > 0")
    assert made.contract.primary_key == ("id",)
    assert dict(made.parameters) == {"n": 5}
    assert dict(made.parameter_types) == {"n": int}
    assert made.query.where.file == HERE


SQL = """/* lineal
primary_key = "id"
tags = ["nightly"]
description = "Orders, cleaned"
checks = ["not_null(id)", "accepted(state, [open, closed], severity=warn)",
          {kind = "unique", columns = ["id", "state"]}]
[parameters]
minimum = 5
*/
select * from raw.orders where n > $minimum
"""


def project(folder: Path, files: dict[str, str]) -> list[Any]:
    """What a pipeline.py that declares the folder `sql` gathers."""
    for name, text in files.items():
        (folder / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sql" / name).write_text(text)
    code = compile("sql_assets('sql')", str(folder / "pipeline.py"), "exec", dont_inherit=True)
    with gathering(Disk()) as found:
        exec(code, {"sql_assets": sql_assets, "__name__": "pipeline"})
    return found


def test_every_sql_file_of_a_folder_is_an_asset_with_the_options_of_its_header(
    tmp_path: Path,
) -> None:
    orders, plain = project(tmp_path, {"stg/orders.sql": SQL, "z.sql": "select 1"})
    assert [orders.name, plain.name] == ["stg/orders", "z"]
    assert orders.query.text == SQL
    assert orders.query.where.file == str(tmp_path / "sql/stg/orders.sql")
    assert (orders.contract.primary_key, orders.tags) == (("id",), ("nightly",))
    assert orders.description == "Orders, cleaned"
    assert [(c.name, c.severity) for c in orders.checks] == [
        ("not_null(id)", "error"),
        ("accepted(state, [open, closed])", "warn"),
        ("unique(id, state)", "error"),
    ]
    assert dict(orders.parameters) == {"minimum": 5}
    assert plain.checks == ()


@pytest.mark.parametrize(
    ("header", "line", "says"),
    [
        ("primary_key = id", 2, "not TOML"),
        ('tags = ["a"]\nprimry_key = "id"', 3, "did you mean `primary_key`"),
        ('checks = ["nt_null(id)"]', 2, "did you mean `not_null`"),
        ('tags = ["a"]\nchecks = ["not_null(from)"]', 3, "is not a check"),
        ("checks = [1]", 2, "1 is not a check"),
        ('checks = "not_null(id)"', 2, "no list"),
        ('[parameters]\n"a b" = 1', 3, "`a b`"),
        ("[parameters]\nleast = 1\nend = 1", 4, "`end` can't be the name"),
        ('[columns]\nid = "x"\nname = 3', 4, "`columns name=` is 3"),
        ('[inputs]\na = "every()"\nb = "lastt(3)"', 4, "'lastt(3)' is not a marker"),
        ('owner = "x"\n[[checks]]\nkind = "nope"', 3, "there is no check `nope`"),
        ('owner = "x"\nowner = "y"', 3, "not TOML: Cannot overwrite a value"),
    ],
)
def test_a_mistake_in_a_header_is_told_with_its_line(
    tmp_path: Path, header: str, line: int, says: str
) -> None:
    text = f"/* lineal\n{header}\n*/\nselect 1"
    error, _ = project(tmp_path, {"a.sql": text})
    assert isinstance(error, DefinitionError)
    assert says in error.message
    assert error.where == f"{tmp_path}/sql/a.sql:{line}"


def test_a_header_that_is_never_closed_is_told_at_its_beginning(tmp_path: Path) -> None:
    error, _ = project(tmp_path, {"a.sql": '\n\n/* lineal\nprimary_key = "id"\nselect 1'})
    assert isinstance(error, DefinitionError)
    assert (error.message, error.where) == ("the header is never closed", f"{tmp_path}/sql/a.sql:3")
    assert "`*/`" in (error.advice or "")


def test_one_bad_sql_file_does_not_hide_the_others(tmp_path: Path) -> None:
    found = project(tmp_path, {"a-b.sql": "select 1", "b.sql": " ", "c.sql": "select 3"})
    errors = [d for d in found if isinstance(d, DefinitionError)]
    assert [e.where for e in errors] == [f"{tmp_path}/sql/a-b.sql:1", f"{tmp_path}/sql/b.sql"]
    assert found[-1].name == "c"


def test_a_folder_without_sql_files_is_an_error(tmp_path: Path) -> None:
    (error,) = project(tmp_path, {})
    assert "no .sql file" in error.message


def test_each_sql_file_is_read_once_and_what_is_said_in_python_counts_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    disk = Disk()
    code = compile("sql_asset('q', path='q.sql', tags=['mine'])", str(tmp_path / "p.py"), "exec")
    with gathering(disk) as found:
        exec(code, {"sql_asset": sql_asset, "__name__": "p"})
    assert disk.asked == [str(tmp_path / "q.sql")]
    (made,) = found
    assert isinstance(made, Asset)
    assert made.tags == ("mine",)
    assert made.contract.primary_key == ("id",)


def test_outside_of_a_load_sql_files_are_not_read() -> None:
    made = sql_asset("q", path="nowhere.sql")
    assert made.query is not None
    assert made.query.text == ""
    assert sql_assets("nowhere") == ()


# ---------------------------------------------------------------------------------- parameters


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


def settable(  # type: ignore[no-untyped-def]
    count: int = 1,
    rate: float = 0.1,
    flag: bool = False,
    word: str = "a",
    maybe: int | None = None,
    names: list[str] = [],  # noqa: B006
    numbers: tuple[int, ...] = (),
    day: dt.date = dt.date(2026, 1, 1),
    colour: Colour = Colour.RED,
    kind: Literal["l1", "l2"] = "l1",
    either: int | str = 0,
    table: dict[str, int] = {},  # noqa: B006
    untyped=None,
    guessed=0.5,
): ...


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("count", "12", 12), ("count", 12, 12), ("rate", "0.2", 0.2), ("rate", 2, 2.0),
        ("flag", "yes", True), ("flag", "0", False), ("flag", True, True), ("word", "12", "12"),
        ("maybe", "none", None), ("maybe", "3", 3), ("names", "a, b", ["a", "b"]),
        ("names", ["a"], ["a"]), ("numbers", "[1, 2]", (1, 2)), ("numbers", [3], (3,)),
        ("day", "2026-02-03", dt.date(2026, 2, 3)),
        ("day", dt.date(2026, 2, 3), dt.date(2026, 2, 3)),
        ("colour", "BLUE", Colour.BLUE), ("colour", "b", Colour.BLUE), ("kind", "l2", "l2"),
        ("either", "3", 3), ("either", "x", "x"), ("table", '{"a": 1}', {"a": 1}),
        ("table", {"a": 1}, {"a": 1}), ("untyped", "3", 3), ("untyped", "x", "x"),
        ("guessed", "1", 1.0),
    ],
)  # fmt: skip
def test_values_are_converted_to_the_declared_type(name: str, said: Any, expected: Any) -> None:
    found = convert_parameter(asset(settable), name, said, spoken=True)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "said"),
    [("count", "1.5"), ("count", True), ("rate", "much"), ("flag", "maybe"), ("flag", 2),
     ("word", 3), ("maybe", "x"), ("day", "tomorrow"), ("colour", "GREEN"), ("kind", "l3"),
     ("numbers", "1,x"), ("names", 3), ("table", "x")],
)  # fmt: skip
def test_values_that_can_not_be_converted_are_refused(name: str, said: Any) -> None:
    with pytest.raises(UsageError, match=f"`settable.{name}` is "):
        convert_parameter(asset(settable), name, said, spoken=True)


def test_an_unknown_parameter_is_told_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no parameter `rte`; did you mean `rate`") as caught:
        convert_parameter(asset(settable), "rte", 1, error=SettingsError, where="lineal.toml:3")
    assert caught.value.where == "lineal.toml:3"


def test_a_text_in_settings_stays_a_text_where_no_type_is_declared() -> None:
    assert convert_parameter(asset(settable), "untyped", "3") == "3"


def test_a_result_carries_metrics_beside_its_value() -> None:
    assert Result(1, metrics={"rows": 3}).metrics == {"rows": 3}
