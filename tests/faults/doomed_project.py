"""The project that is killed while it runs: a dozen assets of every kind, in any of many states."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import NamedTuple

PIPELINE = '''
"""Orders, what customers paid, and what can be said of it. Edition {edition}."""

from pathlib import Path
from typing import Annotated

import pandas as pd
from sklearn.tree import DecisionTreeRegressor

from lineal import Folder, Result, asset, check, checks, columns, source, sql_asset
from rates import gross

source("raw/orders", "data/orders.csv")
source("raw/notes", "data/notes/*.txt")


@asset(primary_key="id", checks=[checks.not_null("customer")])
def orders(raw_orders):
    return raw_orders.assign(gross=gross(raw_orders["amount"]))


@check(orders)
def positive(orders):
    return orders[orders["amount"] < 0]


sql_asset(
    "by_customer",
    "select customer, sum(gross) as total from orders group by customer",
    checks=[checks.not_null("total")],
)


@asset(outputs=["small", "large"])
def split(orders, limit: int = {limit}):
    return orders[orders["amount"] < limit], orders[orders["amount"] >= limit]


@asset
def model(orders: Annotated[pd.DataFrame, columns("id", "amount", "gross")]):
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
    return tree.fit(orders[["id", "amount"]], orders["gross"])


@asset
def report(by_customer, folder: Folder):
    (folder / "sub").mkdir()
    (folder / "totals.csv").write_text(by_customer.to_csv(index=False))
    (folder / "sub" / "count.txt").write_text(str(len(by_customer)))
    return folder


@asset
def listed(report: Path):
    return sorted(path.read_text() for path in report.rglob("*") if path.is_file())


@asset
def stored_bytes(large: Path):
    return large.stat().st_size > 0


@asset
def letters(raw_notes: list[Path]):
    return {{path.name: len(path.read_text()) for path in raw_notes}}


@asset(checks=[checks.unique("id")])
def predicted(model, large):
    return large.assign(predicted=model.predict(large[["id", "amount"]]))


@asset
def mean(small):
    return Result(float(small["gross"].mean()), metrics={{"rows": len(small)}})


@asset
def summary(mean, letters, listed, stored_bytes, predicted):
    return {{
        "mean": mean,
        "letters": sum(letters.values()),
        "listed": len(listed),
        "stored": stored_bytes,
        "predicted": float(predicted["predicted"].sum()),
    }}
'''

RATES = '''
"""What is added to an amount."""


def gross(amount):
    return amount * {rate}
'''

TOGETHER = frozenset({"small", "large"})  # the outputs of one call: all of them, or none


class State(NamedTuple):
    """A state of sources and code. Two that share a part share what rests on that part alone."""

    orders: int
    notes: int
    rate: int
    limit: int
    edition: int  # changes no recipe

    @classmethod
    def of(cls, number: int) -> State:
        """Any number names a state; neighbours may have the same orders, or the same code."""
        return cls(
            orders=number // 2,
            notes=number % 2,
            rate=10 + number // 3 % 2,
            limit=40 + 20 * (number // 5 % 2),
            edition=number % 3,
        )

    def write(self, root: Path) -> None:
        """Make the project stand in this state; nothing else may run in it meanwhile."""
        notes = root / "data" / "notes"
        shutil.rmtree(root / "data", ignore_errors=True)
        notes.mkdir(parents=True)
        (root / "pipeline.py").write_text(
            PIPELINE.format(edition=self.edition, limit=self.limit), encoding="utf-8"
        )
        (root / "rates.py").write_text(RATES.format(rate=self.rate), encoding="utf-8")
        (root / "data" / "orders.csv").write_text(_orders(self.orders), encoding="utf-8")
        for name in ("a", "b", "c")[: 2 + self.notes]:
            (notes / f"{name}.txt").write_text(f"{name} {self.notes}\n", encoding="utf-8")


def _orders(number: int) -> str:
    rng = random.Random(number)
    rows = [f"{i},c{rng.randrange(40)},{rng.randrange(100)}" for i in range(500)]
    return "\n".join(["id,customer,amount", *rows]) + "\n"
