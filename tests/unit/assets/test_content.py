"""The digest of what is read of a table changes with what can be seen of it, and with no more."""

from __future__ import annotations

import pytest

from lineal.assets.content import content_digest, shape_digest, used_digest
from lineal.assets.records import Column

TABLE = (Column("a", "int64", "one"), Column("b", "string", "two"), Column("c", "int64", "three"))


def test_of_a_shape_the_values_read_and_the_names_and_types_of_all_columns_count() -> None:
    a, b, c = TABLE
    seen = shape_digest(2, TABLE, {"a"})
    assert shape_digest(2, (a, b._replace(digest="another"), c), {"a"}) == seen
    others = [
        shape_digest(3, TABLE, {"a"}),
        shape_digest(2, TABLE, {"a", "b"}),
        shape_digest(2, (a._replace(digest="another"), b, c), {"a"}),
        shape_digest(2, (a, b._replace(type="int64"), c), {"a"}),
        shape_digest(2, (a, b._replace(name="d"), c), {"a"}),
        shape_digest(2, (a, c, b), {"a"}),
        shape_digest(2, (a, b), {"a"}),
        used_digest(2, (a,)),
        content_digest(2, TABLE),
    ]
    assert len({seen, *others}) == 1 + len(others)


@pytest.mark.parametrize("read", [(), TABLE[:1], TABLE[::-1]])
def test_what_is_used_is_its_rows_and_the_columns_as_handed_over(read: tuple[Column, ...]) -> None:
    used = used_digest(2, read)
    assert used != used_digest(3, read)
    assert used == content_digest(2, read) != content_digest(2, TABLE)
