"""The assets that random projects are grown from: each motif adds a few, with slots to edit.

A table asset has columns id, k, x and y at least, so that any can be read by any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.object_motifs import (
    comes_and_goes,
    file_read_without_saying,
    metric,
    model,
    paths_of_a_source,
    scaler,
    series_and_arrays,
)
from tests.readers import AllBut

if TYPE_CHECKING:
    from tests.generated_project import Builder

Shape = Callable[["Builder", str, str], str]


def _csv(b: Builder, source: str, rows: int, first: int, *, alone: bool) -> str:
    """A CSV text with a slot in some cells; a lone file has three layouts.

    One has a column more, one its columns in another order.
    """
    cells = []
    for n in range(rows):
        x, y, w = [str(b.rng.randint(10, 99)) for _ in range(3)]
        if n % 5 == 1:
            x = b.number(f"cell x of {source}", source)
        if n % 5 == 3:
            w = b.number(f"cell w of {source}", source)
        k = (
            b.slot(f"cell k of {source}", "changing", ("a", "b"), source)
            if n == 2
            else "abcd"[n % 4]
        )
        note = b.rng.choice(["", "NA", "some text", "ünï"])
        cells.append((str(first + n), k, x, y, w, note))
    names = ("id", "k", "x", "y", "w", "note")
    lines = [names, *cells]
    plain = "".join(",".join(line) + "\n" for line in lines)
    more = "".join(f"{','.join(line)},{'z' if line == names else 7}\n" for line in lines)
    turned = "".join(",".join(line[i] for i in (0, 2, 1, 4, 3, 5)) + "\n" for line in lines)
    fewer = "".join(",".join(line[:5]) + "\n" for line in lines)
    renamed = plain.replace("note", "remark", 1)
    retyped = "".join(f"{','.join(c)},{c[0]}.5\n" for c in cells)
    retyped = f"{','.join(names)},z\n{retyped}"
    if not alone:
        return plain
    layouts = (plain, more, turned, fewer, renamed, retyped)
    return b.slot(f"columns of {source}", "changing", layouts, source)


def sources(b: Builder) -> None:
    b.project.files["data/orders.csv"] = _csv(b, "raw/orders", 20, 1, alone=True)
    note = b.either_way("metadata of a source", "", ', description="Orders."')
    b.asset("raw/orders", {}, f'source("raw/orders", "data/orders.csv"{note})\n')
    for part in (1, 2):
        name = b.slot("file renamed in a glob", "changing", ("a", "c", "m"), "raw/events")
        b.project.files[f"data/events_{name}{part}.csv"] = _csv(
            b, "raw/events", 7, 100 * part, alone=False
        )
    b.asset("raw/events", {}, 'source("raw/events", "data/events_*.csv")\n')
    b.tables += ["raw/orders", "raw/events"]


def shaped(b: Builder, shape: Shape) -> None:
    """An asset whose x goes through one shape of code."""
    i, table = b.next(), b.table()
    name = f"t{i}"
    b.project.reads[name] = {}
    expression = shape(b, name, str(i))
    parameter = table.replace("/", "_")
    reads: tuple[str, ...] | None = None
    annotation, keep = "", b.rng.choice(["", '.sort_values(["x", "id"])'])
    if b.rng.random() < 0.5:
        reads = ("id", "k", "x", "y")
        annotation = ': Annotated[pd.DataFrame, columns("id", "k", "x", "y")]'
    meta = b.either_way("metadata of an asset", "", '(tags=["a"])', '(tags=["b"], owner="me")')
    b.asset(
        name,
        {table: reads},
        f"@asset{meta}\ndef {name}({parameter}{annotation}):{b.comment()}\n"
        f'    """{b.doc()}"""\n'
        f'    v = {parameter}["x"]\n'
        f"    return {parameter}.assign(x=({expression}) % 1009){keep}\n",
    )
    b.tables.append(name)


def filter(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"filter{i}"
    spelt = b.rng.choice([table.replace("/", "_"), table.replace("/", "."), f'"{table}"'])
    n = b.number("SQL text", name)
    note = b.either_way("SQL comment", "", " -- a remark\n", " /* a\n remark */")
    select = b.either_way("SQL formatting", "select", "SELECT", "Select\n   ")
    text = f"{select} id, k, x * 2 as x,{note} y from {spelt} where y <> {n} or x < {n}{note}"
    reads = {table: ("id", "k", "x", "y")}
    if b.rng.random() < 0.5:
        b.project.files[f"sql/{name}.sql"] = text + b.either_way("SQL end", "", ";", "\n")
        b.asset(name, reads, f'{name} = sql_asset("{name}", path="sql/{name}.sql")\n')
    else:
        b.asset(name, reads, f'{name} = sql_asset("{name}", """{text}""")\n')
    b.tables.append(name)


def group(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"group{i}"
    n = b.number("SQL text", name)
    total = b.slot("SQL function", "changing", ("sum", "max", "min"), name)
    b.project.files[f"sql/{name}.sql"] = (
        f"select k, count(*) as n, {total}(x) + {n} as total\n"
        f"from {table.replace('/', '_')} group by k{b.either_way('SQL comment', '', ' -- why')}\n"
    )
    key = b.rng.choice(["", ', primary_key="k"'])
    b.asset(name, {table: ("k", "x")}, f'sql_asset("{name}", path="sql/{name}.sql"{key})\n')
    b.asset(
        f"read_{name}",
        {name: ("k", "total")},
        f'@asset\ndef read_{name}({name}: Annotated[pd.DataFrame, columns("k", "total")]):\n'
        f'    return {name}.assign(total={name}["total"] // 50)\n',
    )


def join(b: Builder) -> None:
    i, left, right = b.next(), b.table(), b.rng.choice(["raw/orders", "raw/events"])
    name = f"join{i}"
    order = b.slot("SQL order", "changing", ("id", "id desc"), name)
    if left == right:
        left = b.tables[2] if len(b.tables) > 2 else ({"raw/orders", "raw/events"} - {right}).pop()
    reads = {left: ("id", "k", "x"), right: ("id", "y", "w")}
    b.asset(
        name,
        reads,
        f'sql_asset("{name}", """\n'
        f"    select l.id, l.k, l.x, coalesce(r.y, 0) as y, r.w\n"
        f"    from {left.replace('/', '_')} l left join {right.replace('/', '.')} r using (id)\n"
        f'    order by {order}\n""")\n',
    )
    b.tables.append(name)


