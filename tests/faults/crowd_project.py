"""The project that a crowd works on, and the edits that are made to it meanwhile.

Each function of it appends a line to a file outside of the project, whenever it computes: a record
of what was done that owes nothing to what lineal says.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

HELPERS = '''
import hashlib
import os

RATE = {rate}
ROUND = {round}


class Flaky(Exception):
    """What fails now and then."""


def noted(name, *inputs):
    """Tell the world outside that `name` was computed of these inputs."""
    shown = [i.to_csv(index=False) if hasattr(i, "to_csv") else repr(i) for i in inputs]
    digest = hashlib.sha256("|".join(shown).encode()).hexdigest()[:24]
    line = f"{{os.getpid()}} {{name}} {{digest}}\\n"
    descriptor = os.open("{outside}/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def fails_now():
    """Every third time, in whatever process; never when it is calm."""
    if os.path.exists("{outside}/calm"):
        return False
    descriptor = os.open("{outside}/attempts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    count = os.fstat(descriptor).st_size
    os.close(descriptor)
    return count % 3 == 0
'''

PIPELINE = '''
import time

from helpers import RATE, ROUND, Flaky, fails_now, noted
from lineal import asset, check, checks, source, sql_asset

source("raw/orders", "data/orders.csv")
source("raw/customers", "data/customers.csv")
source("raw/rates", "data/rates.csv")


@asset(checks=[checks.between("amount", low=0)])
def orders(raw_orders):
    noted("orders", raw_orders)
    return raw_orders.sort_values("id")


@asset
def priced(orders):
    noted("priced", RATE, orders)
    return orders.assign(gross=orders["amount"] * RATE)


sql_asset(
    "by_city",
    """select c.city, sum(p.gross) as total
    from priced p join raw_customers c using (customer) group by c.city""",
    primary_key="city",
)
sql_asset("totals", "select count(*) as orders, sum(gross) as total from priced")


@asset
def left(priced):
    noted("left", priced)
    return priced[priced["id"] % 2 == 0]


@asset
def right(priced):
    noted("right", priced)
    return priced[priced["id"] % 2 == 1]


@asset
def both(left, right):
    noted("both", left, right)
    return {"left": len(left), "right": len(right), "sum": float(left["gross"].sum())}


@asset
def slow(raw_customers):
    time.sleep(0.3)
    noted("slow", ROUND, raw_customers)
    return raw_customers.assign(round=ROUND)


@asset
def flaky(raw_rates):
    if fails_now():
        raise Flaky("not now")
    noted("flaky", raw_rates)
    return raw_rates


@check(flaky)
def is_small(flaky):
    return flaky[flaky["rate"] >= 50]


@asset
def after_flaky(flaky, slow):
    noted("after_flaky", flaky, slow)
    return len(flaky) * len(slow)


@asset(outputs=["small", "large"])
def split(priced):
    noted("split", priced)
    return priced[priced["gross"] < 20], priced[priced["gross"] >= 20]


@asset
def model(left):
    from sklearn.tree import DecisionTreeRegressor

    noted("model", left)
    return DecisionTreeRegressor(random_state=0).fit(left[["id"]], left["gross"])


@asset
def report(both, model, by_city):
    noted("report", both, model.tree_.value.tolist(), by_city)
    return {"both": both, "cities": len(by_city), "nodes": int(model.tree_.node_count)}
'''

ASSETS = (
    "raw/orders", "raw/customers", "raw/rates", "orders", "priced", "by_city", "totals", "left",
    "right", "both", "slow", "flaky", "after_flaky", "small", "large", "model", "report",
)  # fmt: skip
SELECTIONS: tuple[tuple[str, ...], ...] = (
    (), (), ("both",), ("model",), ("by_city", "slow"), ("report",), ("after_flaky",),
    ("small", "totals"), ("raw/",), ("slow",), ("priced+",), ("flaky", "left", "right"),
)  # fmt: skip


class Edits:
    """Changes of sources and code, each written beside and renamed into place."""

    def __init__(self, root: Path, outside: Path, chance: random.Random) -> None:
        self.root, self.outside, self._chance = root, outside, chance
        self._values = Counter({"orders": 1, "customers": 1, "rates": 1, "rate": 1, "round": 1})
        self.made = 0
        self._write("pipeline.py", PIPELINE)
        for part in self._values:
            self._put(part)

    def edit(self) -> None:
        """Change one thing; now and then back to what it was some time ago."""
        part = self._chance.choice(list(self._values))
        before = self._values[part]
        back = before > 2 and self._chance.random() < 0.25
        self._values[part] = self._chance.randrange(1, before) if back else before + 1
        self._put(part)
        self._values[part] = max(before, self._values[part])  # what is new stays new
        self.made += 1

    def settle(self) -> None:
        """Sources that pass their checks."""
        self._values["orders"] = self._values["orders"] // 4 * 4 + 5
        self._put("orders")

    def _put(self, part: str) -> None:
        number = self._values[part]
        if part in ("rate", "round"):
            values = {"rate": 1 + self._values["rate"] / 8, "round": self._values["round"]}
            text = HELPERS.format(**values, outside=self.outside)
            self._write("helpers.py", text)
        else:
            self._write(f"data/{part}.csv", _rows(part, number))

    def _write(self, name: str, text: str) -> None:
        beside = self.outside / "beside"
        beside.write_text(text.lstrip("\n"))
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        beside.replace(self.root / name)


def _rows(part: str, number: int) -> str:
    if part == "rates":
        return "name,rate\n" + "".join(f"n{i},{i + number / 100}\n" for i in range(9))
    if part == "customers":
        rows: Iterable[str] = (f"c{i},{'Rome' if i % 3 else 'Oslo'}{number}" for i in range(9))
        return "customer,city\n" + "\n".join(rows) + "\n"
    refused = number % 4 == 0  # the check of `orders` blocks it
    rows = (f"{i},c{i % 9},{-1 if refused and i == 5 else i + number}" for i in range(40))
    return "id,customer,amount\n" + "\n".join(rows) + "\n"


def computed(outside: Path) -> list[tuple[int, str]]:
    """The record of the world outside: which process, what it computed of which inputs."""
    path = outside / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]
