"""The oracle: every asset of a project computed from nothing, in plain Python, pandas and DuckDB.

It shares no code with lineal: a stand-in `lineal` module only notes what is declared, sources are
read as plain files, SQL runs in plain DuckDB. What it does know is the documented form in which a
table reaches its readers (indexes, row order of SQL results), and nothing else.

`compute(folder)` must run in an interpreter in which neither lineal nor the project is imported.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import re
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROWS: Any = list[dict]  # type: ignore[type-arg]  # as people write it


class Declared(NamedTuple):
    """What one declaration said: the assets it makes, its function or SQL text or files."""

    outputs: tuple[str, ...]
    function: Callable[..., Any] | None = None
    inputs: Mapping[str, str] = {}
    text: str | None = None
    macros: str = ""
    files: Path | None = None
    glob: str = ""
    order_by: tuple[str, ...] = ()


class Columns(NamedTuple):
    names: tuple[str, ...]


class Result(NamedTuple):
    value: Any
    metrics: Any = None
    metadata: Any = None


def compute(folder: str) -> dict[str, Any]:
    """Every asset of the project, shown (see `shown`)."""
    os.chdir(folder)
    computation = _Computation(Path(folder))
    return {name: shown(computation.value(name)) for name in computation.makers}


# ---------------------------------------------------------------- gathering with a stand-in module


def _stand_in(declared: list[Declared]) -> types.ModuleType:
    def asset(function: Any = None, **options: Any) -> Any:
        def note(made_by: Any) -> Any:
            names = tuple(options.get("outputs", [options.get("name", made_by.__name__)]))
            inputs, order_by = options.get("inputs", {}), tuple(options.get("order_by", ()))
            declared.append(Declared(names, made_by, inputs, order_by=order_by))
            return made_by

        return note if function is None else note(function)

    def source(name: str, path: str, **_: Any) -> None:
        declared.append(Declared((name,), files=_caller_folder(), glob=path))

    def sql_asset(name: str, text: str = "", *, path: str = "", **_: Any) -> None:
        text = text or (_caller_folder() / path).read_text()
        declared.append(Declared((name,), text=text))

    def sql_assets(folder: str) -> None:
        files = sorted((_caller_folder() / folder).glob("*.sql"))
        macros = "".join(file.read_text() for file in files if file.name == "macros.sql")
        for file in files:
            if file.name != "macros.sql":
                declared.append(Declared((file.stem,), text=file.read_text(), macros=macros))

    def check(*_: Any, **__: Any) -> Any:
        return lambda function: function

    module = types.ModuleType("lineal")
    vars(module).update(asset=asset, source=source, sql_asset=sql_asset, check=check)
    vars(module).update(sql_assets=sql_assets)
    vars(module).update(columns=lambda *names: Columns(names), Result=Result)
    return module


def _caller_folder() -> Path:
    return Path(sys._getframe(2).f_code.co_filename).parent


def _declarations(folder: Path) -> list[Declared]:
    assert "lineal" not in sys.modules, "the oracle never runs beside lineal"
    declared: list[Declared] = []
    sys.modules["lineal"] = _stand_in(declared)
    sys.dont_write_bytecode = True
    sys.pycache_prefix = "/nonexistent"  # a cached .pyc may be of an older text
    sys.path.insert(0, str(folder))
    for definitions in _settings(folder).get("project", {}).get("definitions", ["pipeline.py"]):
        importlib.import_module(definitions.removesuffix(".py").replace("/", "."))
    return declared


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "lineal.toml"
    return tomllib.loads(file.read_text()) if file.exists() else {}


# ------------------------------------------------------------------------------------- computing


class _Computation:
    """Each asset computed once, from what it needs; tables are kept as Arrow tables."""

    def __init__(self, folder: Path):
        self.makers = {name: d for d in _declarations(folder) for name in d.outputs}
        self.parameters = _settings(folder).get("parameters", {})
        self.values: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        if name not in self.values:
            maker = self.makers[name]
            if maker.function is not None:
                self._call(maker)
            elif maker.text is not None:
                self.values[name] = self._query(maker.text, maker.macros)
            else:
                self.values[name] = _read(maker)
        return self.values[name]

    def _call(self, maker: Declared) -> None:
        assert maker.function is not None
        found = inspect.signature(maker.function, eval_str=True).parameters.values()
        names = {spelt: name for name in self.makers for spelt in (name, name.replace("/", "_"))}
        arguments = {}
        for parameter in found:
            if parameter.default is parameter.empty:
                name = names[maker.inputs.get(parameter.name, parameter.name)]
                if parameter.annotation == list[Path]:
                    arguments[parameter.name] = _files(self.makers[name])
                else:
                    arguments[parameter.name] = _arrive(self.value(name), parameter.annotation)
        arguments |= self.parameters.get(maker.outputs[0], {})
        result = maker.function(**arguments)
        result = result.value if isinstance(result, Result) else result
        if len(maker.outputs) == 1:
            result = {maker.outputs[0]: result}
        elif not isinstance(result, Mapping):
            result = dict(zip(maker.outputs, result, strict=True))
        returns = inspect.signature(maker.function, eval_str=True).return_annotation
        for name, value in result.items():
            table = _canonical(value, rows=returns == ROWS)
            if maker.order_by:
                table = table.sort_by([(column, "ascending") for column in maker.order_by])
            self.values[name] = table

    def _query(self, text: str, macros: str) -> Any:
        import duckdb

        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("set timezone = 'UTC'")
            for name in self.makers:
                spelt = name.replace("/", "_")
                dotted = name.replace("/", ".")
                if not re.search(
                    rf"\b({re.escape(name)}|{spelt}|{re.escape(dotted)})\b", text + macros
                ):
                    continue
                connection.register(f"table of {spelt}", self.value(name))
                schema, _, last = dotted.rpartition(".")
                for view in {f'"{name}"', spelt} | ({f'{schema}."{last}"'} if schema else set()):
                    if "." in view and not view.startswith('"'):
                        connection.execute(f"create schema if not exists {schema}")
                    connection.execute(f'create or replace view {view} as from "table of {spelt}"')
            if macros:
                connection.execute(macros)
            result = connection.sql(text).to_arrow_table()
        return _ordered(result, text)


def _ordered(table: Any, text: str) -> Any:
    """DESIGN section 7: only these results have no order of their own; sorted by all columns."""
    import pyarrow as pa

    table = table.cast(pa.schema([f.with_type(_stored(f.type)) for f in table.schema]))
    if re.search(r"\border\s+by\b", text, re.I):
        return table
    if re.search(r"\b(group\s+by|join|distinct|union)\b", text, re.I):
        return table.sort_by([(name, "ascending") for name in table.column_names])
    return table


def _stored(kind: Any) -> Any:
    """HUGEINT, the sum of integers, is stored as BIGINT."""
    import pyarrow as pa

    return pa.int64() if kind == pa.decimal128(38, 0) else kind


def _read(maker: Declared) -> Any:
    import pyarrow as pa
    import pyarrow.csv as csv

    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    tables = [csv.read_csv(f, convert_options=options) for f in _files(maker)]
    return pa.concat_tables(tables, promote_options="permissive")


def _files(maker: Declared) -> list[Path]:
    assert maker.files is not None
    found = {
        path.relative_to(maker.files).as_posix(): path for path in maker.files.glob(maker.glob)
    }
    return [found[name] for name in sorted(found)]


def _arrive(value: Any, annotation: Any) -> Any:
    """A reader's own copy of a value, in the form that its annotation asks for."""
    import pyarrow as pa

    wanted = annotation
    if typing.get_origin(annotation) is typing.Annotated:
        wanted, *notes = typing.get_args(annotation)
        for note in notes:
            if isinstance(note, Columns):
                value = value.select(list(note.names))
    if not isinstance(value, pa.Table):
        return value
    if wanted is pa.Table:
        return value
    if wanted == ROWS:
        return value.to_pylist()
    if wanted is pa.RecordBatchReader:
        return value.to_reader()
    if getattr(wanted, "__name__", "") == "DuckDBPyRelation":
        import duckdb

        return duckdb.from_arrow(value)
    if getattr(wanted, "__module__", "").startswith("polars"):
        import polars

        return polars.from_arrow(value)
    return value.to_pandas()


