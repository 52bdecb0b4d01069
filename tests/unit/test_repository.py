"""Guards over the repository itself: imports, names, sizes, words, and what each command says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lineal.cli.environment import OPTION
from lineal.cli.main import GROUPS, lineal

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("assets", "cli", "lineage", "storage")  # imported as lineal.assets, …
HEAVY = ("pandas", "numpy", "pyarrow", "duckdb", "sqlglot", "sklearn", "rich", "importlib.metadata")
LONGEST = 850  # lines; the aim is 400: what is longer must be argued for
VERBS = [verb for _, verbs in GROUPS for verb, _, _ in verbs]


def package_files() -> Iterator[Path]:
    """The Python files of the packages, each once (not through the links in lineal/)."""
    yield from sorted((ROOT / "lineal").glob("*.py"))
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def own_files() -> Iterator[Path]:
    """Every text file that is written by hand, this one aside."""
    yield from package_files()
    for folder in ("tests", "benchmarks", "examples", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT).parts
            if any(part.startswith(".") or part == "__pycache__" for part in inside):
                continue
            if path.suffix in (".py", ".md", ".sql", ".sh") and path != Path(__file__):
                yield path
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted(ROOT.glob("lineage/schema/*.sql"))
    yield from (ROOT / "Makefile", ROOT / "pyproject.toml")


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---------------------------------------------------------------------------------------- imports


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def test_imports_are_absolute_and_name_lineal() -> None:
    wrong = [
        f"{shown(path)}:{line} imports {name}"
        for path in (*package_files(), *sorted((ROOT / "tests").rglob("*.py")))
        for line, name in imported_names(path)
        if name.startswith(".") or name.partition(".")[0] in FOLDERS
    ]
    assert not wrong


def fresh_python(code: str, folder: Path) -> str:
    """What a new interpreter prints, run in a folder as a person's shell would."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(ROOT), *([inherited] if inherited else [])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_folders_are_never_imported_by_their_bare_names(tmp_path: Path) -> None:
    """A second copy of a module would have other classes of the same names."""
    modules = [
        ".".join(("lineal", *path.relative_to(ROOT).with_suffix("").parts))
        .replace("lineal.lineal", "lineal")
        .removesuffix(".__init__")
        for path in package_files()
        if path.name != "__main__.py"
    ]
    code = f"""
        import importlib, sys
        for name in {modules!r}:
            importlib.import_module(name)
        print(sorted(set({FOLDERS!r}) & set(sys.modules)))
    """
    assert fresh_python(code, tmp_path).strip() == "[]"


def heavy_imports(words: list[str], folder: Path) -> list[str]:
    """The heavy modules that one command imports, in a process of its own."""
    code = f"""
        import sys
        from lineal.cli.main import run
        try:
            run({words!r})
        except SystemExit as stop:
            assert not stop.code, stop.code
        print()
        print("heavy:", *[name for name in {HEAVY!r} if name in sys.modules])
    """
    *_, last = fresh_python(code, folder).splitlines()
    return last.removeprefix("heavy:").split()


