"""A drawing in layers: each thing below what it was made from, and nothing over anything else."""

import random
import re
from itertools import pairwise

import pytest

from lineal.lineage.drawing import Drawing, Line, Node
from lineal.lineage.layers import Box, to_svg


def drawn(*lines, nodes=()):
    """The boxes by name, each with its left edge and its top; and how many lines there are."""
    names = dict.fromkeys([*nodes, *(name for pair in lines for name in pair)])
    drawing = Drawing(
        tuple(Node(name, name, "table") for name in names), tuple(Line(*pair) for pair in lines)
    )
    svg = to_svg(drawing, {name: Box(name) for name in names}, "all")
    found = re.findall(r"<title>(\w+)</title><rect x=\"([\d.]+)\" y=\"([\d.]+)\"", svg)
    boxes = {name: (float(x), float(y)) for name, x, y in found}
    width = float(re.findall(r'width="(\d+)"', svg)[0])
    assert all(0 <= x <= width - 168 for x, _ in boxes.values())
    return boxes, svg.count('class="line"')


@pytest.mark.parametrize("seed", range(20))
def test_what_is_made_stands_below_and_no_box_covers_another(seed):
    dice = random.Random(seed)
    names = [f"n{i}" for i in range(dice.randrange(2, 25))]
    lines = [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if dice.random() < 3 / len(names)
    ]
    boxes, count = drawn(*lines, nodes=names)
    assert set(boxes) == set(names)
    assert count == len(lines)
    assert all(boxes[a][1] < boxes[b][1] for a, b in lines)
    rows: dict[float, list[float]] = {}
    for x, y in boxes.values():
        rows.setdefault(y, []).append(x)
    for row in rows.values():
        places = sorted(row)
        assert all(b - a >= 168 for a, b in pairwise(places))


def test_a_source_stands_right_above_its_first_reader():
    boxes, _ = drawn(("a", "b"), ("b", "c"), ("late", "c"))
    assert boxes["late"][1] == boxes["b"][1]


def test_what_reads_an_earlier_partition_of_itself_or_in_a_circle_is_drawn_all_the_same():
    boxes, count = drawn(("a", "a"), ("a", "b"), ("b", "c"), ("c", "b"))
    assert set(boxes) == {"a", "b", "c"}
    assert count == 2