def _canonical(value: Any, *, rows: bool) -> Any:
    """The Arrow table of a pandas, Arrow or `list[dict]` value as its readers get it, or itself."""
    import pandas as pd
    import pyarrow as pa

    if rows:
        return pa.Table.from_pylist(value)
    if isinstance(value, pa.Table):
        return value.replace_schema_metadata()
    if isinstance(value, pa.RecordBatchReader):
        return value.read_all().replace_schema_metadata()
    for name in ("to_arrow_table", "to_arrow"):  # a DuckDB relation, a polars frame
        if hasattr(value, name):
            return getattr(value, name)().replace_schema_metadata()
    if isinstance(value, pd.Series):
        value = value.to_frame()
    if not isinstance(value, pd.DataFrame):
        return value
    index = value.index
    if all(name is not None for name in index.names):
        value = value.reset_index()
    elif index.nlevels == 1 and pd.api.types.is_integer_dtype(index.dtype):
        value = value.reset_index(drop=True)
    else:
        value = value.rename_axis(index="index").reset_index()
    floats = value.select_dtypes("float").columns
    value = value.assign(**{name: value[name] + 0.0 for name in floats})  # -0.0 is 0.0
    return pa.Table.from_pandas(value, preserve_index=False).replace_schema_metadata()


# --------------------------------------------------------------------------------------- showing


def shown(value: Any) -> Any:
    """A value as plain lists, numbers and text, the same for every reader of it.

    A table is `("table", [(name, kind, values)])`; null and NaN are both None, a kind is a family
    (`number`, whatever its width), a categorical's kind holds its categories and their order.
    An object is shown by what it does: a model by its predictions.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if isinstance(value, pd.DataFrame):
        assert isinstance(value.index, pd.RangeIndex), f"an index of {type(value.index)} arrived"
        value = pa.Table.from_pandas(value, preserve_index=False)
    if isinstance(value, pa.Table):
        return ("table", [(name, *_column(value[name])) for name in value.column_names])
    if hasattr(value, "predict"):
        grid = np.arange(24.0).reshape(-1, value.n_features_in_)
        return (type(value).__name__, repr(value.get_params()), value.predict(grid).tolist())
    if hasattr(value, "apply"):
        return (type(value).__name__, shown(vars(value)), [value.apply(n) for n in range(9)])
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.tolist())
    if isinstance(value, dict):
        return {str(k): shown(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [shown(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _column(column: Any) -> tuple[Any, list[Any]]:
    import pyarrow as pa

    kind = column.type
    values = [None if isinstance(v, float) and math.isnan(v) else v for v in column.to_pylist()]
    if pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
        categories = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
        return ("categorical", categories, kind.ordered), values
    return _family(kind), values


def _family(kind: Any) -> str:
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_integer(kind) or is_a.is_floating(kind):
        return "number"
    if is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return "text"
    widths = (
        r"\[(s|ms|us|ns)\b|large_|(element|item): "  # one kind, stored or shown in several ways
    )
    return re.sub(widths, "", str(kind))
