"""What people do in pandas every day arrives as they left it, fresh or read back."""

from __future__ import annotations

import pandas as pd
import pytest

import lineal
from tests.e2e.command_line import Workplace

MAKERS = {
    "groupby keeps its key": (
        "pd.DataFrame({'k': ['a', 'a', 'b'], 'v': [1, 2, 3]}).groupby('k').agg(n=('v', 'sum'))",
        "list(given.columns) == ['k', 'n'] and given['n'].tolist() == [3, 3]",
    ),
    "a filtered frame has a fresh index": (
        "pd.DataFrame({'v': range(5)}).query('v > 2')",
        "given.index.tolist() == [0, 1] and given['v'].tolist() == [3, 4]",
    ),
    "categoricals keep categories and order": (
        "pd.DataFrame({'c': pd.Categorical(['b', 'a'], ['b', 'a', 'z'], ordered=True)})",
        "list(given['c'].cat.categories) == ['b', 'a', 'z'] and given['c'].cat.ordered",
    ),
    "nullable integers keep every digit": (
        "pd.DataFrame({'i': pd.array([2**62 + 1, None], dtype='Int64')})",
        "given['i'][0] == 2**62 + 1 and pd.isna(given['i'][1])",
    ),
    "time zones stay": (
        "pd.DataFrame({'t': pd.to_datetime(['2020-01-01']).tz_localize('Europe/Berlin')})",
        "str(given['t'].dt.tz) == 'Europe/Berlin'",
    ),
    "a series is a table": ("pd.Series([1, 2], name='s')", "given['s'].tolist() == [1, 2]"),
    "numpy scalars in a dict": (
        "{'a': np.float64(0.5), 'b': np.int64(3), 'c': [np.bool_(True)]}",
        "given == {'a': 0.5, 'b': 3, 'c': [True]}",
    ),
    "missing values": (
        "pd.DataFrame({'f': [1.0, None], 's': ['x', None]})",
        "given['f'].isna().tolist() == [False, True] and given['s'].isna().sum() == 1",
    ),
}


@pytest.mark.parametrize("habit", MAKERS)
def test_a_habit_works_in_the_run_and_after_it(empty: Workplace, habit: str) -> None:
    make, expect = MAKERS[habit]
    empty.write(
        "pipeline.py",
        f"""
        import numpy as np
        import pandas as pd
        from lineal import asset


        @asset
        def made():
            return {make}


        @asset
        def in_the_run(made):
            given = made
            assert {expect}, given
            return True
        """,
    )
    empty.make()
    given = lineal.open(empty.root).load("made")
    assert eval(expect, {"given": given, "pd": pd}), given
    empty.edit("pipeline.py", "def in_the_run(made):", "def in_the_run(made):\n    print(1)")
    empty.make()


def test_a_reader_may_change_what_it_was_handed(empty: Workplace) -> None:
    empty.write(
        "pipeline.py",
        """
        import numpy as np
        import pandas as pd
        from lineal import asset


        @asset
        def made():
            return pd.DataFrame({"v": [1, 2, 3], "s": ["a", "b", "c"]})


        @asset
        def vandal(made):
            made["v"] = 0
            made.loc[0, "s"] = "changed"
            made.pop("s")
            return made


        @asset
        def array_vandal(made: np.ndarray):
            made[0, 0] = 99
            return 1


        @asset
        def other(made):
            return made
        """,
    )
    empty.make()
    assert lineal.open(empty.root).load("other").to_dict("list") == {
        "v": [1, 2, 3],
        "s": ["a", "b", "c"],
    }


def test_train_test_split_as_outputs(empty: Workplace) -> None:
    empty.write(
        "pipeline.py",
        """
        import pandas as pd
        from sklearn.model_selection import train_test_split
        from lineal import asset


        @asset(outputs=["train", "test"])
        def split(seed: int = 0):
            return train_test_split(pd.DataFrame({"v": range(10)}), random_state=seed)


        @asset
        def both(train, test):
            return sorted([*train["v"], *test["v"]])
        """,
    )
    empty.make()
    assert lineal.open(empty.root).load("both") == list(range(10))
