"""Imports project modules so that the code that runs is the code that was digested.

A module's file is read once; those bytes are compiled, digested and analysed. Python's own .pyc
files of project modules are neither read nor written: they are checked by whole seconds and size.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import DefinitionError, InputsChanged
from lineal.assets.sourcecode import Analysis, analyse
from lineal.compiled import Compiled, CompiledCache
from lineal.deferral import Deferral
from lineal.heavy import reveals
from lineal.postpone import postpone

_OUTSIDE = frozenset({"site-packages", "dist-packages", "__pycache__", "node_modules"})


@dataclass(eq=False)
class ModuleSource:
    """One project module as it was read: its bytes, their digest, its code, what it says."""

    name: str
    path: str  # relative to the project's folder, with slashes
    file: str  # absolute
    text: bytes
    digest: str
    package: bool
    cache: CompiledCache = field(repr=False)
    _compiled: Compiled | None = field(default=None, repr=False)

    def _content(self) -> Compiled:
        if self._compiled is None:
            found = self.cache.get(self.name, self.file, self.digest)
            if found is None:
                found = self._compile()
                self.cache.put(self.name, self.file, self.digest, found)
            self._compiled = found
        return self._compiled

    def _compile(self) -> Compiled:
        tree = ast.parse(self.text, self.file)
        code = compile(tree, self.file, "exec", dont_inherit=True)
        analysis = analyse(tree, self.name, package=self.package, digest=digest_bytes)
        revealing = reveals(tree)
        postponed = postpone(tree, self.file, analysis)
        return Compiled.of(code, analysis, postponed, reveals=revealing)

    @property
    def compiled(self) -> Compiled:
        return self._content()

    @property
    def code(self) -> types.CodeType:
        return self._content().code

    @property
    def analysis(self) -> Analysis:
        return self._content().analysis


class ProjectFinder:
    """Finds the modules below one folder, ahead of everything but the standard library.

    A folder on `sys.path` that no distribution installed is the project's too: an edit of a module
    in it is an edit of its code.

    `expected`: digests by module name that a plan was made with; a module that is read with another
    one can't be loaded any more.
    """

    def __init__(
        self,
        root: Path,
        cache: CompiledCache,
        deferral: Deferral,
        expected: Mapping[str, str] | None = None,
    ):
        self.root = root
        self.cache = cache
        self.deferral = deferral
        self.expected = dict(expected or {})
        self.sources: dict[str, ModuleSource] = {}
        self.is_open = True
        self.closed = False  # everything is loaded: nothing new may come from outside the root
        self._absent: set[str] = set()  # modules that were looked for, and not there
        self._tops: dict[str, Path | None] = {}
        self._searched: list[str] = []  # `sys.path` when these were told
        self._homes: list[tuple[int, Path]] = []  # the project's folders in it

    # ------------------------------------------------------------------ the import system's side

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        if self.closed and name in self._absent and self._is_there_now(name):
            raise ModuleNotFoundError(
                f"No module named {name!r} (it appeared after the plan was made)", name=name
            )
        if not self.is_project(name):
            return None
        if "." in name and path is not None and not any(self.holds(entry) for entry in path):
            return None
        found = self._file(name)
        if found is None:
            return self._folder_spec(name)
        file, package = found
        if self.closed and name not in self.sources and not self._is_told(file):
            raise DefinitionError(
                f"`{name}` is imported from {file}, which was not known when the plan was made",
                advice="add its folder to `sys.path` at the top of a module, and import it there",
            )
        spec = importlib.util.spec_from_file_location(
            name,
            file,
            loader=ProjectLoader(name, str(file), self),
            submodule_search_locations=[str(file.parent)] if package else None,
        )
        if spec is not None:
            spec.cached = None
        return spec

    def invalidate_caches(self) -> None:
        self._tops.clear()

    def _folder_spec(self, name: str) -> ModuleSpec | None:
        folder = self._place(name)
        if folder is None or not folder.is_dir():
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    # ------------------------------------------------------------------ lineal's side

    def is_project(self, name: str) -> bool:
        """Does this module name belong to the project, whether or not there is such a module?"""
        return self._home(name.partition(".")[0]) is not None

    def holds(self, place: str) -> bool:
        """Does this file or folder lie in one that the project's modules are found in?"""
        path = Path(place)
        homes = {home for home in self._tops.values() if home is not None}
        return any(path.is_relative_to(home) for home in {self.root, *homes})

    def _home(self, top: str) -> Path | None:
        """The folder that a top-level module of the project lies in."""
        if self._searched != sys.path:
            self._searched = list(sys.path)
            self._tops.clear()
            homes = [(at, Path(entry or ".").resolve()) for at, entry in enumerate(sys.path)]
            self._homes = [(at, home) for at, home in homes if self.searches(home)]
        if top not in self._tops:
            self._tops[top] = self._look_for(top)
        return self._tops[top]

    def _look_for(self, top: str) -> Path | None:
        if (
            not top.isidentifier()
            or top in sys.stdlib_module_names
            or top in ("lineal", "__main__")
        ):
            return None
        if self._owns(self.root, top, sys.path):
            return self.root
        for position, home in self._homes:
            if self._owns(home, top, ()):
                # As in Python, the first folder that has it wins.
                earlier = PathFinder.find_spec(top, self._searched[:position])
                return home if earlier is None or earlier.origin is None else None
        return None

    def _owns(self, home: Path, top: str, others: Sequence[str]) -> bool:
        if _module_file(home / top) is not None:
            return True
        folder = home / top
        if not folder.is_dir() or _is_outside(folder) or not _holds_modules(folder):
            return False
        # A folder without `__init__.py` gives way to a package of that name, as in Python.
        elsewhere = [entry for entry in others if Path(entry or ".").resolve() != home]
        spec = PathFinder.find_spec(top, elsewhere)
        return spec is None or spec.loader is None or spec.origin is None

    def searches(self, folder: Path) -> bool:
        """Is this folder of `sys.path` the project's: nobody installed what is in it?"""
        if folder == self.root or not folder.is_dir():
            return False
        if folder.is_relative_to(self.root):
            inside = [folder, *folder.parents][: len(folder.relative_to(self.root).parts)]
            return not any(map(_is_outside, inside))
        return not _OUTSIDE & {*folder.parts} and folder not in _installed()

    def source(self, name: str) -> ModuleSource | None:
        """The source of a project module, read at most once; None when there is no such file."""
        known = self.sources.get(name)
        if known is not None:
            return known
        found = self._file(name) if self.is_project(name) else None
        if found is None:
            if not self.closed:
                self._absent.add(name)
            return None
        file, package = found
        text = file.read_bytes()
        digest = digest_bytes(text)
        if self.expected.get(name, digest) != digest:
            raise InputsChanged(
                f"the code of `{name}` changed since the plan",
                where=self.relative(file),
                advice="run again",
            )
        source = ModuleSource(
            name, self.relative(file), str(file), text, digest, package, self.cache
        )
        self.sources[name] = source
        return source

    def relative(self, file: Path) -> str:
        if file.is_relative_to(self.root):
            return file.relative_to(self.root).as_posix()
        return Path(os.path.relpath(file, self.root)).as_posix()

    def every(self) -> list[str]:
        """The names of all modules below the root."""
        names = []
        waiting = [self.root]
        while waiting:
            for entry in sorted(waiting.pop().iterdir()):
                if entry.is_dir():
                    if not _is_outside(entry) and not entry.is_symlink():
                        waiting.append(entry)
                elif entry.suffix == ".py":
                    parts = entry.relative_to(self.root).with_suffix("").parts
                    parts = parts[:-1] if parts[-1] == "__init__" else parts
                    if parts and all(part.isidentifier() for part in parts):
                        names.append(".".join(parts))
        return sorted(name for name in names if self.is_project(name))

    def _is_told(self, file: Path) -> bool:
        """Is this file among `every`, which counts for code that may import anything?"""
        if not file.is_relative_to(self.root):
            return False
        return all(
            part.isidentifier() for part in file.relative_to(self.root).with_suffix("").parts
        )

    def _is_there_now(self, name: str) -> bool:
        """Is there a module of the project now that was not there when the code was loaded?"""
        home = self._look_for(name.partition(".")[0])
        return home is not None and _module_file(home.joinpath(*name.split("."))) is not None

    def _place(self, name: str) -> Path | None:
        home = self._home(name.partition(".")[0])
        return None if home is None else home.joinpath(*name.split("."))

    def _file(self, name: str) -> tuple[Path, bool] | None:
        """The file of a module and whether it is a package's."""
        place = self._place(name)
        return None if place is None else _module_file(place)


