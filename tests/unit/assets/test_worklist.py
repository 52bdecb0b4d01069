"""The order of a run: inputs first, what others make put off, what changed once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from lineal.assets.graph import Graph
from lineal.assets.names import Step
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


STEPS = [Step(name) for name in DIAMOND.order]
TOP, LEFT, RIGHT, END, ALONE = (Step(n) for n in ("top", "left", "right", "end", "alone"))


def _needs(step: Step) -> list[Step]:
    return [Step(name) for name in DIAMOND.upstream[step.asset]]


def _one_by_one(worklist: Worklist, work: Callable[[Step], bool]) -> Iterator[Step]:
    """Hand them out one at a time; `work` says whether one could be done."""
    while worklist.left:
        step = worklist.next()
        if step is None:
            assert worklist.turn(), "no step can go on, and some are left"
            continue
        yield step
        if work(step):
            worklist.done(step)
        else:
            worklist.put_off(step)


def test_the_order_is_that_of_the_graph() -> None:
    assert list(_one_by_one(Worklist(STEPS, _needs), lambda _: True)) == STEPS


def test_the_one_at_the_head_of_the_longest_path_goes_first() -> None:
    seconds = {TOP: 1.0, LEFT: 1.0, RIGHT: 5.0, END: 1.0, ALONE: 6.5}
    worklist = Worklist(STEPS, _needs, seconds.__getitem__)
    assert list(_one_by_one(worklist, lambda _: True)) == [TOP, ALONE, RIGHT, LEFT, END]


def test_one_that_was_handed_out_and_is_to_be_done_again_is_handed_out_again() -> None:
    worklist = Worklist([TOP], _needs)
    assert worklist.next() == TOP
    worklist.again([TOP])
    assert worklist.next() == TOP


def test_one_that_was_put_off_and_is_to_be_done_again_is_handed_out_once() -> None:
    worklist = Worklist([TOP, LEFT], _needs)
    assert worklist.next() == TOP
    worklist.done(TOP)
    assert worklist.next() == LEFT
    worklist.put_off(LEFT)
    worklist.again([TOP, LEFT])
    assert list(_one_by_one(worklist, lambda _: True)) == [TOP, LEFT]
    assert not worklist.turn()


def test_a_step_is_handed_out_when_all_it_needs_is_done_and_not_before() -> None:
    worklist = Worklist(STEPS, _needs)
    assert [worklist.next(), worklist.next(), worklist.next()] == [TOP, ALONE, None]
    worklist.done(TOP)
    assert [worklist.next(), worklist.next(), worklist.next()] == [LEFT, RIGHT, None]
    worklist.done(RIGHT)
    assert worklist.next() is None
    worklist.done(LEFT)
    assert worklist.next() == END


def test_one_that_does_not_fit_is_passed_over_and_keeps_its_place() -> None:
    worklist = Worklist(STEPS, _needs)
    assert worklist.next(lambda step: step != TOP) == ALONE
    assert worklist.next() == TOP


def test_what_needs_one_that_is_put_off_waits_behind_it() -> None:
    seen: list[Step] = []
    held = [LEFT]

    def work(step: Step) -> bool:
        return not (step in held and held.remove(step) is None)

    seen = list(_one_by_one(Worklist(STEPS, _needs), work))
    assert seen.index(RIGHT) < seen.index(END)
    assert seen.index(ALONE) < seen.index(END)
    assert seen[-2:] == [LEFT, END]


def test_one_is_waited_for_only_when_nothing_else_is_left() -> None:
    worklist = Worklist(STEPS, _needs)
    patience = []

    def work(step: Step) -> bool:
        if step not in (LEFT, RIGHT):
            return True
        patience.append((step, worklist.patient))
        return worklist.patient

    list(_one_by_one(worklist, work))
    # Each round that got something done is followed by one that looks at all of them again.
    assert [step for step, patient in patience if patient] == [LEFT, RIGHT]
    assert patience[:5] == [
        (LEFT, False),
        (RIGHT, False),
        (LEFT, False),
        (RIGHT, False),
        (LEFT, True),
    ]


def test_what_was_handed_out_and_comes_again_is_handed_out_again() -> None:
    worklist = Worklist(STEPS, _needs)
    assert worklist.next() == TOP
    worklist.again({TOP})
    assert worklist.next() == TOP


def test_what_comes_again_comes_in_order_and_once() -> None:
    worklist = Worklist(STEPS, _needs)
    seen: list[Step] = []
    while worklist.left:
        step = worklist.next()
        assert step is not None
        seen.append(step)
        worklist.done(step)
        if step == END and seen.count(END) == 1:
            worklist.again({TOP, LEFT, END})
    rest = seen[seen.index(END) + 1 :]
    assert [s for s in rest if s != ALONE] == [TOP, LEFT, END]


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_however_often_some_are_put_off_each_is_done_once_and_after_its_inputs(
    held: list[Step],
) -> None:
    worklist = Worklist(STEPS, _needs)
    done: list[Step] = []

    def work(step: Step) -> bool:
        if step in held and not worklist.patient:
            held.remove(step)
            return False
        assert set(_needs(step)) <= set(done)
        done.append(step)
        return True

    list(_one_by_one(worklist, work))
    assert sorted(done) == sorted(STEPS)


def test_what_is_done_from_the_start_is_handed_out_when_it_is_to_be_done_again() -> None:
    a, b, c = Step("a"), Step("b"), Step("c")
    worklist = Worklist([a, b, c], lambda step: {b: [a], c: [b]}.get(step, []), done={a, b})
    assert worklist.next() == c
    worklist.done(c)
    assert not worklist.left
    worklist.again([a, b])
    assert worklist.next() == a
    assert worklist.next() is None
    worklist.done(a)
    assert worklist.next() == b
