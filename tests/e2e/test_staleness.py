"""Promises 1 to 4 through the command line: what is remade, what is not, and why."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.e2e.command_line import Workplace

EVERYTHING = {"raw/orders", "raw/customers", "priced", "by_city", "small", "large", "mean"}


def test_the_first_run_makes_everything_and_the_second_nothing(shop: Workplace) -> None:
    assert shop.make().steps("made") == EVERYTHING
    before = shop.files()
    again = shop.make()
    assert again.json["run"] is None
    assert again.steps("fresh") == EVERYTHING
    assert shop.files() == before


def _touch(shop: Workplace) -> None:
    for path in shop.root.rglob("*"):
        if path.is_file() and ".lineal" not in path.parts:
            os.utime(path)


def _comment(shop: Workplace) -> None:
    shop.edit("helpers.py", "RATE = 1.1", "# the tax\nRATE = 1.1  # ten percent")


def _docstring(shop: Workplace) -> None:
    shop.edit("helpers.py", '"""With tax."""', '"""With another word."""')
    shop.edit("pipeline.py", '"""Orders with tax."""', '"""Orders."""')


def _reformat(shop: Workplace) -> None:
    shop.edit(
        "helpers.py", "return amount * RATE", "return (\n        amount\n        * RATE\n    )"
    )
    shop.edit("pipeline.py", "sum(p.gross) as total", "sum(p.gross)   AS total -- all")


def _unreached(shop: Workplace) -> None:
    shop.edit("helpers.py", "UNUSED = 7", "UNUSED = 8")


def _metadata(shop: Workplace) -> None:
    shop.edit("pipeline.py", "@asset\ndef priced", '@asset(tags=["daily"], owner="me")\ndef priced')


def _move(shop: Workplace) -> None:
    target = shop.root.with_name("elsewhere")
    shutil.move(shop.root, target)
    shop.root = target


@pytest.mark.parametrize(
    "cosmetic", [_touch, _comment, _docstring, _reformat, _unreached, _metadata, _move]
)
def test_what_changes_no_result_makes_nothing_stale(shop: Workplace, cosmetic: object) -> None:
    shop.make()
    cosmetic(shop)  # type: ignore[operator]  # each is a function of the workplace
    before = shop.files()
    assert shop.plan().steps("fresh") == EVERYTHING
    assert shop.make().steps("fresh") == EVERYTHING
    assert shop.files() == before


def test_a_constant_in_a_helper_makes_exactly_what_reaches_it_stale(shop: Workplace) -> None:
    shop.make()
    shop.edit("helpers.py", "RATE = 1.1", "RATE = 1.2")
    plan = shop.plan()
    assert plan.steps("stale") == {"priced"}
    assert plan.steps("pending") == {"by_city", "small", "large", "mean"}
    told = shop.lineal("why", "priced").out
    assert "RATE" in told
    assert "1.1" in told
    assert "1.2" in told
    assert "helpers.py:3" in told
    assert shop.make().steps("made") == {"priced", "by_city", "small", "large", "mean"}


def test_a_parameter_makes_its_asset_stale_and_what_follows_from_changed_content(
    shop: Workplace,
) -> None:
    shop.make()
    shop.edit("pipeline.py", "limit: float = 20.0", "limit: float = 15.0")
    assert shop.plan().steps("stale") == {"small", "large"}
    # 20.0 still falls on the same side: both outputs come out equal, and `mean` stays fresh.
    made = shop.make()
    assert made.steps("made") == {"small", "large"}
    assert "mean" in made.steps("fresh")


def test_an_undeclared_column_changes_nothing_and_a_declared_one_does(shop: Workplace) -> None:
    shop.make()
    shop.edit("data/orders.csv", "2,b,20.0,y", "2,b,20.0,CHANGED")
    made = shop.make()
    assert made.steps("made") == {"raw/orders"}
    assert "priced" in made.steps("fresh")
    shop.edit("data/orders.csv", "2,b,20.0", "2,b,21.0")
    plan = shop.plan()
    assert "priced" in plan.steps("pending")
    assert {"raw/orders", "priced", "by_city"} <= shop.make().steps("made")


def test_undoing_an_edit_computes_nothing(shop: Workplace) -> None:
    shop.make()
    shop.edit("helpers.py", "RATE = 1.1", "RATE = 1.2")
    shop.make()
    shop.edit("helpers.py", "RATE = 1.2", "RATE = 1.1")
    assert shop.make().steps("reused") == {"priced", "by_city", "small", "large", "mean"}
    assert shop.make().steps("fresh") == EVERYTHING


def test_two_outputs_of_one_function_keep_their_own_bytes(shop: Workplace) -> None:
    shop.make()
    sizes = {}
    for name in ("small", "large"):
        said = shop.lineal("sql", f"select min(amount) m from {name}", "--format", "json")
        sizes[name] = said.json[0]["m"]
    assert sizes == {"small": 5.0, "large": 20.0}
    shop.edit("pipeline.py", 'outputs=["small", "large"]', 'outputs=["large", "small"]')
    shop.make()
    said = shop.lineal("sql", "select min(amount) m from small", "--format", "json")
    assert said.json[0]["m"] == 20.0


def test_a_method_edited_behind_a_pickled_object_makes_its_users_stale(empty: Workplace) -> None:
    empty.write(
        "shapes.py",
        """
        from sklearn.base import BaseEstimator


        class Doubler(BaseEstimator):
            def predict(self, x):
                return x * 2
        """,
    )
    empty.write(
        "pipeline.py",
        """
        from lineal import asset
        from shapes import Doubler


        @asset
        def model():
            return Doubler()


        @asset
        def answer(model):
            return model.predict(21)
        """,
    )
    empty.make()
    empty.edit("shapes.py", "x * 2", "x * 3")
    assert "answer" in empty.make().steps("made")
    assert empty.lineal("sql", "select 1").code == 0
    assert "63" in empty.lineal("show", "answer").out


def test_force_makes_what_is_selected(shop: Workplace) -> None:
    shop.make()
    made = shop.make("priced", "--force")
    assert made.steps("made") == {"priced"}
    assert made.json["steps"][1]["reasons"] == [{"kind": "forced", "detail": ""}]


def test_an_object_deleted_by_hand_is_recomputed(shop: Workplace) -> None:
    shop.make()
    path = shop.lineal("path", "priced").out.strip()
    os.unlink(path)
    plan = shop.plan()
    assert plan.steps("stale") == {"priced"}
    assert plan.json["steps"][2]["reasons"][0]["kind"] == "object_missing"
    made = shop.make()
    assert made.steps("made") == {"priced"}
    assert os.path.exists(path)


def test_a_parameter_of_the_command_line_goes_back_by_reuse(shop: Workplace) -> None:
    shop.make()
    shop.make("-p", "split.limit=8")
    assert "mean" in shop.make().steps("reused")


def test_accepting_a_change_makes_it_fresh_and_is_recorded(shop: Workplace) -> None:
    shop.make()
    shop.edit("helpers.py", "return amount * RATE", "return RATE * amount")
    assert shop.plan().steps("stale") == {"priced"}
    assert shop.lineal("accept", "priced", "--reason", "commutes").code == 0
    assert shop.plan().steps("fresh") == EVERYTHING
    rows = shop.lineal("sql", "select reason from lineage.acceptance", "--format", "json").json
    assert rows == [{"reason": "commutes"}]
