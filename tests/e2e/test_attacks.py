"""Edits that change what a full recomputation would give: each has to make its reader stale."""

from __future__ import annotations

import decimal
import io
import pickle
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.command_line import Workplace

_HEAD = "import pandas as pd\nfrom lineal import asset, check, source\n"
_ROWS = "id,v\n1,10\n2,20\n3,30\n"
_ONE_TWO = ("def f(): return 1\n", "def f(): return 2\n")


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """What these projects do to the process they are loaded into is undone."""
    path, modules = list(sys.path), set(sys.modules)
    precision = decimal.getcontext().prec
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("attacked"):
            del sys.modules[name]
    decimal.getcontext().prec = precision
    pd.reset_option("display.precision")
    for name in ("attacked_clean", "attacked_named"):
        if name in vars(pd.DataFrame):
            delattr(pd.DataFrame, name)
            pd.DataFrame._accessors.discard(name)


def _changed(
    place: Workplace, files: dict[str, tuple[str | bytes | None, str | bytes | None]]
) -> set[str]:
    """Make a project as it was, write it as it is now, and give the plan's stale assets."""
    for at, side in enumerate(("before", "after")):
        for name, versions in files.items():
            text = versions[at]
            target = place.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(text if isinstance(text, bytes) else text.encode())
        if side == "before":
            place.make()
    return {s["asset"] for s in place.plan().json["steps"] if s["verdict"] != "fresh"}


def _code(text: str, old: str = "", new: str = "") -> tuple[str, str]:
    text = _HEAD + textwrap.dedent(text).lstrip("\n")
    assert old in text
    return text, text.replace(old, new) if old else text


def _parquet(value: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"v": [value]}), file)
    return file.getvalue()