class ProjectLoader(SourceFileLoader):
    """Runs a project module from the bytes that the finder read; no .pyc on either side."""

    def __init__(self, name: str, path: str, finder: ProjectFinder):
        super().__init__(name, path)
        self.finder = finder

    def get_code(self, fullname: str) -> types.CodeType:
        source = self.finder.source(fullname)
        if source is None:
            raise ImportError(f"the file of `{fullname}` is gone", name=fullname, path=self.path)
        return source.code

    def exec_module(self, module: types.ModuleType) -> None:
        source = self.finder.source(module.__name__)
        if source is None or not self.finder.deferral.execute(
            module, source.compiled, self.finder.is_project
        ):
            super().exec_module(module)

    def get_data(self, path: str | bytes) -> bytes:
        source = self.finder.sources.get(self.name)
        if source is not None and path == source.file:
            return source.text  # a traceback shows the lines that ran
        return Path(path if isinstance(path, str) else path.decode()).read_bytes()


def _module_file(place: Path) -> tuple[Path, bool] | None:
    if (place / "__init__.py").is_file() and not _is_outside(place):
        return place / "__init__.py", True
    file = place.parent / f"{place.name}.py"
    return (file, False) if file.is_file() else None


@functools.cache
def _installed() -> frozenset[Path]:
    """Folders that hold what was installed, beside those that their names tell.

    Python's own and lineal's; scripts; and the folders that installers put on `sys.path`.
    """
    own = Path(os.__file__).resolve().parent
    found = {own, own / "lib-dynload", Path(__file__).resolve().parent.parent}
    found.add(Path(sys.executable).parent.resolve())
    for folder in map(Path, sys.path):
        if folder.name in _OUTSIDE and folder.is_dir():
            for file in folder.glob("*.pth"):
                lines = file.read_text("utf-8", "replace").splitlines()
                found.update((folder / line.strip()).resolve() for line in lines if line.strip())
    return frozenset(found)