def overlapping(b: Builder) -> None:
    """Two inputs with columns of the same names, of which each is read in others."""
    i, left = b.next(), b.table()
    right = b.rng.choice([name for name in b.tables if name != left])
    name = f"overlap{i}"
    n = b.number("SQL text", name)
    left_spelt, right_spelt = (t.replace("/", "_") for t in (left, right))
    b.asset(
        name,
        {left: ("id", "x"), right: ("id", "k", "y")},
        f'sql_asset("{name}", """\n'
        f"    with r as (select * from {right_spelt}), unread as (from {left_spelt})\n"
        f"    select l.id, coalesce(r.k, 'a') as k, l.x, coalesce(r.y, 0) + {n} as y\n"
        f'    from {left_spelt} l left join r on l.id = r.id\n""")\n',
    )
    b.tables.append(name)


def starred(b: Builder) -> None:
    """All columns but the values of one, which are replaced or left out; and what reads a few."""
    i, table = b.next(), b.rng.choice(["raw/orders", "raw/events"])
    name = f"star{i}"
    way = b.rng.choice(["exclude (w)", "replace (0 as w)"])
    b.asset(
        name,
        {table: AllBut(("w",))},
        f'sql_asset("{name}", "select * {way} from {table.replace("/", ".")}")\n',
    )
    b.tables.append(name)
    b.asset(
        f"few{i}",
        {name: ("k", "y")},
        f'sql_asset("few{i}", "select k, max(y) as y from (select * from {name}) group by all")\n',
    )
    b.asset(
        f"many{i}",
        {table: ()},
        f'sql_asset("many{i}", "select count(*) as n from {table.replace("/", "_")}")\n',
    )