_OF_PARAMETERS = {
    "a method of a dataclass": (
        """
        from dataclasses import dataclass
        @dataclass
        class C:
            a: int = 1
            def rate(self): return self.a * 2
        @asset
        def x(c=C()): return c.rate()
        """,
        "* 2",
        "* 3",
    ),
    "a method of an enum": (
        """
        import enum
        class E(enum.Enum):
            A = 1
            def rate(self): return 1
        @asset
        def x(e=E.A): return e.rate()
        """,
        "return 1",
        "return 2",
    ),
    "a zone with other rules, at the same offset": (
        """
        import datetime as dt, zoneinfo
        @asset
        def x(t=dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))):
            return str(t + dt.timedelta(days=180))
        """,
        "dt.timezone(dt.timedelta(hours=1))",
        'zoneinfo.ZoneInfo("Europe/Paris")',
    ),
}
_OF_CONSTANTS = {
    "a zone with other rules, at the same offset": (
        """
        import datetime as dt, zoneinfo
        T = dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
        @asset
        def x(): return str(T + dt.timedelta(days=180))
        """,
        "dt.timezone(dt.timedelta(hours=1))",
        'zoneinfo.ZoneInfo("Europe/Paris")',
    ),
    "the output of a transformer": (
        """
        from sklearn.base import clone
        from sklearn.preprocessing import StandardScaler
        S = StandardScaler().set_output(transform="default")
        @asset
        def x(): return type(clone(S).fit_transform(pd.DataFrame({"v": [1, 2]}))).__name__
        """,
        '"default"',
        '"pandas"',
    ),
    "an attribute of an estimator": (
        """
        from sklearn.base import BaseEstimator
        class E(BaseEstimator):
            def __init__(self, a=1): self.a = a
        EST = E(1)
        EST.extra = 5
        @asset
        def x(): return EST.extra
        """,
        "extra = 5",
        "extra = 6",
    ),
    "the holidays of an offset": (
        """
        B = pd.offsets.CustomBusinessDay(holidays=["2026-01-05"])
        @asset
        def x(): return str(pd.Timestamp("2026-01-02") + B)
        """,
        "2026-01-05",
        "2026-01-06",
    ),
    "the unit of a timestamp": (
        """
        T = pd.Timestamp("2026-01-01").as_unit("s")
        @asset
        def x(): return T.unit
        """,
        '"s"',
        '"ns"',
    ),
    "a method of a path": (
        """
        import pathlib
        class P(type(pathlib.Path())):
            def rate(self): return 1
        HERE = P("a")
        @asset
        def x(): return HERE.rate()
        """,
        "return 1",
        "return 2",
    ),
    "the factory of a made dataclass": (
        """
        import dataclasses
        P = dataclasses.make_dataclass(
            "P", [("a", int, dataclasses.field(default_factory=lambda: 1))]
        )
        @asset
        def x(): return P().a
        """,
        "lambda: 1",
        "lambda: 2",
    ),
}
_OF_THE_PROCESS = {
    "setattr": (
        """
        def clean(df): return df.assign(w=1)
        setattr(pd.DataFrame, "attacked_clean", clean)
        @asset
        def x(): return pd.DataFrame({"v": [1]}).attacked_clean()
        """,
        "w=1",
        "w=2",
    ),
    "an accessor registered by its bare name": (
        """
        from pandas.api.extensions import register_dataframe_accessor
        @register_dataframe_accessor("attacked_named")
        class Accessor:
            def __init__(self, df): self.df = df
            def go(self): return self.df.assign(w=1)
        @asset
        def x(): return pd.DataFrame({"v": [1]}).attacked_named.go()
        """,
        "w=1",
        "w=2",
    ),
    "a function that configures": (
        """
        def configure():
            pd.set_option("display.precision", 3)
        configure()
        @asset
        def x(): return str(pd.DataFrame({"v": [1.23456789]}))
        """,
        "3)",
        "5)",
    ),
    "a call whose result is kept": (
        """
        _ = pd.set_option("display.precision", 3)
        @asset
        def x(): return str(pd.DataFrame({"v": [1.23456789]}))
        """,
        "3)",
        "5)",
    ),
    "a context by a name of its own": (
        """
        import decimal
        context = decimal.getcontext()
        context.prec = 5
        @asset
        def x(): return str(decimal.Decimal(1) / decimal.Decimal(3))
        """,
        "= 5",
        "= 7",
    ),
}
_OF_QUERIES = {
    "a text in a constant": 'Q = "v > @LIMIT"\n@asset\ndef x(raw): return raw.query(Q)\n',
    "a text from a helper": (
        'def where(): return "v > @LIMIT"\n@asset\ndef x(raw): return raw.query(where())\n'
    ),
    "a text in a parameter": '@asset\ndef x(raw, where="v > @LIMIT"): return raw.query(where)\n',
}
_PQ = "import os\nimport duckdb\nimport pyarrow.parquet as pq\nfrom pathlib import Path\n"
_HERE = _PQ + "HERE = Path(__file__).parent\n"
_OF_FILES = {
    "a Path constant": (
        'REF = Path("data/ref.parquet")\n@asset\ndef x(): return pq.read_table(REF)\n'
    ),
    "a path below the module": (
        'REF = HERE / "data" / "ref.parquet"\n@asset\ndef x(): return pq.read_table(REF)\n'
    ),
    "a constant table of paths": (
        'R = {"a": "data/ref.parquet"}\n@asset\ndef x(): return pq.read_table(R["a"])\n'
    ),
    "a joined path": (
        '@asset\ndef x(): return pq.read_table(os.path.join("data", "ref.parquet"))\n'
    ),
    "a path in a parameter": '@asset\ndef x(p="data/ref.parquet"): return pq.read_table(p)\n',
    "a default of a helper": (
        'def load(p="data/ref.parquet"): return pq.read_table(p)\n@asset\ndef x(): return load()\n'
    ),
    "a path in a query": (
        "@asset\ndef x(): return duckdb.sql(\"from 'data/ref.parquet'\").to_arrow_table()\n"
    ),
    "pandas, by a computed name": (
        '@asset\ndef x(n="ref"): return pd.read_parquet(f"data/{n}.parquet")\n'
    ),
    "a thread": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        'def size(n):\n    with open(f"data/{n}.parquet", "rb") as f: return f.read()[:60].hex()\n'
        "@asset\ndef x():\n"
        '    with ThreadPoolExecutor() as pool: return list(pool.map(size, ["ref"]))\n'
    ),
}


