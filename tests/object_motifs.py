"""Motifs whose assets are no tables, or read what is none: models, objects, arrays, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.generated_project import Builder


def model(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"model{i}", table.replace("/", "_")
    depth = b.slot("parameter default", "changing", ("1", "2", "3"), name)
    b.project.objects.add(name)
    b.asset(
        name,
        {table: ("x", "y")},
        f"@asset\ndef {name}({parameter}: Annotated[pd.DataFrame, columns('x', 'y')], "
        f"depth: int = {depth}):\n"
        f"    from sklearn.tree import DecisionTreeRegressor\n\n"
        f"    model = DecisionTreeRegressor(max_depth=depth, random_state=0)\n"
        f'    fitted = model.fit({parameter}[["x"]].to_numpy(), {parameter}["y"])\n'
        f'    return Result(fitted, metrics={{"rows": len({parameter})}})\n',
    )
    b.asset(
        f"scored{i}",
        {name: None, table: ("id", "x")},
        f"@asset\ndef scored{i}({name}, "
        f"{parameter}: Annotated[pd.DataFrame, columns('id', 'x')]):\n"
        f'    return {parameter}.assign(y={name}.predict({parameter}[["x"]].to_numpy()))\n',
    )


def scaler(b: Builder) -> None:
    """A pickled object of a project class: its method is part of its content."""
    i, table = b.next(), b.table()
    name, parameter = f"scaler{i}", table.replace("/", "_")
    method = b.number("method of a pickled class", name)
    parent = b.number("method of the base of a pickled class", name)
    b.project.objects.add(name)
    b.block(
        "kinds.py",
        f"class Shift{i}:\n    def shift(self):\n        return {parent}\n\n\n"
        f"class Scaler{i}(Shift{i}):\n    def __init__(self, low):\n        self.low = low\n\n"
        f"    def apply(self, v):\n        return (v - self.low) * {method} + self.shift()\n",
    )
    b.asset(
        name,
        {table: None},
        f'@asset(format="pickle")\ndef {name}({parameter}):\n'
        f'    return kinds.Scaler{i}(int({parameter}["x"].min()))\n',
    )
    b.asset(
        f"scaled{i}",
        {name: None, table: None},
        f"@asset\ndef scaled{i}({name}, {parameter}):\n"
        f'    return {parameter}.assign(x={name}.apply({parameter}["x"]) % 1009)\n',
    )
    b.tables.append(f"scaled{i}")


def metric(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"metric{i}", table.replace("/", "_")
    n = b.number("body of an asset", name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}: pa.Table):\n"
        f'    return {{"rows": {parameter}.num_rows, "high": {n} > 50, "n": {n} // 30}}\n',
    )
    b.asset(
        f"after_{name}",
        {name: None},
        f"@asset\ndef after_{name}({name}):\n"
        f'    return [{name}["rows"], {name}["high"], {name}["n"] / 2]\n',
    )


def series_and_arrays(b: Builder) -> None:
    i, table = b.next(), b.table()
    parameter = table.replace("/", "_")
    n = b.number("body that returns an array", f"array{i}")
    b.asset(
        f"series{i}",
        {table: ("x",)},
        f'@asset\ndef series{i}({parameter}: Annotated[pd.DataFrame, columns("x")]):\n'
        f'    return {parameter}["x"].rename("only") * 2\n',
    )
    b.asset(
        f"array{i}",
        {f"series{i}": None},
        f"@asset\ndef array{i}(series{i}):\n"
        f'    return np.outer(series{i}["only"].to_numpy()[:3], [1.5, {n}])\n',
    )
    b.asset(
        f"shape{i}",
        {f"array{i}": None},
        f"@asset\ndef shape{i}(array{i}: np.ndarray):\n"
        f"    return [list(array{i}.shape), float(array{i}.sum()), str(array{i}.dtype)]\n",
    )


def paths_of_a_source(b: Builder) -> None:
    i = b.next()
    name = f"paths{i}"
    n = b.number("body over paths", name)
    b.project.path_readers[name] = "raw/events"
    b.asset(
        name,
        {},
        f"@asset\ndef {name}(raw_events: list[Path]):\n"
        f"    return [[p.name, len(p.read_text()) + {n}] for p in raw_events]\n",
    )


def file_read_without_saying(b: Builder) -> None:
    """No source declares the file: the step is unproved, and stale once the file differs."""
    i = b.next()
    name = f"aside{i}"
    n = b.number("cell of an undeclared file", name)
    b.project.unproved.add(name)
    reader = b.rng.choice(
        [
            f'pd.read_csv(Path(__file__).parent / "data" / "aside{i}.csv")',
            f'pd.read_csv(Path(__file__).parent / ("data/as" + "ide{i}.csv"))',
            f'pd.DataFrame(list(csv.DictReader(open("data/aside{i}.csv"))))',
        ]
    )
    b.asset(name, {}, f"@asset\ndef {name}():\n    return {reader}.assign(x=5, y=6)[:1]\n")
    b.project.files[f"data/aside{i}.csv"] = f"id,k\n{n},a\n2,b\n"


def comes_and_goes(b: Builder) -> None:
    """An asset that an edit takes away, and another brings back."""
    i, table = b.next(), b.table()
    name, parameter = f"guest{i}", table.replace("/", "_")
    text = f"@asset\ndef {name}({parameter}):\n    return len({parameter}) * 3\n"
    b.project.reads[name] = {table: None}
    b.block("pipeline.py", b.slot("an asset declared", "changing", (text, ""), name, certain=False))
