"""A tea shop: the three files of its till, six queries, and one number to watch."""

from typing import Annotated

import pandas as pd

from lineal import Result, asset, columns, source, sql_assets

source("raw/customers", "data/customers.csv")
source("raw/orders", "data/orders.csv")
source("raw/payments", "data/payments.csv")

sql_assets("sql")  # each file is a table: sql/marts/months.sql is marts/months


@asset
def loyalty(marts_customers: Annotated[pd.DataFrame, columns("city", "orders")]) -> Result:
    """How many of those who bought came back, by city."""
    bought = marts_customers[marts_customers["orders"] > 0]
    came_back = bought["orders"] > 1
    by_city = came_back.groupby(bought["city"]).agg(customers="size", came_back="sum")
    return Result(by_city.reset_index(), metrics={"came_back": came_back.mean()})