def test_a_plain_edit_is_seen_and_no_edit_is_not(empty: Workplace) -> None:
    text = """
        def rate(): return 1
        @asset
        def x(): return rate()
        @asset
        def y(): return 2
        """
    assert _changed(empty, {"pipeline.py": _code(text, "return 1", "return 3")}) == {"x"}


@pytest.mark.parametrize("case", [*_OF_PARAMETERS], ids=str)
def test_the_class_of_a_parameters_value_is_part_of_the_computation(
    empty: Workplace, case: str
) -> None:
    assert "x" in _changed(empty, {"pipeline.py": _code(*_OF_PARAMETERS[case])})


@pytest.mark.parametrize("case", [*_OF_CONSTANTS], ids=str)
def test_all_that_a_constant_holds_counts(empty: Workplace, case: str) -> None:
    assert "x" in _changed(empty, {"pipeline.py": _code(*_OF_CONSTANTS[case])})


@pytest.mark.filterwarnings("ignore:registration of accessor")
@pytest.mark.parametrize("case", [*_OF_THE_PROCESS], ids=str)
def test_what_a_module_does_to_libraries_while_it_loads_counts(empty: Workplace, case: str) -> None:
    assert "x" in _changed(empty, {"pipeline.py": _code(*_OF_THE_PROCESS[case])})


def test_what_another_definitions_module_does_to_libraries_counts(empty: Workplace) -> None:
    option = 'import pandas as pd\npd.set_option("display.precision", %d)\n'
    stale = _changed(
        empty,
        {
            "lineal.toml": ('[project]\ndefinitions = ["pipeline.py", "attacked_b.py"]\n',) * 2,
            "pipeline.py": _code(
                '@asset\ndef x(): return str(pd.DataFrame({"v": [1.23456789]}))\n'
            ),
            "attacked_b.py": (option % 3, option % 5),
        },
    )
    assert "x" in stale


@pytest.mark.parametrize("case", [*_OF_QUERIES], ids=str)
def test_a_constant_that_a_query_text_names_counts(empty: Workplace, case: str) -> None:
    text = 'source("raw", "d.csv")\nLIMIT = 15\n' + _OF_QUERIES[case]
    assert "x" in _changed(
        empty, {"d.csv": (_ROWS, _ROWS), "pipeline.py": _code(text, "= 15", "= 25")}
    )


@pytest.mark.parametrize("how", ["import attacked_c as c", "from attacked_c import *"])
def test_a_constant_of_another_module_that_a_query_text_names_counts(
    empty: Workplace, how: str
) -> None:
    name = "c.LIMIT" if " as " in how else "LIMIT"
    text = f'{how}\nsource("raw", "d.csv")\n@asset\ndef x(raw): return raw.query("v > @{name}")\n'
    stale = _changed(
        empty,
        {
            "d.csv": (_ROWS, _ROWS),
            "attacked_c.py": ("LIMIT = 15\n", "LIMIT = 25\n"),
            "pipeline.py": _code(text),
        },
    )
    assert "x" in stale


@pytest.mark.parametrize("case", [*_OF_FILES], ids=str)
def test_an_undeclared_file_of_the_project_is_noticed(empty: Workplace, case: str) -> None:
    stale = _changed(
        empty,
        {
            "data/ref.parquet": (_parquet(1), _parquet(2)),
            "pipeline.py": _code(_HERE + _OF_FILES[case]),
        },
    )
    assert "x" in stale


@pytest.mark.parametrize("body", ["_exists", "_tries"])
def test_an_undeclared_file_that_appears_is_noticed(empty: Workplace, body: str) -> None:
    bodies = {
        "_exists": """
            import json, os
            @asset
            def x():
                if not os.path.exists("override.json"): return 1
                with open("override.json") as f: return json.load(f)
            """,
        "_tries": """
            import json
            @asset
            def x():
                try:
                    with open("override.json") as f: return json.load(f)
                except FileNotFoundError: return 1
            """,
    }
    files = {"override.json": (None, "2"), "pipeline.py": _code(bodies[body])}
    assert "x" in _changed(empty, files)


