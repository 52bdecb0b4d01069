from __future__ import annotations

import datetime as dt
import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineal.assets.asset import Files, Reader
from lineal.assets.declare import csv, json, parquet
from lineal.assets.errors import ContentError, InputsChanged
from lineal.assets.records import Observation
from lineal.storage.csv_files import Guess, typed
from lineal.storage.ingest import is_table, read_files, reader_identity
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer


def declared(root: Path, pattern: str, reader: Reader) -> tuple[Files, Observation]:
    files = Files(pattern, str(root), reader)
    return files, Observer(root).observe("raw/x", files)


def read(root: Path, pattern: str, reader: Reader | None = None) -> pa.Table:
    """The table, or the error, which is that of large files too."""
    files, observation = declared(root, pattern, reader or Reader("auto"))
    try:
        table = read_files(files, observation, root)
    except (ContentError, InputsChanged) as error:
        with pytest.raises(type(error)) as large:
            in_pieces(files, observation, root)
        assert (large.value.message, large.value.where) == (error.message, error.where)
        raise
    assert isinstance(table, pa.Table)
    pieces = in_pieces(files, observation, root)
    assert str(pieces.schema.types) == str(table.schema.types)
    assert pieces.to_pydict().__repr__() == table.to_pydict().__repr__()  # NaN is not itself
    return table


def in_pieces(files: Files, observation: Observation, root: Path) -> pa.Table:
    """The table as it is read when its files are large."""
    objects = Objects(root / ".lineal")
    pieces = read_files(files, observation, root, objects, held=0)
    assert not isinstance(pieces, pa.Table)
    table = pa.concat_tables(list(pieces))
    assert not list((root / ".lineal" / "tmp").iterdir())
    return table


def read_text(root: Path, text: str | bytes, reader: Reader | None = None) -> pa.Table:
    (root / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(root, "x.csv", reader)


def column(root: Path, *values: str) -> tuple[str, list[Any]]:
    found = read_text(root, "\n".join(["i,a", *(f"0,{value}" for value in values)]) + "\n")["a"]
    return str(found.type), found.to_pylist()


# -------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (["1", "-20", "0"], "int64", [1, -20, 0]),
        (["1", "", "NA"], "int64", [1, None, None]),
        (["1", '""', '"NA"', '"3"'], "int64", [1, None, None, 3]),
        (["1", "2.5", "1e3", ".5"], "double", [1.0, 2.5, 1000.0, 0.5]),
        (["1.5", "inf", "-inf"], "double", [1.5, float("inf"), float("-inf")]),
        (["true", "False", "TRUE", ""], "bool", [True, False, True, None]),
        (["2026-01-05", ""], "date32[day]", [dt.date(2026, 1, 5), None]),
        (["2026-01-05", "2026-01-05 01:02:03"], "timestamp[us]",
         [dt.datetime(2026, 1, 5), dt.datetime(2026, 1, 5, 1, 2, 3)]),
        (["2026-01-05T01:02:03.5"], "timestamp[us]", [dt.datetime(2026, 1, 5, 1, 2, 3, 500000)]),
        (["2026-01-05T01:02:03+02:00"], "timestamp[us, tz=UTC]",
         [dt.datetime(2026, 1, 4, 23, 2, 3, tzinfo=dt.UTC)]),
        (["007", "012"], "string", ["007", "012"]),
        (["0", "10", "07"], "string", ["0", "10", "07"]),
        (["+4915112345678"], "string", ["+4915112345678"]),
        (["1.5", "07.5"], "string", ["1.5", "07.5"]),
        (["0x1F"], "string", ["0x1F"]),
        (["12345678901234567890", "1"], "string", ["12345678901234567890", "1"]),
        (["nan", "inf"], "string", ["nan", "inf"]),
        (["0", "true"], "string", ["0", "true"]),
        (["yes", "no"], "string", ["yes", "no"]),
        (["1", " 2"], "string", ["1", " 2"]),
        (["2026-02-30"], "string", ["2026-02-30"]),
        (["2026-01-05T01:02:03Z", "2026-01-05T01:02:03"], "string",
         ["2026-01-05T01:02:03Z", "2026-01-05T01:02:03"]),
        (["", "NA"], "string", [None, None]),
        (["na", "null", "None"], "string", ["na", "null", "None"]),
        (['"a, ""b"""', '"two\nlines"'], "string", ['a, "b"', "two\nlines"]),
    ],
)  # fmt: skip
def test_a_column_has_the_first_type_that_all_its_values_are(
    tmp_path: Path, values: list[str], kind: str, found: list[Any]
) -> None:
    assert column(tmp_path, *values) == (kind, found)