def _is_outside(folder: Path) -> bool:
    """Is this a folder that holds no code of the project: hidden, an environment, installed?"""
    return (
        folder.name.startswith(".") or folder.name in _OUTSIDE or (folder / "pyvenv.cfg").is_file()
    )


def _holds_modules(folder: Path) -> bool:
    """Is there a module in this folder, or in one below it?"""
    waiting = [folder]
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.suffix == ".py":
                return True
            if entry.name.isidentifier() and not entry.is_symlink() and entry.is_dir():
                waiting.append(entry)
    return False


class TextFiles:
    """Reads the text files that declarations name (SQL), each once: what ran was digested."""

    def __init__(self) -> None:
        self._read: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        known = self._read.get(path)
        if known is None:
            known = self._read[path] = Path(path).read_bytes()
        return known

    def below(self, folder: str, suffix: str) -> Sequence[str]:
        found = Path(folder).rglob(f"*{suffix}") if Path(folder).is_dir() else ()
        return sorted(str(path) for path in found if path.is_file())

    def read_so_far(self) -> Mapping[str, bytes]:
        """What each file that was read held, by path."""
        return self._read

    def digests(self) -> dict[str, str]:
        """The digest of each file that was read, by path."""
        return {path: digest_bytes(text) for path, text in self._read.items()}

    def changed(self) -> list[str]:
        """The files whose bytes are no longer what was read."""
        return [path for path, text in self._read.items() if _bytes(path) != text]


def _bytes(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
