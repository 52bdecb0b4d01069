"""Column lineage of queries, checked by hand: each case says all edges that there are, no more.

An edge is written `column < source how`; `*` is the rows of the result. `how` is empty for an
identity, else: transformed, aggregated, masked (with what masks), join, group, filter, sort,
window, condition.
"""

import pytest

from lineal.lineage.columns import Given, edges
from lineal.lineage.sql_trees import Trees

ORDERS = Given("raw/orders", "raw/orders", ("id", "customer", "amount", "status", "day"))
CUSTOMERS = Given("customers", "customers", ("customer", "name", "country"))
EVENTS = Given("events", "events", ("id", "kind", "tags", "place"))
INPUTS = (ORDERS, CUSTOMERS, EVENTS)
MACROS = (
    "create macro cents(x) as round(x * 100)",
    "create macro total(x) as sum(x)",
    "create macro of_country(wanted) as table select customer, name from customers"
    " where country = wanted",
)
SHORT = {"raw/orders": "o", "customers": "c", "events": "e"}
HOW = {
    "IDENTITY": "", "TRANSFORMATION": "transformed", "AGGREGATION": "aggregated", "JOIN": "join",
    "GROUP_BY": "group", "FILTER": "filter", "SORT": "sort", "WINDOW": "window",
    "CONDITIONAL": "condition",
}  # fmt: skip