def test_types_come_from_the_whole_file(tmp_path: Path) -> None:
    lines = ["a,b", *(f"{number},{'x' * 90}" for number in range(200_000)), "late,x"]
    found = read_text(tmp_path, "\n".join(lines))
    assert str(found["a"].type) == "string"
    assert found["a"][-1].as_py() == "late"


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    kind, found = column(tmp_path, "2026-01-05 01:02:03.123456789")
    assert kind == "timestamp[ns]"
    assert str(found[0]).endswith(".123456789")


# -------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n",
        b"a,b\n1,x",
        b"a,b\r\n1,x\r\n",
        b"a,b\r1,x\r",
        b"\xef\xbb\xbfa,b\n1,x\n",
        b"a;b\n1;x\n",
        b"a\tb\n1\tx\n",
        b"a|b\n1|x\n",
        b"\na,b\n\n1,x\n\n",
        b'"a","b"\n"1","x"\n',
        gzip.compress(b"a,b\n1,x\n", mtime=0),
    ],
)
def test_csv_is_read_in_all_its_spellings(tmp_path: Path, data: bytes) -> None:
    assert read_text(tmp_path, data).to_pylist() == [{"a": 1, "b": "x"}]


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    found = read_text(tmp_path, "a,b\n")
    assert found.schema == pa.schema([("a", pa.string()), ("b", pa.string())])
    assert found.num_rows == 0


def test_a_name_that_is_missing_in_the_header_is_its_place(tmp_path: Path) -> None:
    assert read_text(tmp_path, ",a\n0,1\n").column_names == ["column_1", "a"]


def test_a_header_may_hold_nulls_and_new_lines_as_names(tmp_path: Path) -> None:
    found = read_text(tmp_path, 'NA,"two\nlines"\n1,2\n')
    assert found.to_pylist() == [{"NA": 1, "two\nlines": 2}]


def test_a_row_longer_than_any_block_is_read(tmp_path: Path) -> None:
    long = "x" * (9 << 20)
    assert read_text(tmp_path, f"a,b\n1,{long}\n2,y\n")["b"].to_pylist() == [long, "y"]


def test_new_lines_in_values_are_read_in_large_files_too(tmp_path: Path) -> None:
    value = "\n".join(["x" * 40] * 1000)
    found = read_text(tmp_path, "a,b\n" + f'1,"{value}"\n' * 200)
    assert found["b"].unique().to_pylist() == [value]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2\n3\n", "line 3: 1 field, but the header has 2"),
        (b'a,b\n"1\n1",2\n3,4,5\n', "line 4: 3 fields, but the header has 2"),
        (b"a,a\n1,2\n", "two columns `a`"),
        (b"a,column_1,\n1,2,3\n", "column_3"),
        (b"a\n\xe9t\xe9\n", "line 2: the byte 0xe9 is not UTF-8"),
        (b"\xff\xfea\0\n\0", "UTF-16"),
        (b"PAR1\0\0\0", "zero bytes"),
        (b"\x1f\x8bnot gzip", "no CSV file"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 9999, mtime=0)[:-20], "no CSV file"),
        (b'a,b\n"1,2\n3,4\n', "x.csv"),
    ],
)
def test_what_is_no_csv_is_told_with_file_line_and_advice(
    tmp_path: Path, data: bytes, said: str
) -> None:
    if said == "column_3":
        assert said in read_text(tmp_path, data).column_names
        return
    with pytest.raises(ContentError) as caught:
        read_text(tmp_path, data)
    assert "`x.csv`" in caught.value.message
    assert said in caught.value.message
    assert caught.value.advice


# ------------------------------------------------------------------------------------ options


def test_declared_types_are_kept_to(tmp_path: Path) -> None:
    text = "a,b,c,d,e,f\n007,1,2.50,0, 12 ,10:11:12\n,,,,,\n"
    types = {"a": "BIGINT", "b": "VARCHAR", "c": "DECIMAL(10, 2)", "d": "BOOLEAN", "e": "int",
             "f": "TIME"}  # fmt: skip
    found = read_text(tmp_path, text, csv(types=types))
    kinds = ["int64", "string", "decimal128(10, 2)", "bool", "int32", "time64[us]"]
    assert [str(kind) for kind in found.schema.types] == kinds
    assert list(found.to_pylist()[0].values())[:2] == [7, "1"]
    assert found.to_pylist()[0]["e"] == 12
    assert found.to_pylist()[0]["f"] == dt.time(10, 11, 12)
    assert set(found.to_pylist()[1].values()) == {None}


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ({"a": "DATE"}, "'x' in row 2 is no DATE"),
        ({"a": "BIGIN"}, "did you mean `bigint`"),
        ({"aa": "BIGINT"}, "did you mean `a`"),
    ],
)
def test_a_declared_type_that_does_not_fit_is_an_error(
    tmp_path: Path, types: dict[str, str], said: str
) -> None:
    with pytest.raises(ContentError, match=said):
        read_text(tmp_path, "a\n2026-01-05\nx\n", csv(types=types))


