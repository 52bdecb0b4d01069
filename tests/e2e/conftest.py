"""Projects for end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command_line import Workplace


@pytest.fixture
def empty(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "project")


@pytest.fixture
def shop(empty: Workplace) -> Workplace:
    """Orders and customers: sources, helpers in another module, SQL, several outputs, a model."""
    empty.write(
        "data/orders.csv",
        """
        id,customer,amount,note
        1,a,10.0,x
        2,b,20.0,y
        3,a,30.0,z
        4,c,5.0,w
        """,
    )
    empty.write("data/customers.csv", "customer,city\na,Rome\nb,Oslo\nc,Rome\n")
    empty.write(
        "helpers.py",
        '''
        """Prices."""

        RATE = 1.1
        UNUSED = 7


        def gross(amount):
            """With tax."""
            return amount * RATE


        def unreached(x):
            return x + UNUSED
        ''',
    )
    empty.write(
        "pipeline.py",
        '''
        from typing import Annotated

        import pandas as pd

        from helpers import gross
        from lineal import Result, asset, columns, source, sql_asset

        source("raw/orders", "data/orders.csv")
        source("raw/customers", "data/customers.csv")


        @asset
        def priced(raw_orders: Annotated[pd.DataFrame, columns("id", "customer", "amount")]):
            """Orders with tax."""
            return raw_orders.assign(gross=gross(raw_orders["amount"]))


        sql_asset(
            "by_city",
            """select c.city, sum(p.gross) as total
            from priced p join raw_customers c using (customer) group by c.city""",
            primary_key="city",
        )


        @asset(outputs=["small", "large"])
        def split(priced, limit: float = 20.0):
            return priced[priced["amount"] < limit], priced[priced["amount"] >= limit]


        @asset
        def mean(large):
            return Result(float(large["gross"].mean()), metrics={"rows": len(large)})
        ''',
    )
    return empty