# The columns of the result, the query, all its edges.
CASES = [
    # what flows
    ("id sum", 'select id, amount as "sum" from raw.orders', "id < o.id; sum < o.amount"),
    ("id cents", "select id, amount * 100 as cents from raw_orders",
     "id < o.id; cents < o.amount transformed"),
    ("id", 'select id::varchar as id from "raw/orders" o', "id < o.id transformed"),
    ("customer name country", "from customers",
     "customer < c.customer; name < c.name; country < c.country"),
    ("id name", "select * exclude (country) replace (upper(name) as name)"
     " rename (customer as id) from customers", "id < c.customer; name < c.name transformed"),
    ("name country", "select columns('^(name|country)$') from customers",
     "name < c.name; country < c.country"),
    ("customer name", "select max(columns(* exclude (country))) from customers",
     "customer < c.customer aggregated; name < c.name aggregated"),
    ("who n", "select md5(name) as who, count(country) as n from customers group by name",
     "who < c.name transformed masked; n < c.country aggregated masked; * < c.name group"),
    ("n", "select count(*) as n from raw.orders", ""),
    ("x y", "select place.city as x, tags[1] as y from events",
     "x < e.place transformed; y < e.tags transformed"),
    ("long", "select list_transform(tags, lambda t: t || kind) as long from events",
     "long < e.tags transformed; long < e.kind transformed"),
    ("doubled more", "select amount * 2 as doubled, doubled + 1 as more from raw.orders",
     "doubled < o.amount transformed; more < o.amount transformed"),
    ("one", "select 1 as one", ""),
    # what decides about one column
    ("big", "select case when status = 'paid' then amount else 0 end as big from raw.orders",
     "big < o.amount transformed; big < o.status condition"),
    ("who", "select coalesce(name, country) as who from customers",
     "who < c.name transformed; who < c.name condition; who < c.country transformed"),
    ("known", "select nullif(amount, id) as known from raw.orders",
     "known < o.amount transformed; known < o.amount condition; known < o.id condition"),
    ("n", "select sum(amount) filter (where status = 'paid') as n from raw.orders",
     "n < o.amount aggregated; n < o.status filter"),
    ("days", "select string_agg(day, ',' order by id) as days from raw.orders",
     "days < o.day aggregated; days < o.id sort"),
    ("running", "select sum(amount) over (partition by customer order by day) as running"
     " from raw.orders",
     "running < o.amount aggregated; running < o.customer window; running < o.day window"),
    ("before n", "select lag(amount) over w as before, row_number() over w as n from raw.orders"
     " window w as (order by day)",
     "before < o.amount transformed; before < o.day window; n < o.day window"),
    ("id last", "select id, (select max(day) from raw.orders o where o.customer = e.id) as last"
     " from events e",
     "id < e.id; last < o.day aggregated; last < o.customer filter; last < e.id filter"),
    # what decides about all rows
    ("id", "select id from raw.orders where status = 'paid' and amount > 1",
     "id < o.id; * < o.status filter; * < o.amount filter"),
    ("customer total", "select customer, sum(amount) as total from raw.orders group by all"
     " having count(id) > 1",
     "customer < o.customer; total < o.amount aggregated; * < o.customer group; * < o.id filter"),
    ("id", "select id from raw.orders qualify rank() over (partition by customer order by day) = 1",
     "id < o.id; * < o.customer filter; * < o.day filter"),
    ("id", "select id from raw.orders order by day limit 3", "id < o.id; * < o.day sort"),
    ("total", "with d as (select * from raw.orders order by day)"
     " select sum(amount) as total from d", "total < o.amount aggregated"),
    ("status", "select distinct status from raw.orders", "status < o.status; * < o.status group"),
    ("customer id", "select distinct on (customer) customer, id from raw.orders order by day",
     "customer < o.customer; id < o.id; * < o.customer group; * < o.day sort"),
    ("n", "select sum(n) as n from (select status, count(id) as n from raw.orders group by status)"
     " where n > 2",
     "n < o.id aggregated masked; * < o.status group; * < o.id filter"),
    ("id tag", "select id, unnest(tags) as tag from events",
     "id < e.id; tag < e.tags transformed; * < e.tags filter"),
    # several tables
    ("id name", "select o.id, c.name from raw.orders o join customers c on o.customer = c.customer",
     "id < o.id; name < c.name; * < o.customer join; * < c.customer join"),
    ("id name", "select o.id, c.name from raw.orders o, customers c"
     " where o.customer = c.customer and c.country = 'at'",
     "id < o.id; name < c.name; * < o.customer join; * < c.customer join; * < c.country filter"),
    ("customer id name", "select customer, id, name from raw.orders full join customers"
     " using (customer)",
     "customer < o.customer; customer < c.customer; id < o.id; name < c.name;"
     "* < o.customer join; * < c.customer join"),
    ("customer name country id amount status day", "from customers natural join raw.orders",
     "customer < c.customer; name < c.name; country < c.country; id < o.id; amount < o.amount;"
     "status < o.status; day < o.day; * < o.customer join; * < c.customer join"),
    ("name", "select name from customers semi join raw.orders using (customer)",
     "name < c.name; * < c.customer filter; * < o.customer filter"),
    ("name", "select name from customers c where exists ("
     "from raw.orders o where o.customer = c.customer and amount > 9)",
     "name < c.name; * < c.customer filter; * < o.customer filter; * < o.amount filter"),
    ("name", "select name from customers where customer in (select customer from raw.orders)",
     "name < c.name; * < c.customer filter; * < o.customer filter"),
    ("id kind", "select o.id, e.kind from raw.orders o asof join events e on o.day >= e.id",
     "id < o.id; kind < e.kind; * < o.day join; * < e.id join"),
    ("id t", "select id, t from events, lateral (select unnest(tags) as t) where t <> kind",
     "id < e.id; t < e.tags transformed; * < e.tags filter; * < e.kind filter"),
    ("who", "select name as who from customers union all select kind from events",
     "who < c.name; who < e.kind"),
    ("id name", "select id from events union by name select name, 1 as id from customers",
     "id < e.id; name < c.name; * < e.id group; * < c.name group"),
    ("name", "select name from customers except all select kind from events",
     "name < c.name; * < c.name filter; * < e.kind filter"),
    ("id depth", "with recursive r as (select id, 1 as depth from events union all"
     " select id + 1, depth + 1 from r where id < 9) from r",
     "id < e.id; id < e.id transformed; * < e.id filter"),
    ("id name", "select * exclude (o.customer, o.amount, o.status, o.day, c.customer, c.country)"
     " from raw.orders o positional join customers c", "id < o.id; name < c.name"),
    ("kind", "from query('select kind from events where id > 1')",
     "kind < e.kind; * < e.id filter"),
    ("amount day", "select max(columns(['day', 'amount'])) from raw.orders",
     "amount < o.amount aggregated; day < o.day aggregated"),
    ("name", "select main.customers.name from customers", "name < c.name"),
    ("id", "select o.id from raw.orders o, customers where amount > 1 and o.customer = 7",
     "id < o.id; * < o.amount filter; * < o.customer filter"),
    ("a b", "select kind -> 'a' as a, upper(kind -> '$.b') as b from events",
     "a < e.kind transformed; b < e.kind transformed"),
    # wide and long
    ("customer paid open", "pivot raw.orders on status in ('paid', 'open') using sum(amount)"
     " group by customer",
     "customer < o.customer; paid < o.amount aggregated; paid < o.status filter;"
     "open < o.amount aggregated; open < o.status filter; * < o.customer group"),
    ("customer new paid", "pivot raw.orders on status using sum(amount) group by customer",
     "customer < o.customer; paid < o.amount aggregated; paid < o.status filter;"
     "new < o.amount aggregated; new < o.status filter; * < o.customer group"),
    ("customer what said", "unpivot customers on name, country into name what value said",
     "customer < c.customer; said < c.name; said < c.country; * < c.name filter;"
     "* < c.country filter"),
    # macros of the project
    ("c t", "select cents(amount) as c, total(id) over () as t from raw.orders",
     "c < o.amount transformed; t < o.id aggregated"),
    ("name", "select name from of_country('at')", "name < c.name; * < c.country filter"),
]  # fmt: skip


