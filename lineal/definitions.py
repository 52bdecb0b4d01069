"""Loads the user's code and gathers what it declares."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lineal.assets.asset import Declaration, gathering
from lineal.assets.code import Walker
from lineal.assets.errors import DefinitionError, LinealError
from lineal.assets.pieces import ModuleSource as ReachedSource
from lineal.compiled import CompiledCache
from lineal.deferral import Deferral, Proved
from lineal.finder import ModuleSource, ProjectFinder, ProjectLoader, TextFiles

__all__ = ["Definitions", "ModuleSource", "load"]


class Definitions:
    """The code of a project, loaded: what it declares, and the finder that keeps it importable.

    Close it (or use it in a `with` block) before the project is loaded anew in the same process.
    """

    # Whoever loads code holds this: the modules of a process are there only once.
    turn = threading.RLock()

    def __init__(self, root: Path, finder: ProjectFinder):
        self.root = root
        self.finder = finder
        self.texts = TextFiles()
        self.declared: tuple[Declaration, ...] = ()  # errors among them, for the graph to tell
        self.warnings: tuple[str, ...] = ()
        self._stashed: dict[str, types.ModuleType] = {}
        self._path: frozenset[str] = frozenset()
        self._walker: Walker | None = None

    @property
    def sources(self) -> Mapping[str, ModuleSource]:
        """Every project module read so far, by name."""
        return self.finder.sources

    def changed(self) -> list[str]:
        """Project modules and text files (by path) that are no longer what was loaded, sorted."""
        found = self.texts.changed()
        for name, source in sorted(self.sources.items()):
            try:
                now = Path(source.file).read_bytes()
            except OSError:
                now = None
            if now != source.text:
                found.append(name)
        return sorted(found)

    @property
    def walker(self) -> Walker:
        """The one walker over this code; it imports what functions import in their bodies."""
        if self._walker is None:
            self._walker = Walker(
                self.finder.sources,
                self.finder.is_project,
                str(self.root),
                load=self.module,
                every=self._every,
            )
        return self._walker

    def module(self, name: str) -> types.ModuleType | None:
        """A project module, imported if it is not yet; None if there is none or it can't be."""
        found = sys.modules.get(name)
        if found is not None or not self.finder.is_project(name):
            return found
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                return None
            raise self._failure(error, name) from error
        except LinealError:
            raise
        except Exception as error:
            raise self._failure(error, name) from error

    def _every(self) -> Mapping[str, ReachedSource]:
        found = {}
        for name in self.finder.every():
            source = self.finder.source(name)
            if source is None:
                continue
            try:
                _ = source.analysis
            except SyntaxError as error:
                raise _syntax(error, source.path) from error
            found[name] = source
        return found

    @contextlib.contextmanager
    def importing(self, name: str) -> Iterator[None]:
        """Whatever a module of the project raises inside the block is told at the user's line."""
        try:
            yield
        except LinealError:
            raise
        except Exception as error:
            raise self._failure(error, name) from error

    # ------------------------------------------------------------------ opening and closing

    def close(self) -> None:
        """Take the project's modules out of the process, and put back what they stood in for."""
        if not self.finder.is_open:
            return
        self.finder.is_open = False
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        for name in [n for n, m in sys.modules.items() if _is_from(m, self.finder)]:
            del sys.modules[name]
        # What the code added while it loaded: its next loading has to find the same.
        sys.path[:] = [
            entry
            for entry in sys.path
            if entry in self._path or not self.finder.searches(Path(entry).resolve())
        ]
        for name, module in self._stashed.items():
            if name not in sys.modules and not _is_closed(module):
                sys.modules[name] = module

    def __enter__(self) -> Definitions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """Install the finder; modules of these names from elsewhere step aside until `close`."""
        for name in [n for n in sys.modules if self.finder.is_project(n)]:
            self._stashed[name] = sys.modules.pop(name)
        self._path = frozenset(sys.path)
        sys.meta_path.insert(0, self.finder)

    def _load(self, names: Sequence[str]) -> None:
        with gathering(self.texts) as found:
            for name in names:
                self._import(name)
        self.declared = tuple(found)
        self._load_late()
        self.finder.closed = True
        self._prove()
        self.warnings = tuple(self._hidden())

    def _prove(self) -> None:
        """Remember which imports worked, so that the next load can put them off."""
        deferral = self.finder.deferral
        if deferral.is_on:
            return
        loaded = [s.compiled.postponed for n, s in self.sources.items() if n in sys.modules]
        waiting = [
            statement for each in loaded if each is not None for statement in each.statements
        ]
        deferral.proved.add(proof for statement in waiting for proof in statement.proofs)

    def settle(self) -> None:
        """Make the imports that were put off: from now on all is as Python would have it."""
        self.finder.deferral.settle()

    def _load_late(self) -> None:
        """Import what functions import in their bodies: no recipe depends on what ran before."""
        done: set[str] = set()
        while waiting := {n for s in self.sources.values() for n in s.analysis.late} - done:
            done |= waiting
            for name in sorted(waiting):
                if self.finder.source(name) is not None:
                    with contextlib.suppress(DefinitionError):  # told if a recipe reaches it
                        self.module(name)

    def _import(self, name: str) -> None:
        try:
            importlib.import_module(name)
        except LinealError as error:
            # Of a word that has no place of its own, such as `monthly(…)` in a decorator.
            error.where = error.where or self._failure(error, name).where
            raise
        except SystemExit as error:
            raise self._failure(error, name) from error
        except Exception as error:
            raise self._failure(error, name) from error

    def _hidden(self) -> list[str]:
        """Modules of the project that a standard module hides, and who wants them."""
        found = []
        for source in sorted(self.sources.values(), key=lambda s: s.path):
            analysis = source.analysis
            for name in sorted({*analysis.modules, *analysis.late}):
                if name in sys.stdlib_module_names and (self.root / f"{name}.py").is_file():
                    said = f"`{name}.py` has the name of a standard module: `import {name}` in"
                    found += [f"{said} {source.path} means the standard one; rename the file"]
        return found

    def _failure(self, error: BaseException, name: str) -> DefinitionError:
        """What the user's module raised, at the nearest line of theirs."""
        source = self.sources.get(name)
        place = source.path if source else name
        if isinstance(error, SyntaxError) and error.filename:
            return _syntax(error, self._relative(error.filename) or place)
        frames = traceback.extract_tb(error.__traceback__)
        files = {s.file: s for s in self.sources.values()}
        own = [frame for frame in frames if frame.filename in files]
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if not own:
            return DefinitionError(f"`{name}` can't be imported: {said}", where=place)
        frame = own[-1]
        lines = files[frame.filename].text.decode("utf-8", "replace").splitlines()
        number = frame.lineno or 1
        line = lines[number - 1].strip() if number <= len(lines) else ""
        return DefinitionError(
            f"{said}\n    {line}" if line else said,
            where=f"{files[frame.filename].path}:{number}",
        )

    def _relative(self, file: str) -> str | None:
        path = Path(file)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None