def test_declared_nulls_replace_the_usual_ones(tmp_path: Path) -> None:
    found = read_text(tmp_path, "a,b\n-,NA\n1,\n", csv(nulls=["-"]))
    assert found.to_pylist() == [{"a": None, "b": "NA"}, {"a": 1, "b": ""}]


def test_a_declared_delimiter_is_used(tmp_path: Path) -> None:
    assert read_text(tmp_path, "a;b,c\n1;2\n", csv(delimiter=";")).column_names == ["a", "b,c"]


def test_a_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("a,b,c\td\n1\t2\n")
    assert read(tmp_path, "x.tsv").column_names == ["a,b,c", "d"]


def test_the_identity_of_a_reader_tells_its_format_and_options() -> None:
    readers = [
        Reader("auto"), csv(), parquet(), json(), csv(delimiter=";"), csv(nulls=["-"]),
        csv(types={"a": "BIGINT"}), csv(types={"a": "DATE"}),
    ]  # fmt: skip
    found = [reader_identity(Files("x.csv", "/", reader)) for reader in readers]
    assert len(set(found)) == len(readers)
    assert reader_identity(Files("other.csv", "/b", readers[-1])) == found[-1]


# ------------------------------------------------------------------------------- several files


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        (root / f"{name}.csv").write_text(text)


def test_files_follow_one_another_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, b="n\n2\n", a="n\n1\n", c="n\n3\n")
    assert read(tmp_path, "*.csv")["n"].to_pylist() == [1, 2, 3]


def test_columns_are_those_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, a="x,y\n1,2\n", b="y,z\n3,4\n")
    assert read(tmp_path, "*.csv").to_pylist() == [
        {"x": 1, "y": 2, "z": None},
        {"x": None, "y": 3, "z": 4},
    ]


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1", "2.5", "double"),
        ("NA", "2026-01-05", "date32[day]"),
        ("2026-01-05", "2026-01-05 10:00", "timestamp[us]"),
        ("2026-01-05 10:00:00.123456789", "2026-01-05 10:00", "timestamp[ns]"),
    ],
)
def test_types_are_widened_where_nothing_is_lost(
    tmp_path: Path, one: str, other: str, kind: str
) -> None:
    for first, second in ((one, other), (other, one)):
        write(tmp_path, a=f"i,n\n0,{first}\n", b=f"i,n\n0,{second}\n")
        assert str(read(tmp_path, "*.csv")["n"].type) == kind


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "x"), ("true", "1"), ("2026-01-05T00:00Z", "2026-01-05T00:00"),
     ("9007199254740993", "1.5")],
)  # fmt: skip
def test_types_that_differ_are_an_error_with_file_and_column(
    tmp_path: Path, one: str, other: str
) -> None:
    write(tmp_path, a=f"i,n\n0,{one}\n", b=f"i,n\n0,{other}\n")
    with pytest.raises(ContentError, match=r"[ab]\.csv`, column `n`"):
        read(tmp_path, "*.csv")


def test_a_declared_type_settles_a_difference(tmp_path: Path) -> None:
    write(tmp_path, a="n\n1\n", b="n\nx\n")
    found = read(tmp_path, "*.csv", csv(types={"n": "VARCHAR"}))
    assert found["n"].to_pylist() == ["1", "x"]


# ------------------------------------------------------------------------------- other formats