def shown(edge):
    column, source = edge.name or "*", f"{SHORT[edge.asset]}.{edge.source_name}"
    words = [HOW[edge.subtype], "masked" if edge.masking else ""]
    return " ".join([f"{column} < {source}", *filter(None, words)])


@pytest.fixture(scope="module")
def trees():
    return Trees()


@pytest.mark.parametrize(("output", "query", "expected"), CASES, ids=[c[1][:60] for c in CASES])
def test_the_column_lineage_of_a_query_is_exact(trees, output, query, expected):
    found = edges(query, MACROS, INPUTS, output.split(), trees)
    assert {edge.known for edge in found} <= {"parsed"}
    assert {edge.type for edge in found if edge.name is None} <= {"INDIRECT"}
    wanted = {line.strip() for line in expected.split(";") if line.strip()}
    assert {shown(edge) for edge in found} == wanted


@pytest.mark.parametrize(
    ("query", "output"),
    [
        ("select nothing from customers", ["nothing"]),  # no such column
        ("select name from elsewhere", ["name"]),  # no such input
        ("select name from customers", ["label"]),  # another column came out
        ("select name from customers", ["name", "more"]),
        ("select customer from customers, raw.orders", ["customer"]),  # of which?
        ("summarize customers", ["column_name"]),
        ("select name from", ["name"]),
        ("select name from late('x')", ["name"]),
        ("", ["name"]),
    ],
)
def test_what_is_not_understood_is_opaque_as_a_whole(trees, query, output):
    found = edges(query, (), (CUSTOMERS, EVENTS), output, trees)
    assert {(e.name, e.asset, e.source_name, e.type, e.known) for e in found} == {
        (name, asset, None, None, "opaque") for name in output for asset in ("customers", "events")
    }


def test_a_query_nested_beyond_all_measure_is_opaque(trees):
    query = "select " + "abs(" * 20_000 + "customer" + ")" * 20_000 + " as x from customers"
    assert {e.known for e in edges(query, (), (CUSTOMERS,), ["x"], trees)} == {"opaque"}


def test_a_struct_that_is_spread_may_be_any_number_of_columns(trees):
    found = edges("select id, place.* from events", (), INPUTS, ["id", "city", "street"], trees)
    assert {shown(e) for e in found} == {
        "id < e.id", "city < e.place transformed", "street < e.place transformed"
    }  # fmt: skip
