"""Values of the project's own types, through `register`."""

from __future__ import annotations

import lineal
from tests.e2e.command_line import Workplace


def test_a_registered_type_is_stored_and_handed_over_and_its_code_counts(
    empty: Workplace,
) -> None:
    empty.write(
        "pipeline.py",
        """
        from lineal import asset, register


        class Point:
            def __init__(self, x):
                self.x = x


        def save(point, path):
            path.write_text(str(point.x))


        def load(path):
            return Point(int(path.read_text()))


        register(Point, "point", save, load)


        @asset
        def point():
            return Point(3)


        @asset
        def doubled(point):
            return point.x * 2
        """,
    )
    empty.make()
    assert lineal.open(empty.root).load("point").x == 3
    assert lineal.open(empty.root).load("doubled") == 6
    assert empty.make().steps("fresh") == {"point", "doubled"}
    empty.edit("pipeline.py", "write_text(str(point.x))", "write_text(str(point.x + 1))")
    assert empty.make().steps("made") == {"point", "doubled"}
    assert lineal.open(empty.root).load("doubled") == 8


def test_a_wrong_registration_says_so(empty: Workplace) -> None:
    empty.write("pipeline.py", "from lineal import register\nregister(3, 'x', print, print)\n")
    said = empty.lineal("plan")
    assert said.code == 2
    assert "no class" in said.err


BATCHES = """
    import pandas as pd
    import pyarrow as pa

    from lineal import asset, checks, sql_asset


    @asset(primary_key="id", order_by="id desc", checks=[checks.not_null("id")])
    def numbers():
        for start in (0, 2, 4):
            print("batch", start)
            yield pd.DataFrame({"id": [start, start + 1], "note": [None, "x" * start]})


    sql_asset("squares", "select id, id * id as square from numbers order by square")


    @asset
    def last(squares: pa.RecordBatchReader, numbers: pa.Table):
        batches = list(squares)
        return {"square": batches[-1]["square"][-1].as_py(), "ids": numbers["id"].to_pylist()}
"""


def test_an_asset_yields_batches_and_reads_them(empty: Workplace) -> None:
    empty.write("pipeline.py", BATCHES)
    empty.make()
    found = lineal.open(empty.root).load("last")
    assert found == {"square": 25, "ids": [5, 4, 3, 2, 1, 0]}
    logs = (empty.root / ".lineal" / "logs").rglob("numbers.log")
    assert "batch 4" in next(logs).read_text()
    assert empty.make().steps("fresh") == {"numbers", "squares", "last"}
    empty.edit("pipeline.py", "for start in (0, 2, 4):", "for start in (0, 2, 4) if True else ():")
    assert empty.make().steps("made") == {"numbers"}


def test_an_error_in_the_middle_of_a_stream_is_the_users_own(empty: Workplace) -> None:
    empty.write("pipeline.py", BATCHES.replace('print("batch", start)', "1 / (start - 4)"))
    said = empty.lineal("materialize")
    assert said.code == 1
    assert "division by zero" in said.out
    assert "pipeline.py:10" in said.out
    assert not list((empty.root / ".lineal" / "tmp").iterdir())


def test_batches_that_do_not_fit_are_named(empty: Workplace) -> None:
    empty.write("pipeline.py", BATCHES.replace("start + 1]", "start + (1 if start < 2 else 0.5)]"))
    said = empty.lineal("materialize")
    assert said.code == 1
    assert "column `id` is float64 in batch 2, but int64 in those before" in " ".join(
        said.out.split()
    )
