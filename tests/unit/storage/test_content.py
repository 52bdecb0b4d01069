"""The canonical form of tables and the digests of their columns."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lineal.assets.asset import Contract
from lineal.assets.content import content_digest, used_digest
from lineal.assets.errors import ContentError
from lineal.assets.records import Column
from lineal.storage.content import bigint_for_hugeint, canonical_table, column_digests
from lineal.storage.contract import check_primary_key
from lineal.storage.formats.parquet import read_parquet, write_parquet

GOLDEN = Path(__file__).parents[2] / "golden" / "column_digests.json"


def table_of(value, rows=False, **contract):
    return canonical_table(value, Contract(**contract), rows=rows, name="t")


def digests(value, **options):
    return column_digests(table_of(value, **options))


def digest(array):
    return digests(pa.table({"a": array}))[0].digest


def types(value, **options):
    return {column.name: column.type for column in digests(value, **options)}


# ------------------------------------------------------------------------------- golden values


def typed_columns() -> dict[str, object]:
    """One column of every canonical type, most with nulls; pandas Series where only pandas can."""
    zone = dt.UTC
    day = dt.date(2020, 2, 29)
    noon = dt.datetime(2020, 2, 29, 12, 30, 15, 123456)
    nested = pa.struct([("x", pa.list_(pa.float32())), ("y", pa.string())])
    row = {"x": [1.5, None], "y": "é"}
    columns: dict[str, object] = {
        "null": pa.nulls(3),
        "bool": pa.array([True, None, False]),
        "no rows": pa.array([], pa.int64()),
        "only nulls": pa.nulls(5, pa.string()),
        "string": pa.array(["", None, "é", "a\0b"]),
        "strings without nulls": pa.array(["a", "bc", ""]),
        "binary": pa.array([b"", None, b"\xff\x00"]),
        "binary(3)": pa.array([b"abc", None], pa.binary(3)),
        "date": pa.array([day, None, dt.date(1, 1, 1)]),
        "decimal(5, 2)": pa.array([Decimal("1.10"), None, Decimal("-999.99")], pa.decimal128(5, 2)),
        "decimal(60, 0)": pa.array([Decimal(10**59), None], pa.decimal256(60, 0)),
        "uuid": pd.Series([uuid.UUID(int=5), None], dtype=object),
        "timestamp UTC": pa.array([noon.replace(tzinfo=zone)], pa.timestamp("us", "UTC")),
        "timestamp Berlin": pa.array([noon, None], pa.timestamp("us", "Europe/Berlin")),
        "list": pa.array([[1, None], None, [], [2]]),
        "list of lists": pa.array([[["a"], None], None, [[]]]),
        "fixed list": pa.array([[1, 2], None, [None, 3]], pa.list_(pa.int16(), 2)),
        "struct": pa.array([row, None, {"x": None, "y": None}], nested),
        "list of structs": pa.array([[row], None, [None, row]], pa.list_(nested)),
        "map": pa.array([[("a", 1.0)], None, []], pa.map_(pa.string(), pa.float64())),
        "categorical": pd.Series(pd.Categorical(["b", None, "a"], categories=["a", "z", "b"])),
        "ordered categorical": pd.Series(
            pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True)
        ),
        "two blocks": pa.array(range(70_000)),
        "two blocks with nulls": pa.array([None if n % 7 == 0 else n for n in range(70_000)]),
        "two blocks of text": pa.array([str(n) for n in range(140_000)]),
    }
    for bits in (8, 16, 32, 64):
        signed, unsigned = getattr(pa, f"int{bits}")(), getattr(pa, f"uint{bits}")()
        columns[f"int{bits}"] = pa.array([-(1 << (bits - 1)), None, 7], signed)
        columns[f"uint{bits}"] = pa.array([(1 << bits) - 1, None, 7], unsigned)
    for floating in (pa.float16(), pa.float32(), pa.float64()):
        values = [-0.0, 0.0, None, float("nan"), -1.5, float("inf")]
        columns[f"float{floating.bit_width}"] = pa.array(values, floating)
    for unit in ("s", "ms", "us", "ns"):
        columns[f"timestamp[{unit}]"] = pa.array([0, None, 10**9], pa.timestamp(unit))
        columns[f"duration[{unit}]"] = pa.array([0, None, 10**9], pa.duration(unit))
    for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        columns[f"{kind}"] = pa.array([0, None, 86_399], kind)
    return columns


def golden_digests() -> dict[str, dict[str, str]]:
    found = {}
    for name, values in typed_columns().items():
        frame = values.to_frame("a") if isinstance(values, pd.Series) else pa.table({"a": values})
        (column,) = digests(frame)
        found[name] = {"type": column.type, "digest": column.digest}
    return found


def test_the_digests_of_typed_columns_never_change():
    # A difference makes every table of every project look changed: mend the code, not the file.
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) >= 30
    assert golden_digests() == golden


def test_the_digest_of_a_table_never_changes():
    columns = [Column("a", "int64", "00"), Column("b", "string", "11")]
    expected = "01c787f021ec78ec9babb9d975609d0f856147260b011c2ee4c3cd4204589205"
    assert content_digest(2, columns) == expected
    assert used_digest(2, columns) == expected


def test_the_used_digest_sees_rows_names_types_digests_and_order():
    a, b = Column("a", "int64", "00"), Column("b", "string", "11")
    variants = [
        used_digest(2, [a, b]),
        used_digest(3, [a, b]),
        used_digest(2, [b, a]),
        used_digest(2, [a]),
        used_digest(2, [a._replace(name="c"), b]),
        used_digest(2, [a._replace(type="int32"), b]),
        used_digest(2, [a._replace(digest="01"), b]),
        used_digest(2, []),
    ]
    assert len(set(variants)) == len(variants)


# ------------------------------------------------------------------------------------- digests

LONG = {
    "int": pa.array([None if n % 5 == 0 else n for n in range(150_000)]),
    "float": pa.array([n / 3 for n in range(150_000)]),
    "bool": pa.array([n % 3 == 0 for n in range(150_000)]),
    "text": pa.array([None if n % 11 == 0 else f"é{n}" for n in range(150_000)]),
    "list": pa.array([[n] * (n % 3) for n in range(150_000)]),
    "struct": pa.array([{"a": n, "b": None if n % 2 else "x"} for n in range(150_000)]),
    "map": pa.array(
        [[("k", n)] * (n % 2) for n in range(150_000)], pa.map_(pa.string(), pa.int64())
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_chunks_and_slices_across_blocks_do_not_change_a_digest(name):
    array = LONG[name]
    expected = digest(array)
    cuts = [0, 1, 100, 65_535, 65_536, 65_537, 131_071, 149_999, 150_000]
    pieces = [array[a:b] for a, b in itertools.pairwise(cuts)]
    assert digest(pa.chunked_array(pieces)) == expected
    shifted = pa.concat_arrays([array[:13], array])[13:]
    assert digest(shifted) == expected
    assert digest(pa.concat_arrays([array[1:], array[:1]])) != expected


def test_bytes_under_nulls_do_not_count():
    valid = pa.py_buffer(bytes([0b101]))
    numbers = pa.py_buffer(np.array([1, 777, 3]))
    assert digest(pa.Array.from_buffers(pa.int64(), 3, [valid, numbers])) == digest(
        pa.array([1, None, 3])
    )
    offsets = pa.py_buffer(np.array([0, 1, 4, 5], "i4"))
    text = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"axyzb")])
    assert digest(text) == digest(pa.array(["a", None, "b"]))
    lists = pa.Array.from_buffers(
        pa.list_(pa.int64()), 3, [valid, offsets], children=[pa.array([1, 7, 7, 7, 2])]
    )
    assert digest(lists) == digest(pa.array([[1], None, [2]]))


def test_text_is_not_confused_by_where_a_value_ends():
    assert digest(pa.array(["ab", "c"])) != digest(pa.array(["a", "bc"]))
    assert digest(pa.array([["a"], ["b"]])) != digest(pa.array([["a", "b"], []]))
    assert digest(pa.array(["", None])) != digest(pa.array([None, ""]))


def test_equal_bytes_of_different_types_have_different_digests():
    assert digest(pa.array([1], pa.int64())) != digest(pa.array([1], pa.uint64()))
    assert digest(pa.array([1], pa.timestamp("us"))) != digest(
        pa.array([1], pa.timestamp("us", "UTC"))
    )


@pytest.mark.parametrize(
    "kind",
    [pa.float16(), pa.float32(), pa.float64(), pa.list_(pa.float64()), pa.list_(pa.float32(), 1)],
)
def test_minus_zero_is_zero_and_every_nan_is_one(kind):
    def array(values):
        floats = pa.array(np.array(values, f"<f{bits // 8}"))
        if not pa.types.is_nested(kind):
            return floats
        offsets = pa.array(range(len(values) + 1), pa.int32())
        return pa.ListArray.from_arrays(offsets, floats).cast(kind)

    bits = (kind.value_type if pa.types.is_nested(kind) else kind).bit_width
    other = np.array([float("nan")]).astype(f"<f{bits // 8}")
    other = (other.view(f"<u{bits // 8}") | np.array(1, f"<u{bits // 8}")).view(other.dtype)
    assert digest(array([-0.0, 1.0])) == digest(array([0.0, 1.0]))
    assert (
        digest(array([other[0]])) == digest(array([float("nan")])) == digest(array([-float("nan")]))
    )
    assert digest(array([float("nan")])) != digest(array([0.0]))
    (stored,) = table_of(pa.table({"a": array([-0.0])})).to_pydict().values()
    assert "-0.0" not in str(stored)


def test_minus_zero_inside_structs_and_maps_is_zero():
    map_type = pa.map_(pa.float64(), pa.struct([("x", pa.float64())]))

    def array(zero):
        return pa.array([None, [(zero, {"x": zero}), (1.0, None)], [(2.0, {"x": 1.0})]], map_type)

    assert digest(array(-0.0)) == digest(array(0.0)) != digest(array(1e-300))
    assert digest(array(-0.0)[1:]) == digest(array(0.0)[1:])


# ------------------------------------------------------------------------ one value, many ways


def test_encodings_of_text_are_one_type():
    plain = pa.array(["a", None, "b", "a"])
    same = [
        plain,
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        plain.dictionary_encode(),
        pc.run_end_encode(plain),
        plain.dictionary_encode().cast(pa.dictionary(pa.uint8(), pa.string())),
    ]
    assert len({digest(array) for array in same}) == 1
    assert pc.run_end_encode(plain).type != plain.type


def test_kinds_of_lists_are_one_type():
    plain = pa.array([[1], None, []])
    odd = pa.large_list(pa.field("element", pa.int64(), nullable=False))
    same = [plain, plain.cast(pa.large_list(pa.int64())), plain.cast(odd)]
    same.append(pa.array([[1], None, []], pa.list_view(pa.int64())))
    same.append(pa.array([[7], [1], None, []], pa.large_list_view(pa.int64()))[1:])
    overlapping = pa.ListViewArray.from_arrays(
        pa.array([1, 0, 0], pa.int32()),
        pa.array([1, 2, 0], pa.int32()),
        pa.array([9, 1]),
        mask=pa.array([False, True, False]),
    )
    same.append(overlapping)
    assert len({digest(array) for array in same}) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.timestamp("s"), "timestamp[ms]"),
        (pa.time32("s"), "time[ms]"),
        (pa.date64(), "date"),
        (pa.timestamp("us", "Etc/UTC"), "timestamp[us, UTC]"),
        (pa.timestamp("us", "+00:00"), "timestamp[us, UTC]"),
        (pa.timestamp("ns", "Europe/Berlin"), "timestamp[ns, Europe/Berlin]"),
        (pa.decimal32(5, 2), "decimal(5, 2)"),
        (pa.decimal256(20, 2), "decimal(20, 2)"),
        (pa.bool8(), "bool"),
        (pa.json_(), "string"),
        (pa.uuid(), "uuid"),
        (pa.list_(pa.timestamp("s")), "list<timestamp[ms]>"),
        (pa.struct([("a b", pa.time32("s"))]), 'struct<"a b": time[ms]>'),
        (pa.map_(pa.string(), pa.date64()), "map<string, date>"),
        (pa.list_(pa.null()), "list<int32>"),
        (pa.list_(pa.binary(4)), "list<binary>"),
    ],
)
def test_types_are_normalised_to_what_parquet_gives_back(kind, text):
    assert types(pa.table({"a": pa.nulls(2, kind)})) == {"a": text}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (pa.month_day_nano_interval(), "calendar intervals"),
        (pa.dense_union([pa.field("a", pa.int8())]), "unions"),
        (pa.struct([]), "structs without fields"),
        (pa.list_(pa.struct([])), "structs without fields"),
        (pa.struct([("a", pa.int8()), ("a", pa.int8())]), "two fields of one name"),
        (pa.list_(pa.uuid()), "UUID inside"),
        (pa.list_(pa.list_view(pa.int8())), "list view inside"),
        (pa.opaque(pa.binary(), "thing", "vendor"), "arrow.opaque"),
    ],
)
def test_a_type_without_a_canonical_form_is_refused_by_column_and_type(kind, named):
    if kind.id == pa.list_(pa.uuid()).id and kind.value_type == pa.uuid():
        array = pa.array([], pa.list_(pa.binary(16))).cast(kind)
    else:
        array = (
            pa.array([], kind.storage_type)
            if isinstance(kind, pa.OpaqueType)
            else pa.nulls(0, kind)
        )
    if isinstance(kind, pa.OpaqueType):
        array = pa.ExtensionArray.from_storage(kind, array)
    with pytest.raises(ContentError, match=named) as caught:
        table_of(pa.table({"the_column": array}))
    assert "the_column" in caught.value.message
    assert caught.value.advice


def test_a_moment_that_does_not_fit_is_an_error_that_names_the_column():
    far = pa.array([2**62], pa.timestamp("s"))
    with pytest.raises(ContentError, match="`when`"):
        table_of(pa.table({"when": far}))


def test_metadata_and_nullability_are_dropped():
    field = pa.field("a", pa.int64(), nullable=False, metadata={"unit": "m"})
    table = table_of(
        pa.table([pa.array([1])], schema=pa.schema([field], metadata={"pandas": "{}"}))
    )
    assert table.schema.equals(pa.schema([pa.field("a", pa.int64())]), check_metadata=True)


def test_values_of_all_kinds_of_tables_have_one_digest():
    arrow = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, -0.0]})
    frame = pl.from_arrow(arrow)
    same = [
        arrow,
        arrow.to_pandas(),
        arrow.to_reader(),
        arrow.to_batches()[0],
        arrow.to_batches(max_chunksize=2),
        iter(arrow.to_batches(max_chunksize=1)),
        frame,
        frame.lazy(),
        duckdb.connect().from_arrow(arrow),
        arrow.to_pandas(types_mapper=pd.ArrowDtype),
        arrow.to_pandas().convert_dtypes(),
    ]
    assert len({column_digests(table_of(value)) for value in same}) == 1
    assert digests(arrow.to_pylist(), rows=True) == digests(arrow)


def test_series_become_one_column():
    assert types(pd.Series([1, 2], name="n")) == {"n": "int64"}
    assert types(pd.Series([1, 2])) == {"value": "int64"}
    assert types(pl.Series("n", [1])) == {"n": "int64"}
    counts = pd.Series(["x", "y", "x"], name="letter").value_counts()
    assert types(counts) == {"letter": "string", "count": "int64"}


@pytest.mark.parametrize("value", [5, "text", {"a": [1]}, [1, 2], [], object(), None])
def test_what_is_no_table_is_refused_by_type(value):
    with pytest.raises(ContentError, match="not a table"):
        table_of(value)


# ---------------------------------------------------------------------------------------- rows


def test_rows_take_their_columns_in_order_of_appearance_and_fill_with_null():
    table = table_of([{"b": 1}, {"a": "x", "b": 2.5}, {}], rows=True)
    assert table.to_pydict() == {"b": [1.0, 2.5, None], "a": [None, "x", None]}


def test_no_rows_are_an_empty_table():
    table = table_of([], rows=True)
    assert (table.num_rows, table.num_columns) == (0, 0)


def test_in_rows_nan_is_a_number_and_none_is_missing():
    table = table_of([{"a": float("nan")}, {"a": None}], rows=True)
    assert table["a"].null_count == 1


def test_a_row_that_is_no_dict_is_refused_by_number():
    with pytest.raises(ContentError, match="row 1 is a int"):
        table_of([{"a": 1}, 5], rows=True)


# -------------------------------------------------------------------------------------- pandas


def test_named_indexes_lead_and_unnamed_integer_indexes_go():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert types(frame) == types(frame[frame.a > 1]) == {"a": "int64"}
    assert list(types(frame.rename_axis("id"))) == ["id", "a"]
    assert list(types(frame.set_index(pd.Index(["x", "y", "z"])))) == ["index", "a"]
    levels = pd.MultiIndex.from_tuples([(1, "x"), (2, "y"), (3, "z")], names=["i", None])
    assert list(types(frame.set_index(levels))) == ["i", "level_1", "a"]
    days = frame.set_index(pd.date_range("2020", periods=3, name="day"))
    assert list(types(days)) == ["day", "a"]


def test_an_empty_frame_of_no_particular_index_has_only_its_columns():
    assert list(types(pd.DataFrame({"a": []}, index=[]))) == ["a"]


def test_a_frame_without_columns_keeps_its_rows():
    table = table_of(pd.DataFrame(index=range(3)))
    assert table.to_pydict() == {"index": [0, 1, 2]}
    assert table_of(pd.DataFrame()).num_columns == 0


def test_a_table_of_rows_without_columns_is_refused():
    with pytest.raises(ContentError, match="2 rows but no columns"):
        table_of(pa.table({"a": [1, 2]}).select([]))


def test_an_index_of_a_columns_name_is_refused():
    with pytest.raises(ContentError, match="`a`, `a`"):
        table_of(pd.DataFrame({"a": [1]}).set_index(pd.Index([5], name="a")))


def test_column_names_equal_but_for_capitals_are_refused():
    with pytest.raises(ContentError, match="`Id`, `ID`"):
        table_of(pd.DataFrame([[1, 2]], columns=["Id", "ID"]))


def test_integer_column_names_become_text():
    assert list(types(pd.DataFrame([[1, 2]], columns=[0, "b"]))) == ["0", "b"]
    with pytest.raises(ContentError, match="`0`, `0`"):
        table_of(pd.DataFrame([[1, 2]], columns=[0, "0"]))


@pytest.mark.parametrize("name", [None, 1.5, ("a", 1), dt.date(2020, 1, 1), "", "a\0", True])
def test_other_column_names_are_refused(name):
    frame = pd.DataFrame([[1]])
    frame.columns = pd.Index([name], dtype=object, tupleize_cols=False)
    with pytest.raises(ContentError, match="name of a column"):
        table_of(frame)


def test_columns_of_several_levels_are_refused_with_the_cure():
    frame = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", 1)]))
    with pytest.raises(ContentError, match="several levels") as caught:
        table_of(frame)
    assert "join" in caught.value.advice


def test_nan_of_pandas_is_missing_and_nan_of_arrow_is_a_number():
    missing = table_of(pd.DataFrame({"a": [1.0, np.nan]}))
    number = table_of(pa.table({"a": [1.0, float("nan")]}))
    assert (missing["a"].null_count, number["a"].null_count) == (1, 0)


def test_what_is_done_to_a_frame_later_does_not_reach_what_was_stored():
    frame = pd.DataFrame({"i": [1, 2], "f": [1.0, 2.0], "b": [True, False]})
    frame["t"] = pd.to_datetime(["2020", "2021"])
    frame["z"] = frame["t"].dt.tz_localize("UTC")
    frame["n"] = pd.array([1, None], dtype="Int64")
    frame["c"] = pd.Categorical(["x", "y"])
    table = table_of(frame)
    before = column_digests(table)
    for name in frame:
        values = frame[name].array
        inside = getattr(values, "_ndarray", getattr(values, "_data", None))
        inside = inside if isinstance(inside, np.ndarray) else values._data._ndarray
        inside.flags.writeable = True
        inside[0] = inside[1]
    assert column_digests(table) == before


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["a", None], "string"),
        ([None, None], "null"),
        ([1, None], "int64"),
        ([2**63, None], "uint64"),
        ([True, None], "bool"),
        ([1, 2.5, np.nan], "float64"),
        ([b"a", bytearray(b"b")], "binary"),
        ([Decimal("1.1"), 2, None], "decimal(2, 1)"),
        ([dt.date(2020, 1, 1), np.nan], "date"),
        ([dt.time(1), None], "time[us]"),
        ([dt.datetime(2020, 1, 1), pd.NaT], "timestamp[us]"),
        ([pd.Timestamp(1), None], "timestamp[ns]"),
        ([pd.Timestamp(1, tz="UTC")], "timestamp[ns, UTC]"),
        ([dt.timedelta(1), None], "duration[us]"),
        ([pd.Timedelta(1), None], "duration[ns]"),
        ([uuid.UUID(int=1), None], "uuid"),
        ([[1], None, np.array([2, 3])], "list<int64>"),
        ([("a",), []], "list<string>"),
        ([{"a": 1}, {"b": "x"}, None], 'struct<"a": int64, "b": string>'),
        ([pd.NA, 3], "int64"),
        ([np.float32(1), None], "float32"),
    ],
)
def test_object_columns_take_the_one_type_of_their_values(values, text):
    assert types(pd.DataFrame({"a": pd.Series(values, dtype=object)})) == {"a": text}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([1, "a"], ["int", "text", "row 0", "row 1"]),
        ([b"a", "b"], ["bytes", "text"]),
        ([True, 1], ["bool", "int"]),
        ([dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)], ["date", "datetime"]),
        ([pd.Timestamp("2020"), pd.Timestamp("2020", tz="UTC")], ["datetime in UTC"]),
        ([1.5, Decimal(1)], ["float", "Decimal"]),
        ([[1], {"a": 1}], ["list", "dict"]),
        ([[1, "a"]], ["mixes", "int", "text"]),
        ([{"k": [b"a"]}, {"k": ["b"]}], ["bytes", "text", "odd.k"]),
    ],
)
def test_a_column_of_mixed_types_is_refused_by_name_and_mix(values, named):
    with pytest.raises(ContentError) as caught:
        table_of(pd.DataFrame({"odd": pd.Series(values, dtype=object)}))
    for part in ["odd", *named]:
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pd.Series([{1, 2}]), "set"),
        (pd.Series([object()]), "object"),
        (pd.Series([1j]), "complex"),
        (pd.Series([1j], dtype=object), "complex"),
        (pd.Series([{1: 2}]), "keys"),
        (pd.Series([{}]), "without fields"),
        (pd.Series([10**30], dtype=object), "64 bits"),
        (pd.Series([2**60, 1.5], dtype=object), "exactly"),
        (pd.Series([[pd.Timestamp(1)]]), "nanoseconds"),
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "periods"),
        (pd.Series(pd.interval_range(0, 2)), "intervals"),
        (pd.cut(pd.Series([1, 2, 3]), 2), "categories that are intervals"),
        (pd.Series(["\ud800"], dtype=object), "surrogates"),
    ],
)
def test_what_has_no_canonical_form_in_pandas_is_refused_by_column(values, named):
    with pytest.raises(ContentError, match=named) as caught:
        table_of(values.to_frame("odd"))
    assert "odd" in caught.value.message


def test_nullable_sparse_and_swapped_columns_are_plain_columns():
    plain = digests(pd.DataFrame({"a": [0, 0, 5]}))
    for dtype in ("Int64", "int64[pyarrow]", ">i8", pd.SparseDtype("int64", 0)):
        assert digests(pd.DataFrame({"a": pd.Series([0, 0, 5]).astype(dtype)})) == plain


# -------------------------------------------------------------------------------- categoricals


def test_categories_their_order_and_orderedness_are_content():
    def one(values, **options):
        return digests(pd.DataFrame({"c": pd.Categorical(values, **options)}))[0]

    reference = one(["a", "b"], categories=["a", "b"])
    variants = [
        reference,
        one(["a", "b"], categories=["b", "a"]),
        one(["a", "b"], categories=["a", "b", "unused"]),
        one(["a", "b"], categories=["a", "b"], ordered=True),
        one(["b", "a"], categories=["a", "b"]),
        digests(pd.DataFrame({"c": ["a", "b"]}))[0],
    ]
    assert len(set(variants)) == len(variants)
    assert reference.type == "categorical<string>"
    assert variants[3].type == "ordered categorical<string>"


def test_enumerations_of_polars_duckdb_and_arrow_are_an_encoding_of_text():
    frame = pl.DataFrame({"a": ["x", "y"]})
    enum = frame.with_columns(pl.col("a").cast(pl.Enum(["y", "x", "z"])))
    relation = duckdb.sql("select unnest(['x', 'y'])::enum('y', 'x') as a")
    assert digests(enum) == digests(relation) == digests(frame)
    assert digests(frame.with_columns(pl.col("a").cast(pl.Categorical))) == digests(frame)


# -------------------------------------------------------------------------------------- DuckDB


@pytest.mark.parametrize("kind", ["BIT", "TIMETZ", "BIGNUM", "INTERVAL"])
def test_duckdb_types_that_arrow_would_garble_are_refused(kind):
    with pytest.raises(ContentError, match="`x`"):
        table_of(duckdb.sql(f"select null::{kind} as x"))


def test_hugeint_is_stored_as_bigint():
    relation = duckdb.sql("select sum(i) as total from range(3) r(i)")
    assert types(relation) == {"total": "int64"}
    assert table_of(relation).to_pydict() == {"total": [3]}


def test_a_hugeint_that_is_too_big_names_the_column_and_the_cast():
    table = pa.table({"total": pa.array([2**70], pa.decimal128(38, 0))})
    with pytest.raises(ContentError, match="`total`") as caught:
        bigint_for_hugeint(table, ["total"])
    assert "total::DOUBLE" in caught.value.advice


def test_polars_objects_are_refused():
    with pytest.raises(ContentError, match="Python objects"):
        table_of(pl.DataFrame({"a": [object()]}))


# ------------------------------------------------------------------------------------ contract


def test_a_primary_key_must_be_unique():
    frame = pd.DataFrame({"k": [3, 1, 3, 1, 2], "v": range(5)})
    with pytest.raises(ContentError, match="2 values in 4 rows, such as 1, 3") as caught:
        table_of(frame, primary_key=("k",))
    assert "`k`" in caught.value.message
    assert table_of(frame, primary_key=("k", "v")).num_rows == 5


def test_a_primary_key_must_not_be_null():
    with pytest.raises(ContentError, match="`k` is null in 2 of 3 rows"):
        table_of(pd.DataFrame({"k": ["a", None, None]}), primary_key=("k",))


def test_a_primary_key_must_be_there():
    with pytest.raises(ContentError, match="did you mean `flight_id`"):
        table_of(pd.DataFrame({"flight_id": [1]}), primary_key=("flightid",))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.Categorical(["b", "b", "a"], categories=["b", "a"])),
        pd.Series([uuid.UUID(int=1), uuid.UUID(int=1), uuid.UUID(int=2)]),
        pd.Series([Decimal("1.5"), Decimal("1.5"), Decimal(2)]),
        pd.Series([1, 1, 2], dtype="float16"),
        pd.Series([True, True, False]),
        pd.Series(pd.to_datetime(["2020", "2020", "2021"])),
    ],
)
def test_keys_of_many_types_are_checked(column):
    with pytest.raises(ContentError, match="1 value in 2 rows"):
        table_of(column.to_frame("k"), primary_key=("k",))
    assert table_of(column[1:].to_frame("k"), primary_key=("k",)).num_rows == 2


def test_order_stays_as_returned_unless_order_by_says_otherwise():
    frame = pd.DataFrame({"a": [2, 1, 2, None], "b": ["y", "x", "x", "z"]})
    assert table_of(frame)["b"].to_pylist() == ["y", "x", "x", "z"]
    ordered = table_of(frame, order_by=("a",))
    assert ordered.to_pydict() == {"a": [1, 2, 2, None], "b": ["x", "x", "y", "z"]}
    down = table_of(frame, order_by=("a desc",))
    assert down["a"].to_pylist() == [2, 2, 1, None]


@pytest.mark.parametrize("by", ["k", "v"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([[3], None, [1, 2], [1], [None], []]),
        pa.array([{"a": 2.0}, {"a": float("nan")}, None, {"a": None}, {"a": 1.0}, {"a": 1.5}]),
        pa.array(
            [[("b", 1)], [("a", 2)], [], None, [("a", 1)], [("c", 1)]], pa.map_("string", "int8")
        ),
        pa.array([1, 5, None, 2, 4, 3], pa.float16()),
        pa.array([True, None, False, True, False, True]),
        pa.nulls(6),
    ],
)
def test_order_by_is_the_same_for_any_order_of_the_rows(values, by):
    table = pa.table({"k": [1, 1, 1, 2, 2, 2], "v": values})
    expected = digests(table, order_by=(by,))
    for seed in range(5):
        shuffled = table.take(np.random.default_rng(seed).permutation(6))
        assert digests(shuffled, order_by=(by,)) == expected


def test_categoricals_order_as_their_categories_are_listed():
    sizes = pd.Categorical(["large", "small", "mid"], categories=["small", "mid", "large"])
    table = table_of(pd.DataFrame({"size": sizes}), order_by=("size",))
    assert table["size"].to_pylist() == ["small", "mid", "large"]


def test_a_type_is_told_in_the_words_that_declare_it():
    table = pa.table({"a": pa.array([1], pa.int32()), "b": pa.array([Decimal("1.50")]), "c": ["x"]})
    declared = (("a", "BIGINT"), ("b", "double"), ("c", "int64"))
    with pytest.raises(ContentError) as caught:
        table_of(table, schema=declared)
    assert caught.value.message.endswith(
        "`a` is INTEGER, declared BIGINT; column `b` is DECIMAL(3, 2), declared double; "
        "column `c` is string, declared int64"
    )
    assert "the query" in (caught.value.advice or "")


def test_a_declared_schema_is_checked_and_all_differences_are_told():
    frame = pd.DataFrame({"id": [1], "name": ["x"], "extra": [1.5]})
    right = (("id", "BIGINT"), ("name", "varchar"), ("extra", "float64"))
    assert table_of(frame, schema=right).num_columns == 3
    with pytest.raises(ContentError) as caught:
        table_of(frame, schema=(("id", "int32"), ("nam", "string")))
    for part in [
        "`id` is int64, declared int32",
        "no column `nam`; did you mean `name`?",
        "`extra` is not declared",
    ]:
        assert part in caught.value.message


# ------------------------------------------------------------------------------------- Parquet


@pytest.fixture(scope="module")
def every_type():
    """A table with a column of every type, equal in length."""
    arrays, names = [], []
    for name, values in typed_columns().items():
        if len(values) > 1000:
            continue
        column = table_of(
            values.to_frame("a") if isinstance(values, pd.Series) else pa.table({"a": values})
        )["a"]
        missing = 6 - len(column)
        empty = pa.chunked_array([pa.nulls(missing, column.type)])
        if pa.types.is_dictionary(column.type):
            kept = column.chunk(0)
            codes = pa.concat_arrays([kept.indices, pa.nulls(missing, pa.int32())])
            column = pa.chunked_array(
                [pa.DictionaryArray.from_arrays(codes, kept.dictionary, ordered=kept.type.ordered)]
            )
            empty = pa.chunked_array([], column.type)
        arrays.append(pa.chunked_array([*column.chunks, *empty.chunks], column.type))
        names.append(name.replace("[", "_").replace("]", ""))
    return pa.Table.from_arrays(arrays, names=names)


def test_a_table_of_every_type_comes_back_from_parquet_without_a_difference(every_type, tmp_path):
    write_parquet(every_type, tmp_path / "t.parquet")
    back = read_parquet(tmp_path / "t.parquet")
    assert back.schema.equals(every_type.schema, check_metadata=True)
    assert str(back.schema) == str(every_type.schema)
    assert column_digests(back) == column_digests(every_type)


def test_the_canonical_form_of_a_canonical_table_is_itself(every_type):
    plain = every_type.select(
        [f.name for f in every_type.schema if not pa.types.is_dictionary(f.type)]
    )
    again = table_of(plain)
    assert again.schema.equals(plain.schema, check_metadata=True)
    assert column_digests(again) == column_digests(plain)


def test_categoricals_survive_parquet_row_groups_and_unused_categories(tmp_path):
    codes = np.random.default_rng(0).integers(-1, 3, 3000)
    for values in (["b", "a", "unused", "z"], [5, 3, 1, 4], [1.5, -2.0, 0.0, 9.0]):
        frame = pd.DataFrame({"c": pd.Categorical.from_codes(codes, values, ordered=True)})
        table = table_of(frame)
        pieces = pa.Table.from_batches(table.to_batches(max_chunksize=700))
        write_parquet(pieces, tmp_path / "t.parquet")
        back = read_parquet(tmp_path / "t.parquet")
        assert column_digests(back) == column_digests(table)
        assert back.schema.equals(table.schema)


def test_an_empty_categorical_survives_parquet(tmp_path):
    table = table_of(pd.DataFrame({"c": pd.Categorical([], categories=["b", "a"])}))
    write_parquet(table, tmp_path / "t.parquet")
    assert column_digests(read_parquet(tmp_path / "t.parquet")) == column_digests(table)


def test_other_tools_read_the_files(tmp_path):
    frame = pd.DataFrame({"i": [1, 2], "c": pd.Categorical([7, None], categories=[9, 7])})
    frame["s"] = pd.Categorical(["x", "y"])
    path = tmp_path / "t.parquet"
    write_parquet(table_of(frame), path)
    expected = [(1, 7, "x"), (2, None, "y")]
    assert duckdb.sql(f"select * from '{path}'").fetchall() == expected
    assert pl.read_parquet(path).rows() == expected
    assert pq.read_table(path).num_rows == 2


def test_chosen_columns_come_back_in_the_order_asked_for(tmp_path):
    path = tmp_path / "t.parquet"
    write_parquet(table_of(pa.table({"a.b": [1], "a": [2], "c": pa.array([{"x": 1}])})), path)
    assert read_parquet(path, ["c", "a"]).to_pydict() == {"c": [{"x": 1}], "a": [2]}
    assert read_parquet(path, ["a.b"]).column_names == ["a.b"]
    assert read_parquet(path, []).num_columns == 0


def test_tables_without_rows_or_columns_survive_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    for table in (table_of(pa.table({"a": pa.array([], pa.string())})), table_of([], rows=True)):
        write_parquet(table, path)
        assert read_parquet(path).equals(table)


def test_few_distinct_values_make_a_smaller_file(tmp_path):
    many = pa.table({"a": [f"a rather long text {n % 3}" for n in range(100_000)]})
    write_parquet(table_of(many), tmp_path / "t.parquet")
    column = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(0)
    assert column.has_dictionary_page


def test_repeated_keys_are_told_as_tables_show_them():
    times = pa.array([dt.datetime(2013, 1, 1, 6)] * 2, pa.timestamp("us", "UTC"))
    with pytest.raises(ContentError, match=r"such as \(2013-01-01 06:00:00\+00:00, 'a'\)(\n|$)"):
        check_primary_key(pa.table({"at": times, "name": ["a", "a"]}), ["at", "name"])