@pytest.mark.parametrize(
    "words", [["--help"], ["materialize", "--help"], ["why", "--help"], ["sql", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    assert heavy_imports(words, tmp_path) == []


@pytest.fixture(scope="module")
def made_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of Python, SQL and a CSV source in which everything is fresh."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "orders.csv").write_text("id,amount\n1,10\n2,20\n", encoding="utf-8")
    (folder / "lineal.toml").write_text("[parameters.large]\nleast = 15\n", encoding="utf-8")
    (folder / "pipeline.py").write_text(
        textwrap.dedent("""\
            from lineal import asset, check, checks, source, sql_asset

            source("raw/orders", "orders.csv")


            @asset(checks=[checks.not_null("id")])
            def large(raw_orders, least: int = 1):
                return raw_orders[raw_orders["amount"] >= least]


            @check(large)
            def not_empty(large):
                return len(large) > 0


            sql_asset("total", "select sum(amount) as total from large", primary_key="total")


            @asset
            def told(total):
                return {"total": int(total["total"].iloc[0])}
            """),
        encoding="utf-8",
    )
    run = "from lineal.cli.main import run\nrun(['materialize'])"
    assert "4 made" in fresh_python(run, folder)
    assert "Nothing to do: 4 fresh" in fresh_python(run, folder)
    return folder


@pytest.mark.parametrize("words", [["materialize"], ["plan"], ["materialize", "--json"]])
def test_with_nothing_to_do_nothing_heavy_is_imported(words: list[str], made_project: Path) -> None:
    assert heavy_imports(words, made_project) == []


# ----------------------------------------------------------------------------- the seam to the disk

WRITERS = {  # by module, the calls that change a disk
    "os": {
        "chmod", "fdatasync", "fsync", "ftruncate", "link", "makedirs", "mkdir", "open", "remove",
        "removedirs", "rename", "renames", "replace", "rmdir", "symlink", "truncate", "unlink",
        "utime", "write",
    },
    "shutil": {"copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "rmtree"},
    "tempfile": {"NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile", "mkdtemp", "mkstemp"},
    "sqlite3": {"connect"},
}  # fmt: skip
PATH_WRITERS = {
    "chmod", "hardlink_to", "mkdir", "rename", "rmdir", "symlink_to", "touch", "unlink",
    "write_bytes", "write_text",
}  # fmt: skip
# What changes a disk, but not through `lineal.disk`: the docstring there says why each may.
PAST_THE_SEAM = {
    "lineage/catalog.py": {
        "Path.unlink", "shutil.copyfile", "shutil.rmtree",
        "tempfile.TemporaryDirectory", "tempfile.mkdtemp",
    },
    "lineage/catalog_file.py": {"Path.write_text", "tempfile.TemporaryDirectory"},
    "lineage/index.py": {"sqlite3.connect"},
    "lineal/kept_code.py": {"Path.mkdir", "Path.write_bytes"},
    "lineal/model_export.py": {"Path.mkdir", "Path.unlink", "Path.write_bytes"},
    "lineal/logs.py": {"Path.mkdir", "Path.unlink", "open"},
    "lineal/remaking.py": {"Path.write_bytes"},
    "lineal/reproduction.py": {"Path.mkdir", "Path.write_bytes", "tempfile.TemporaryDirectory"},
    "lineal/worker.py": {"os.open"},
    "lineal/mlflow_export.py": {  # what another program is handed
        "Path.mkdir", "shutil.copyfile", "tempfile.TemporaryDirectory",
    },
    "storage/compare.py": {"tempfile.TemporaryDirectory"},
    "storage/formats/files.py": {
        "Path.mkdir", "Path.rename", "Path.symlink_to", "os.link", "shutil.rmtree",
    },
    "storage/locks.py": {"Path.mkdir", "os.open"},
    "storage/scratch.py": {"Path.mkdir", "shutil.rmtree", "tempfile.mkdtemp"},
}  # fmt: skip


def changes_of_a_disk(path: Path) -> Iterator[str]:
    """The calls in a file that change a disk by other means than a `Disk`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in WRITERS:
            names = {alias.name for alias in node.names} & WRITERS[node.module]
            yield from (f"{node.module}.{name}" for name in names)
        elif isinstance(node, ast.Call):
            yield from changed_by(node)


def changed_by(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
    holder = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    if holder in WRITERS:
        if name in WRITERS[holder] and not (name == "open" and only_reads(call)):
            yield f"{holder}.{name}"
    elif name == "open" and not holder.endswith("History"):
        modes = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if is_mode(a)]
        if any(set(mode) & set("wax+") for mode in modes):
            yield "open"
    elif not holder or holder.rpartition(".")[2] in ("disk", "_disk"):
        return
    elif name in PATH_WRITERS or (name == "replace" and len(call.args) + len(call.keywords) == 1):
        yield f"Path.{name}"  # a text's `replace` has two arguments


def is_mode(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and re.fullmatch(r"[rwaxbt+]{1,4}", value) is not None


def only_reads(call: ast.Call) -> bool:
    return "O_RDONLY" in ast.unparse(call)


def test_the_store_is_changed_through_the_seam() -> None:
    """A write past it would be out of reach of every simulated fault."""
    found = {
        shown(path): calls
        for path in package_files()
        if path.relative_to(ROOT).parts[0] in ("storage", "lineage", "lineal")
        if shown(path) != "lineal/disk.py" and (calls := set(changes_of_a_disk(path)))
    }
    assert found == PAST_THE_SEAM


@pytest.mark.parametrize(
    "line",
    [
        "os.replace(a, b)", "os.open(a, os.O_RDWR)", "open(a, 'wb')", "path.open(mode='a')",
        "Path(a).write_text('')", "path.unlink()", "path.replace(b)", "shutil.rmtree(a)",
        "from os import link", "from shutil import copyfile", "import os\nos.fsync(1)",
    ],
)  # fmt: skip
def test_a_write_past_the_seam_is_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(line, encoding="utf-8")
    assert len(list(changes_of_a_disk(tmp_path / "it.py"))) == 1
    kept = "self._disk.unlink(a)\ndisk.replace(b)\n'a'.replace('b', 'c')\nopen(a, 'rb')\n"
    (tmp_path / "it.py").write_text(kept, encoding="utf-8")
    assert list(changes_of_a_disk(tmp_path / "it.py")) == []


# -------------------------------------------------------------------------------- files and words


def test_the_build_has_every_package_folder() -> None:
    """A folder that is missing from the map would be missing from the wheel."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    told = build["tool"]["setuptools"]
    folders = {p.parent for p in package_files()}
    names = {".".join(("lineal", *f.relative_to(ROOT).parts)) for f in folders}
    names = {name.replace("lineal.lineal", "lineal") for name in names}
    assert set(told["packages"]) == names
    data = {
        shown(path)
        for folder in ("lineal", *FOLDERS)
        for path in (ROOT / folder).glob("*" if folder == "lineal" else "**/*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    packed = {
        shown(path)
        for package, patterns in told["package-data"].items()
        for pattern in patterns
        for path in (ROOT / told["package-dir"][package]).glob(pattern)
    }
    assert packed == data


def test_the_links_lead_to_the_folders() -> None:
    for folder in FOLDERS:
        link = ROOT / "lineal" / folder
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{folder}"  # relative: it works in every clone


def test_no_file_is_longer_than_can_be_read() -> None:
    long = {
        shown(path): count
        for path in package_files()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert not [shown(p) for p in package_files() if p.stem in empty]


@pytest.mark.parametrize(
    "word",
    [
        "/work/", r"\bissue #", r"pypi\.org", r"\bTODO\b", r"\bFIXME\b", r"pytest\.mark\.skip",
    ],
)  # fmt: skip
def test_nothing_unfinished_or_local_is_left(word: str) -> None:
    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in own_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(word, line)
    ]
    assert not found


def test_nothing_is_a_stub() -> None:
    stubs = [
        f"{shown(path)}:{node.lineno}"
        for path in package_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and "NotImplementedError" in ast.unparse(node.exc)
    ]
    assert not stubs


def test_every_module_says_what_it_is_for() -> None:
    missing = [
        shown(path)
        for path in package_files()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not missing


# --------------------------------------------------------------------------------------- commands


def command(verb: str) -> click.Command:
    found = lineal.get_command(click.Context(lineal, info_name="lineal"), verb)
    assert found is not None
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_an_example(verb: str) -> None:
    told = command(verb).get_help(click.Context(command(verb), info_name=f"lineal {verb}"))
    assert re.search(rf"Examples?:.*lineal {verb}", told, re.DOTALL), told
    for parameter in command(verb).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_and_option_is_described_in_the_docs(verb: str) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^### `lineal {verb}\b.*?(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None, f"docs/cli.md has no section on {verb}"
    for parameter in command(verb).params:
        if isinstance(parameter, click.Option) and parameter is not OPTION:  # told once for all
            longest = max(parameter.opts, key=len)
            assert longest in section[0], f"docs/cli.md: {verb} lacks {longest}"


def test_the_docs_describe_no_command_that_does_not_exist() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `lineal (\w+)", text, re.MULTILINE) == VERBS
    for word in re.findall(r"`lineal ([a-z]+)", text):
        assert any(verb.startswith(word) for verb in VERBS), word