def test_a_file_that_a_step_reads_and_then_writes_is_noticed(empty: Workplace) -> None:
    text = """
        import json
        @asset
        def x(n="state"):
            with open(f"{n}.json") as f: value = json.load(f)
            with open(f"{n}.json", "w") as f: json.dump(value, f)
            return value
        """
    assert "x" in _changed(empty, {"state.json": ("1", "2"), "pipeline.py": _code(text)})


def test_a_file_read_once_for_two_steps_is_noticed_for_both(empty: Workplace) -> None:
    text = """
        import functools, json
        @functools.cache
        def settings(n):
            with open(f"{n}.json") as f: return json.load(f)
        @asset
        def x(): return settings("c")
        @asset
        def y(): return settings("c")
        """
    assert {"x", "y"} <= _changed(empty, {"c.json": ("1", "2"), "pipeline.py": _code(text)})


def test_a_file_that_a_check_reads_is_noticed(empty: Workplace) -> None:
    text = """
        import json
        @asset
        def x(): return pd.DataFrame({"v": [5]})
        @check(x)
        def small(x):
            with open("limit.json") as f: return bool(x.v.max() < json.load(f))
        """
    assert "x" in _changed(empty, {"limit.json": ("10", "1"), "pipeline.py": _code(text)})


def test_a_parameter_of_a_check_counts_with_its_class(empty: Workplace) -> None:
    text = """
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class Limit:
            a: int = 1
            def holds(self): return True
        @asset
        def x(): return pd.DataFrame({"v": [1]})
        @check(x)
        def good(x, limit=Limit()): return limit.holds()
        """
    assert "x" in _changed(empty, {"pipeline.py": _code(text, "return True", "return False")})


@pytest.mark.parametrize("late", [False, True])
def test_a_module_on_a_path_that_the_code_adds_counts(empty: Workplace, late: bool) -> None:
    add = 'sys.path.insert(0, str(Path(__file__).parent / "src"))\n'
    loads = add + "import attacked_lib\n"
    body = "    " + loads.replace("\nimport", "\n    import") if late else ""
    text = f"import sys\nfrom pathlib import Path\n{'' if late else loads}"
    text += f"@asset\ndef x():\n{body}    return attacked_lib.f()\n"
    assert "x" in _changed(empty, {"src/attacked_lib.py": _ONE_TWO, "pipeline.py": _code(text)})


def test_code_loaded_from_a_computed_file_counts(empty: Workplace) -> None:
    text = """
        import glob, importlib.util
        @asset
        def x():
            (path,) = glob.glob("plugins/*.py")
            spec = importlib.util.spec_from_file_location("attacked_plugin", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.f()
        """
    assert "x" in _changed(empty, {"plugins/a.py": _ONE_TWO, "pipeline.py": _code(text)})


def test_a_class_that_an_unpickled_file_names_counts(empty: Workplace) -> None:
    module = types.ModuleType("attacked_k")
    kind = type("K", (), {"__module__": "attacked_k"})
    module.K = kind  # type: ignore[attr-defined] # a module made for one pickle
    sys.modules["attacked_k"] = module
    pickled = pickle.dumps(kind())
    del sys.modules["attacked_k"]
    text = """
        import pickle
        from pathlib import Path
        source("m", "m.pkl")
        @asset
        def x(m: Path): return pickle.loads(m.read_bytes()).f()
        """
    k = "class K:\n    def f(self): return %d\n"
    files = {"m.pkl": (pickled, pickled), "attacked_k.py": (k % 1, k % 2)}
    assert "x" in _changed(empty, {**files, "pipeline.py": _code(text)})


