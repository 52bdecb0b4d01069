"""Tables in slices: those of several partitions as one, and one by the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineal.assets.errors import ContentError, did_you_mean
from lineal.assets.partitions import key_problem
from lineal.storage.canonical import categories_of, type_text

if TYPE_CHECKING:
    import pyarrow as pa


def together(tables: Sequence[pa.Table], names: Sequence[str]) -> pa.Table:
    """Their rows one after the other. A column without any value takes the type of the others.

    Categories are those of all, in the order in which they come; ordered ones have to be equal.

    Args:
        names: what each is called, for messages.

    Raises:
        ContentError: two of them have other columns, or columns of other types.
    """
    import pyarrow as pa

    if not tables:
        raise ContentError(
            "there is no partition to read",
            advice="make the parameter a `dict[str, …]`, which may be empty",
        )
    first = tables[0]
    for table, name in zip(tables[1:], names[1:], strict=True):
        if table.column_names != first.column_names:
            odd = set(table.column_names).symmetric_difference(first.column_names)
            told = f"`{sorted(odd)[0]}` is in one only" if odd else "they stand in another order"
            raise _unlike(names[0], name, told)
    schema = pa.schema([_field(tables, names, i) for i in range(first.num_columns)])
    return pa.concat_tables([table.cast(schema) for table in tables]).unify_dictionaries()


def _field(tables: Sequence[pa.Table], names: Sequence[str], place: int) -> pa.Field:
    import pyarrow as pa

    known = [
        (table.schema.field(place), name)
        for table, name in zip(tables, names, strict=True)
        if not pa.types.is_null(table.schema.field(place).type)
    ]
    for field, name in known[1:]:
        if field.type != known[0][0].type:
            there, here = type_text(known[0][0].type), type_text(field.type)
            raise _unlike(known[0][1], name, f"`{field.name}` is {there} there, {here} here")
    if known and pa.types.is_dictionary(known[0][0].type) and known[0][0].type.ordered:
        _refuse_other_orders([table.column(place) for table in tables], names, known[0][0].name)
    found: pa.Field = known[0][0] if known else tables[0].schema.field(place)
    return found


def _refuse_other_orders(
    columns: Sequence[pa.ChunkedArray], names: Sequence[str], column: str
) -> None:
    import pyarrow as pa

    listed = [
        (categories_of(each), name)
        for each, name in zip(columns, names, strict=True)
        if not pa.types.is_null(each.type)
    ]
    for categories, name in listed[1:]:
        if not categories.equals(listed[0][0]):
            raise _unlike(listed[0][1], name, f"the ordered categories of `{column}` differ")


def _unlike(first: str, other: str, told: str) -> ContentError:
    return ContentError(
        f"the partitions `{first}` and `{other}` don't make one table: {told}",
        advice="take them apart (`dict[str, pd.DataFrame]`), or give the asset a `schema=`",
    )


def split(table: pa.Table, column: str, name: str) -> list[tuple[str, pa.Table]]:
    """The rows of each value of a column, in the order of the values; each as they stood.

    Args:
        name: what the table is called, for messages.

    Raises:
        ContentError: no such column, a null in it, or a value that can't be the key of a partition.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in table.column_names:
        near = did_you_mean(column, table.column_names)
        raise ContentError(f"`{name}` is published by `{column}`, a column it has not{near}")
    values = table.column(column)
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if values.null_count:
        raise ContentError(
            f"`{name}` is published by `{column}`, which is null in {values.null_count:,} rows",
            advice="leave these rows out, or give them a value",
        )
    if not _has_keys(values.type):
        raise ContentError(
            f"`{name}` is published by `{column}`, and {type_text(values.type)} makes no keys",
            advice="a text, an integer, a boolean or a date does",
        )
    found = []
    for value in sorted(pc.unique(values).to_pylist()):
        key = _key(value)
        problem = key_problem(key)
        if problem:
            raise ContentError(
                f"`{name}`: `{column}` holds {value!r}, which can't name a partition: {problem}"
            )
        found.append((key, table.filter(pc.equal(values, pa.scalar(value, values.type)))))
    return found


def _has_keys(kind: pa.DataType) -> bool:
    import pyarrow.types as pt

    checks = (pt.is_string, pt.is_large_string, pt.is_integer, pt.is_boolean, pt.is_date)
    return any(check(kind) for check in checks)


def _key(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