def looked_up(b: Builder) -> None:
    """A correlated subquery, whose names are those of the outer query where it has no such."""
    i, table = b.next(), b.table()
    other = "raw/events" if table != "raw/events" else "raw/orders"
    name = f"looked{i}"
    bound = b.slot("SQL text", "changing", ("<", "<=", ">"), name)
    b.asset(
        name,
        {table: ("id", "k", "x", "y"), other: ("id", "w")},
        f'sql_asset("{name}", """\n'
        f"    select id, k, x, y, (select max(o.w) from {other.replace('/', '_')} o\n"
        f"        where o.id % 10 {bound} t.y % 10) as w\n"
        f'    from {table.replace("/", "_")} t order by all\n""")\n',
    )
    b.tables.append(name)


def macros(b: Builder) -> None:
    """A query that calls macros of the project, one of which reads a table."""
    i, table = b.next(), b.rng.choice(["raw/orders", "raw/events"])
    name = f"called{i}"
    n, base = b.number("macro", name), b.number("macro that a macro calls", name)
    unused = b.number("macro that nobody calls", kind="unreached")
    note = b.either_way("comment of a macro", "", " -- a remark", " /* another */")
    b.project.files["queries/macros.sql"] = (
        f"create macro scaled(v) as (v * {n} + base()) % 1009;{note}\n"
        f"create macro base() as {base};\n\ncreate macro unused(v) as v - {unused};\n"
        f"create macro rich(least) as table\n"
        f"    select * from {table.replace('/', '.')} where x > least;\n"
    )
    least = b.number("SQL text", name)
    b.project.files[f"queries/{name}.sql"] = (
        f"select id, k, scaled(x) as x, y from rich({least} % 20) order by all\n"
    )
    b.asset(name, {table: ("id", "k", "x", "y")}, 'sql_assets("queries")\n')
    b.tables.append(name)


def split(b: Builder) -> None:
    i, table = b.next(), b.table()
    names = (f"train{i}", f"test{i}")
    n = b.number("function with two outputs", *names)
    parameter = table.replace("/", "_")
    result = b.rng.choice([f'{{"{names[0]}": low, "{names[1]}": high}}', "low, high"])
    for name in names:
        b.asset(name, {table: None}, "")
    b.block(
        "pipeline.py",
        f'@asset(outputs=["{names[0]}", "{names[1]}"])\ndef split{i}({parameter}):\n'
        f'    low = {parameter}[{parameter}["y"] < {n}]\n'
        f"    high = {parameter}.drop(low.index)\n    return {result}\n",
    )
    b.tables += names


def categorical(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"category{i}"
    parameter = table.replace("/", "_")
    order = b.slot(
        "categories",
        "changing",
        ('["a", "b", "c", "d"]', '["d", "c", "b", "a"]', '["a", "b", "c", "d", "e"]'),
        name,
    )
    ordered = b.slot("ordered categories", "changing", ("True", "False"), name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}):\n"
        f'    k = pd.Categorical({parameter}["k"], categories={order}, ordered={ordered})\n'
        f"    return {parameter}.assign(k=k)\n",
    )
    b.asset(
        f"codes{i}",
        {name: ("id", "k")},
        f'@asset\ndef codes{i}({name}: Annotated[pd.DataFrame, columns("id", "k")]):\n'
        f'    return {{"codes": {name}["k"].cat.codes.tolist(), '
        f'"ordered": bool({name}["k"].cat.ordered), "all": list({name}["k"].cat.categories)}}\n',
    )
    b.asset(
        f"counted{i}",
        {name: ("k",)},
        f'sql_asset("counted{i}", '
        f'"select k::varchar as k, count(*) as n from {name} group by 1")\n',
    )