def test_a_function_made_by_exec_is_refused_or_counts(empty: Workplace) -> None:
    text = """
        T = "def f(): return 1"
        made = {}
        exec(T, made)
        f = made["f"]
        @asset
        def x(): return f()
        """
    before, after = _code(text, "return 1", "return 2")
    empty.write("pipeline.py", before)
    if empty.lineal("materialize").code == 0:
        empty.write("pipeline.py", after)
        assert "x" in empty.plan().steps("stale")


def test_a_reader_of_signatures_imported_under_another_name_is_seen(empty: Workplace) -> None:
    text = """
        from inspect import signature as look
        def f(a: int): ...
        @asset
        def x(): return str(look(f))
        """
    assert "x" in _changed(empty, {"pipeline.py": _code(text, "a: int", "a: str")})


def test_a_variable_read_by_a_constant_name_counts(
    empty: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.write(
        "pipeline.py",
        """
        import os
        from lineal import asset
        KEY = "ATTACKED_RATE"
        @asset
        def x(): return os.environ.get(KEY, "none")
        """,
    )
    monkeypatch.setenv("ATTACKED_RATE", "1")
    empty.make()
    monkeypatch.setenv("ATTACKED_RATE", "2")
    assert "x" in empty.plan().steps("stale")


@pytest.mark.parametrize(
    "raised",
    [
        "class E(Exception):\n    def __str__(self): raise ValueError\n",
        "class E(BaseException): ...\n",
    ],
)
def test_whatever_a_step_raises_fails_that_step_alone(empty: Workplace, raised: str) -> None:
    empty.write(
        "pipeline.py",
        f"from lineal import asset\n{raised}@asset\ndef x(): raise E\n@asset\ndef y(): return 1\n",
    )
    said = empty.lineal("materialize", "--json")
    assert said.code == 1
    assert said.steps("failed") == {"x"}
    assert said.steps("made") == {"y"}


def test_a_damaged_cache_of_file_digests_costs_nothing_but_time(empty: Workplace) -> None:
    empty.write("d.csv", _ROWS)
    empty.write("pipeline.py", _HEAD + 'source("raw", "d.csv")\n@asset\ndef x(raw): return raw\n')
    empty.make()
    cache: Path = empty.root / ".lineal" / "cache" / "stat.json"
    cache.write_text('{"scheme": "lineal/1", "files": []}', encoding="utf-8")
    assert empty.make().steps("fresh") == {"raw", "x"}


@pytest.mark.parametrize(
    "helper",
    [
        "def f(a=[]):\n    a.append(1)\n    return len(a)\n",
        'def f():\n    f.n = getattr(f, "n", 0) + 1\n    return f.n\n',
    ],
    ids=["a default", "a new attribute of a function"],
)
def test_state_that_a_step_leaves_for_the_next_fails_it(empty: Workplace, helper: str) -> None:
    empty.write("pipeline.py", f"from lineal import asset\n{helper}@asset\ndef x(): return f()\n")
    assert empty.lineal("materialize").code == 1


def test_a_file_that_a_step_rewrites_is_noticed_in_the_same_run(empty: Workplace) -> None:
    text = """
        from pathlib import Path
        @asset
        def x():
            Path("made.txt").write_text("1")
            return 1
        @asset
        def y(x):
            with open("made.txt") as f: return f.read()
        """
    before, after = _code(text, 'write_text("1")', 'write_text("2")')
    empty.write("pipeline.py", before)
    empty.make()
    empty.write("pipeline.py", after)
    assert "y" in empty.make().steps("made")


def test_a_file_named_by_a_parameter_set_from_outside_is_noticed(empty: Workplace) -> None:
    empty.write("data/one.txt", "1")
    empty.write(
        "pipeline.py",
        """
        import pyarrow
        from lineal import asset

        @asset
        def size(path: str = ""):
            with pyarrow.OSFile(path) as file:
                return file.read().decode()
        """,
    )
    empty.write("lineal.toml", '[parameters.size]\npath = "data/one.txt"\n')
    empty.make()
    assert empty.make().steps("fresh") == {"size"}
    empty.write("data/one.txt", "2")
    assert empty.make().steps("made") == {"size"}