def load(
    root: Path,
    modules: Sequence[str],
    cache_dir: Path | None,
    expected: Mapping[str, str] | None = None,
    *,
    defer: bool = True,
) -> Definitions:
    """Import definition modules and gather what they declare.

    Args:
        root: the project's folder.
        modules: paths relative to it: files such as `pipeline.py`, or folders of modules.
        cache_dir: where compiled code is kept between processes; None: nowhere.
        expected: digests of modules by name that a plan was made with.
        defer: put heavy imports off where that makes no difference.

    Raises:
        DefinitionError: a module is missing, can't be parsed, or raised; with the user's own line.
        InputsChanged: a module is not the expected one.
    """
    root = root.resolve()
    deferral = Deferral(Proved(cache_dir), is_on=defer)
    finder = ProjectFinder(root, CompiledCache(cache_dir), deferral, expected)
    names = [name for path in modules for name in _names(finder, path)]
    definitions = Definitions(root, finder)
    definitions._open()
    try:
        definitions._load(names)
    except DefinitionError as error:
        definitions.close()
        if not deferral.was_used or isinstance(error.__cause__, SyntaxError):
            raise
    except BaseException:
        definitions.close()
        raise
    else:
        return definitions
    # Should an import that waits be the cause, it is none of the user's: as written, then.
    return load(root, modules, cache_dir, expected, defer=False)


def _names(finder: ProjectFinder, path: str) -> list[str]:
    """The module names of one definitions path."""
    place = finder.root / path
    if place.is_dir():
        prefix = ".".join(place.relative_to(finder.root).parts)
        names = [n for n in finder.every() if f"{n}.".startswith(f"{prefix}." if prefix else "")]
        if not names:
            raise DefinitionError(f"the folder `{path}` holds no Python module")
        return names
    if not place.is_file():
        raise DefinitionError(
            f"there is no file `{path}` in {finder.root}",
            advice="name your definition files in `[project] definitions` of lineal.toml",
        )
    relative = place.relative_to(finder.root).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    name = ".".join(parts)
    if place.suffix != ".py" or not all(part.isidentifier() for part in parts):
        raise DefinitionError(f"`{path}` can't be imported as a Python module", advice="rename it")
    if not finder.is_project(name):
        raise DefinitionError(
            f"`{path}` has the name of another module, `{parts[0]}`", advice="rename the file"
        )
    return [name]


def _syntax(error: SyntaxError, path: str) -> DefinitionError:
    """A syntax error with its line and a caret below."""
    line = (error.text or "").rstrip("\n")
    indent = len(line) - len(line.lstrip())
    caret = " " * max((error.offset or 1) - 1 - indent, 0) + "^"
    shown = f"\n    {line.strip()}\n    {caret}" if line.strip() else ""
    return DefinitionError(
        f"{type(error).__name__}: {error.msg}{shown}", where=f"{path}:{error.lineno}"
    )


def _is_from(module: types.ModuleType, finder: ProjectFinder) -> bool:
    """Was this module loaded through this finder, or is it a folder below its root?"""
    spec = getattr(module, "__spec__", None)
    loader = getattr(spec, "loader", None)
    if isinstance(loader, ProjectLoader):
        return loader.finder is finder
    name = getattr(module, "__name__", "")
    places = [str(place) for place in getattr(spec, "submodule_search_locations", None) or ()]
    return finder.is_project(name) and any(map(finder.holds, places))


def _is_closed(module: types.ModuleType) -> bool:
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return isinstance(loader, ProjectLoader) and not loader.finder.is_open