def index(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"index{i}"
    parameter = table.replace("/", "_")
    way = b.slot(
        "index",
        "changing",
        ("", '.set_index("id")', '.set_index(["k", "id"])', '.set_index("k").rename_axis(None)'),
        name,
    )
    b.asset(name, {table: None}, f"@asset\ndef {name}({parameter}):\n    return {parameter}{way}\n")
    b.asset(
        f"width{i}",
        {name: None},
        f"@asset\ndef width{i}({name}):\n    return list({name}.columns)\n",
    )


def rows(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"rows{i}", table.replace("/", "_")
    n = b.number("body over rows", name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}: list[dict]) -> list[dict]:\n"
        f'    return [{{"id": r["id"], "k": r["k"], "x": r["x"] + {n}, "y": r["y"], '
        f'"tags": [r["k"]]}} for r in {parameter}]\n',
    )
    b.tables.append(name)


def settings(b: Builder) -> None:
    """A parameter that lineal.toml sets, and a check that changes without recomputing anything."""
    i, table = b.next(), b.table()
    name, parameter = f"tuned{i}", table.replace("/", "_")
    value = b.number("parameter in lineal.toml", name)
    remark = b.either_way("comment in lineal.toml", "", "# a remark\n")
    b.project.files["lineal.toml"] = (
        f'{remark}[project]\ndefinitions = ["pipeline.py"]\n\n[parameters.{name}]\nplus = {value}\n'
    )
    default = b.number("a default that lineal.toml overrides", name)
    limit = b.slot("check", "check", ("5000", "6000", "7000"), name)
    b.project.slots[default.strip("⟦⟧")] = b.project.slots[default.strip("⟦⟧")]._replace(
        certain=False
    )
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}, *, plus: int = {default}):\n"
        f'    return {parameter}.assign(x=({parameter}["x"] + plus) % 1009)\n\n\n'
        f"@check({name})\ndef small_{name}({name}):\n"
        f'    return bool(({name}["x"] < {limit}).all())\n',
    )
    b.tables.append(name)


def kinds_of_columns(b: Builder) -> None:
    """A table with every sort of column, read back by every arrival."""
    i = b.next()
    name = f"varied{i}"
    n = b.number("body of an asset", name)
    b.asset(
        name,
        {},
        f"@asset\ndef {name}():\n    return pd.DataFrame({{\n"
        f'        "i": [1, {n}, 3], "f": [0.5, float("nan"), -0.0], "t": ["a", None, "ü"],\n'
        f'        "b": [True, False, True], "when": pd.to_datetime(["2026-01-05"] * 3),\n'
        f'        "utc": pd.to_datetime(["2026-01-05T10:00"] * 3, utc=True),\n'
        f'        "c": pd.Categorical(["u", "v", "u"], categories=["v", "u", "never"]),\n'
        f'        "list": [[1], [], [{n}]], "span": pd.to_timedelta([1, 2, {n}], unit="s"),\n'
        f'        "day": [dt.date(2026, 1, 5), None, dt.date(2026, 1, {n} % 28 + 1)],\n'
        f'        "money": [Decimal("1.10"), None, Decimal("{n}.25")],\n'
        f'        "raw": [b"a", b"", None], "maybe": pd.array([1, None, {n}], dtype="Int64"),\n'
        f'        "yes": pd.array([True, None, False], dtype="boolean"),\n'
        f'        "struct": [{{"p": 1}}, {{"p": {n}}}, {{"p": 3}}],\n'
        f'        "small": np.array([1, 2, 3], "int8"),\n'
        f'        "at": [dt.time(1, 2), None, dt.time(3)], "single": np.float32([0.5, {n}, 2]),\n'
        f"    }}, index=[5, 6, 9])\n",
    )
    _probe(b, name)


