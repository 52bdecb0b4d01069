"""A curve shows what is a number, within its frame, with labels that can be read."""

import re
from itertools import pairwise

import pytest

from lineal.charts import Dot, line


def circles(svg):
    return re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)


def test_a_curve_leaves_out_what_is_no_number_and_stays_in_its_frame():
    values = [0.5, float("nan"), float("inf"), 0.25, 1.0]
    svg = line([Dot(f"v{n}", value) for n, value in enumerate(values)], "auc")
    places = circles(svg)
    assert len(places) == 3
    assert all(0 <= float(x) <= 320 and 0 <= float(y) <= 132 for x, y in places)
    assert float(places[2][1]) < float(places[0][1]) < float(places[1][1])
    assert line([Dot("v1", float("nan"))], "auc") == ""


@pytest.mark.parametrize("count", [1, 2, 7, 40, 300])
def test_labels_below_a_curve_have_room(count):
    svg = line([Dot(f"version{n}", n) for n in range(count)], "n")
    at = [(float(x), text) for x, text in re.findall(r'x="([\d.]+)" y="126"[^>]*>(\w+)<', svg)]
    assert at[-1][1] == f"version{count - 1}"
    ends = [(x - len(text) * 3.1, x + len(text) * 3.1) for x, text in at]
    assert all(0 <= a and b <= 320 for a, b in ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
