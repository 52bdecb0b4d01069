"""A small project whose store holds a file of every kind, and all that can be asked of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lineal.assets.errors import LinealError
from lineal.project import Project

PIPELINE = '''
from sklearn.linear_model import LinearRegression

from lineal import Folder, Result, asset, checks, source, sql_asset

source("raw/orders", "data/orders.csv")


class Rates:
    """A value of a class of the project."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def __eq__(self, other):
        return (self.low, self.high) == (other.low, other.high)


@asset(checks=[checks.between("amount", low=0)])
def priced(raw_orders, rate: float = 1.1):
    print(f"{len(raw_orders)} orders")
    return raw_orders.assign(gross=raw_orders["amount"] * rate)


sql_asset("by_customer", "select customer, sum(gross) as total from priced group by customer")


@asset
def model(priced):
    return LinearRegression().fit(priced[["amount"]], priced["gross"])


@asset
def mean(priced):
    return Result(float(priced["gross"].mean()), metrics={"rows": len(priced)})


@asset
def matrix(priced):
    return priced[["amount", "gross"]].to_numpy()


@asset(format="pickle")
def rates(priced):
    return Rates(float(priced["amount"].min()), float(priced["amount"].max()))


@asset
def picture(priced):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot(priced["amount"])
    return figure


@asset
def packed(mean):
    return f"packed {mean}".encode()


@asset
def pages(by_customer, out: Folder):
    for name, total in by_customer.itertuples(index=False):
        (out / f"{name}.txt").write_text(f"{total}")
    return out


@asset
def broken(priced):
    print("on its way")
    raise ValueError("as ever")
'''
ORDERS = "id,customer,amount\n1,a,10\n2,b,20\n3,a,30\n4,c,5\n"


def make(root: Path) -> None:
    """The project, run four times: old versions, a failure, a refusal, packs, every cache."""
    (root / "data").mkdir(parents=True)
    (root / "pipeline.py").write_text(PIPELINE)
    (root / "lineal.toml").write_text("[run]\njobs = 1\n")
    for orders in (ORDERS, ORDERS + "5,d,7\n", ORDERS + "6,e,-1\n", ORDERS + "7,f,8\n"):
        (root / "data" / "orders.csv").write_text(orders)
        Project(root).materialize()
    Project(root).journal.compact(keep=5, size=5)
    Project(root).plan()
    for ask in QUESTIONS.values():
        ask(Project(root))
    # The copies of the store that tests make have no links: this is laid out anew when asked.
    shutil.rmtree(root / ".lineal" / "cache" / "folders")


def _model(project: Project) -> Any:
    model = project.load("model")
    return model.coef_.tolist(), model.intercept_


def _pages(project: Project) -> Any:
    return {path.name: path.read_text() for path in project.load("pages").iterdir()}


QUESTIONS: Mapping[str, Callable[[Project], Any]] = MappingProxyType({
    "raw/orders": lambda p: p.load("raw/orders").to_dict("list"),
    "priced": lambda p: p.load("priced").to_dict("list"),
    "by_customer": lambda p: sorted(p.load("by_customer", "rows"), key=str),
    "mean": lambda p: p.load("mean"),
    "matrix": lambda p: p.load("matrix").tolist(),
    "rates": lambda p: vars(p.load("rates")),
    "picture": lambda p: p.load("picture"),
    "packed": lambda p: p.load("packed"),
    "model": _model,
    "pages": _pages,
    "sql": lambda p: p.sql(
        "select * from priced join by_customer using (customer) order by id"
    ).rows,
    "lineage": lambda p: p.sql(
        "select asset, version, outcome from lineage.materialization order by all"
    ).rows,
    "show": lambda p: [(v.id, v.content) for v in p.show("priced").versions],
    "log": lambda p: p.log("priced"),
    "traceback": lambda p: p.log("broken"),
    "runs": lambda p: [p.run(story.started.run) for story in p.runs()],
})  # fmt: skip


def answers(root: Path) -> dict[str, Any]:
    """What every question is answered, or the error."""
    found: dict[str, Any] = {}
    for name, ask in QUESTIONS.items():
        try:
            found[name] = ask(Project(root))
        except LinealError as error:
            found[name] = error
    return found