def _probe(b: Builder, table: str) -> None:
    """What each arrival shows of a table, as an asset."""
    spelt = table.replace("/", "_")
    as_rows = "[str(r).replace('nan', 'None') for r in t{}]"
    first = "[str(v) for v in t.iloc[0]] if len(t) else []"
    looks = {
        "pandas": (
            "pd.DataFrame",
            f"[list(t.columns), str(t.index), {first}, t.astype(str).values.tolist()]",
        ),
        "arrow": ("pa.Table", f"[t.column_names, t.num_rows, {as_rows.format('.to_pylist()')}]"),
        "rows": ("list[dict]", as_rows.format("")),
    }
    for arrival, (annotation, look) in looks.items():
        b.asset(
            f"{arrival}_of_{spelt}",
            {table: None},
            f"@asset\ndef {arrival}_of_{spelt}({spelt}: {annotation}):\n"
            f"    t = {spelt}\n    return {look}\n",
        )


def probes(b: Builder) -> None:
    _probe(b, b.rng.choice(b.tables))


def unreached(b: Builder) -> None:
    """Code and files that no asset reaches."""
    for module in ("shaping.py", "kinds.py", "lib/numbers.py", "pipeline.py"):
        i = b.next()
        n = [b.number(f"unreached code in {module}", kind="unreached") for _ in range(4)]
        b.block(
            module,
            f"UNUSED{i} = {n[0]}\n\n\ndef unused{i}(v):\n    return v + UNUSED{i} + {n[1]}\n\n\n"
            f"class Unused{i}:\n    rate = {n[2]}\n\n"
            f"    def apply(self, v):\n        return {n[3]}\n",
        )
    b.project.files["notes.py"] = b.number("a file nobody imports", kind="unreached") + "\n"
    b.project.files["README.md"] = b.number("a text beside the project", kind="unreached") + "\n"


def arrivals_and_returns(b: Builder) -> None:
    """A table that arrives in one form and is returned in another."""
    i, table = b.next(), b.table()
    name, parameter = f"form{i}", table.replace("/", "_")
    n = b.number("body over another form", name)
    forms = {
        "pl.DataFrame": f'return t.with_columns(((pl.col("x") + {n}) % 1009).alias("x"))',
        "duckdb.DuckDBPyRelation": f'return t.project("id, k, (x + {n}) % 1009 as x, y")',
        "pa.RecordBatchReader": f"return t.read_all().slice(0, {n})",
        "pa.Table": f'return t.filter(pc.less(t["x"], {n} * 10)).to_reader()',
    }
    form = b.rng.choice(sorted(forms))
    kept = ("id", "k", "x", "y")
    spelt = ", ".join(f'"{c}"' for c in kept)
    b.asset(
        name,
        {table: kept},
        "@asset\n"
        f"def {name}({parameter}: Annotated[{form}, columns({spelt})]):\n"
        f"    t = {parameter}\n    {forms[form]}\n",
    )
    b.tables.append(name)


def inputs_by_mapping(b: Builder) -> None:
    i, left, right = b.next(), b.table(), b.table()
    name = f"mapped{i}"
    order = b.slot("order of columns in a contract", "changing", ('"x"', '"y"', '"k"'), name)
    b.asset(
        name,
        {left: None} | ({right: None} if right != left else {}),
        f'@asset(inputs={{"one": "{left}", "other": "{right}"}}, order_by=[{order}, "id"])\n'
        f"def {name}(one, other):\n"
        f"    return one.assign(y=len(other), id=range(len(one)))\n",
    )
    b.tables.append(name)


MOTIFS: tuple[Callable[[Builder], None], ...] = (
    filter, group, join, overlapping, starred, looked_up, macros, split, categorical, index, model,
    scaler, metric, rows, settings, kinds_of_columns, arrivals_and_returns, series_and_arrays,
    paths_of_a_source, file_read_without_saying, inputs_by_mapping, comes_and_goes,
)  # fmt: skip
