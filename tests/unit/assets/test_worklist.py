"""The order of a run: inputs first, what others make put off, what changed once more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lineal.assets.graph import Graph
from lineal.assets.worklist import Worklist
from tests.workbench import made

DIAMOND = Graph.build(
    [
        made("top", lambda: 1),
        made("left", lambda top: 1, {"top": "top"}),
        made("right", lambda top: 1, {"top": "top"}),
        made("end", lambda left, right: 1, {"left": "left", "right": "right"}),
        made("alone", lambda: 1),
    ]
)


def test_the_order_is_that_of_the_graph() -> None:
    assert list(Worklist(DIAMOND, DIAMOND.order)) == list(DIAMOND.order)


def test_what_needs_one_that_is_put_off_waits_behind_it() -> None:
    worklist = Worklist(DIAMOND, DIAMOND.order)
    seen = []
    for name in worklist:
        seen.append(name)
        if name == "left" and seen.count("left") == 1:
            worklist.put_off("left")
    assert seen.index("right") < seen.index("end")
    assert seen.index("alone") < seen.index("end")
    assert seen[-2:] == ["left", "end"]


def test_one_is_waited_for_only_when_nothing_else_is_left() -> None:
    worklist = Worklist(DIAMOND, DIAMOND.order)
    patience = []
    for name in worklist:
        if name in ("left", "right"):
            if not worklist.patient:
                worklist.put_off(name)
            patience.append((name, worklist.patient))
    # Each pass that got something done is followed by one that looks at all of them again.
    assert [name for name, patient in patience if patient] == ["left", "right"]
    assert patience[:5] == [
        ("left", False),
        ("right", False),
        ("left", False),
        ("right", False),
        ("left", True),
    ]


def test_what_comes_again_comes_in_order_and_once() -> None:
    worklist = Worklist(DIAMOND, DIAMOND.order)
    seen = []
    for name in worklist:
        seen.append(name)
        if name == "end" and seen.count("end") == 1:
            worklist.again({"top", "left", "end"})
    rest = seen[seen.index("end") + 1 :]
    assert [n for n in rest if n != "alone"] == ["top", "left", "end"]


@given(st.lists(st.sampled_from(sorted(DIAMOND.order)), max_size=12))
def test_however_often_some_are_put_off_each_is_done_once_and_after_its_inputs(
    held: list[str],
) -> None:
    worklist = Worklist(DIAMOND, DIAMOND.order)
    done: list[str] = []
    for name in worklist:
        if name in held and not worklist.patient:
            held.remove(name)
            worklist.put_off(name)
            continue
        assert set(DIAMOND.upstream[name]) <= set(done)
        done.append(name)
    assert sorted(done) == sorted(DIAMOND.order)