def test_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": pa.array(["x", "y"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(tmp_path, "x.parquet").equals(table)


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ContentError, match=r"x\.parquet"):
        read(tmp_path, "x.parquet")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", '[{"a": 1, "d": "2026-01-05"}, {"a": 2.5, "b": {"c": [1]}}]'),
        ("x.json", '{"a": 1, "d": "2026-01-05"}\n{"a": 2.5, "b": {"c": [1]}}\n'),
        ("x.jsonl", '{"a": 1, "d": "2026-01-05"}\n\n{"a": 2.5, "b": {"c": [1]}}'),
        ("x.ndjson", '\ufeff{"a": 1, "d": "2026-01-05"}\r\n{"a": 2.5, "b": {"c": [1]}}\r\n'),
    ],
)
def test_json_is_an_array_of_objects_or_one_a_line(tmp_path: Path, name: str, text: str) -> None:
    for data in (text.encode(), gzip.compress(text.encode())):
        path = tmp_path / (name if data == text.encode() else f"{name}.gz")
        path.write_bytes(data)
        assert read(tmp_path, path.name).to_pylist() == [
            {"a": 1.0, "d": "2026-01-05", "b": None},
            {"a": 2.5, "d": None, "b": {"c": [1]}},
        ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, 2]', "row 2 is a int"),
        ('{"a": 1}\n{"a": }\n', "line 2"),
        ('[{"a": 1},\n{"a": }]\n', "line 2"),
        ('{\n  "a": 1\n}', "line 1"),
        ('[{"a": 1}, {"a": "x"}]', "column `a`"),
        ('[{"a": 12345678901234567890123}]', "column `a`"),
        ('[{"a": 1, "a": 2}]', "same key twice"),
    ],
)
def test_what_is_no_table_in_json_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ContentError, match=said) as caught:
        read(tmp_path, "x.json")
    assert "x.json" in caught.value.message


@pytest.mark.parametrize(
    ("names", "reader", "table"),
    [
        (["a.csv", "a.TSV", "a.csv.gz", "a.parquet", "a.json.gz"], Reader("auto"), True),
        (["a.csv", "a.png"], Reader("auto"), False),
        (["a"], Reader("auto"), False),
        (["a.dat"], csv(), True),
    ],
)
def test_files_are_a_table_if_their_names_or_the_reader_say_so(
    tmp_path: Path, names: list[str], reader: Reader, table: bool
) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    assert is_table(*declared(tmp_path, "*", reader)) is table


def test_files_that_dont_say_what_they_are_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_text("a\n1\n")
    with pytest.raises(ContentError, match=r"x\.dat"):
        read(tmp_path, "x.dat")
    assert read(tmp_path, "x.dat", csv()).to_pylist() == [{"a": 1}]


# ------------------------------------------------------------------------------- large files

WORDS = [
    "1", "-20", "0", "007", "1.5", "1e3", "nan", "inf", "true", "False", "2026-01-05",
    "2026-01-05 01:02:03", "2026-01-05T01:02:03.123456789", "2026-01-05T01:02:03Z",
    "99999999999999999999", "x", "", "+1",
]  # fmt: skip


def test_a_type_guessed_piece_by_piece_is_that_of_the_whole() -> None:
    dice = random.Random(7)
    kinds = set()
    for _ in range(600):
        pool = dice.sample(WORDS, dice.randint(1, 3))
        values = [dice.choice([*pool, None]) for _ in range(dice.randint(0, 8))]
        column = pa.chunked_array([pa.array(values, pa.string())])
        guess = Guess()
        for at in range(0, len(values), 2):
            guess.see(column.slice(at, 2))
        kinds.add(guess.kind())
        assert guess.kind() == typed(column).type, values
    assert len(kinds) == 9


def test_a_large_file_has_the_types_of_all_its_blocks(tmp_path: Path) -> None:
    lines = [f"{n},{n},,{n / 2},{n:>150}" for n in range(60_000)]
    lines[-1] = "7,seven,2026-01-05,1,'"
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c,d,e", *lines]))
    assert (tmp_path / "x.csv").stat().st_size > 2 * (1 << 22)
    files, observation = declared(tmp_path, "x.csv", Reader("auto"))
    table = read_files(files, observation, tmp_path)
    assert isinstance(table, pa.Table)
    assert list(map(str, table.schema.types)) == [
        "int64", "string", "date32[day]", "double", "string",
    ]  # fmt: skip
    assert in_pieces(files, observation, tmp_path).equals(table)


def test_a_value_that_breaks_a_declared_type_is_named_with_its_row_in_a_large_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + f"1,{0:>150}\n" * 30_000 + "no,x\n")
    files, observation = declared(tmp_path, "x.csv", csv(types={"a": "BIGINT"}))
    with pytest.raises(ContentError, match="'no' in row 30001 is no BIGINT"):
        in_pieces(files, observation, tmp_path)


def test_a_large_file_that_changed_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    files, observation = declared(tmp_path, "x.csv", Reader("auto"))
    (tmp_path / "x.csv").write_text("a\n2\n")
    with pytest.raises(InputsChanged, match="changed after the run looked"):
        in_pieces(files, observation, tmp_path)
    (tmp_path / "x.csv").unlink()
    with pytest.raises(InputsChanged, match="can't be read any more"):
        in_pieces(files, observation, tmp_path)
    assert not list((tmp_path / ".lineal" / "tmp").iterdir())
