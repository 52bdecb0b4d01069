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
