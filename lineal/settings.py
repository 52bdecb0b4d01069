"""Settings: lineal.toml, or [tool.lineal] in pyproject.toml; none is needed beside a pipeline.py.

The file is read whenever settings are wanted, and parsed only when its bytes are not those parsed
last: the parsed form is kept in `cache/settings.json` under their digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import SettingsError, did_you_mean
from lineal.disk import Disk, keep, kept
from lineal.environments import Environment, Parameters, chosen, environments, over, parameters

FORMAT = 1  # of the cache file
LATER = frozenset({"alerts"})
POLICIES = ("exact", "minor", "major", "ignore")  # how much of a version counts

_DEFAULT = "default"
_OURS = re.compile(rb"""^\s*\[+\s*["']?tool["']?\s*\.\s*["']?lineal["']?\s*[.\]]""", re.MULTILINE)
_SIZE = re.compile(r"([0-9]+(?:[.][0-9]+)?)\s*([KMGT])i?B", re.IGNORECASE)
_LEAST_MEMORY = 64 << 20  # bytes with which DuckDB still works


class Settings(NamedTuple):
    """What a project's settings say, with defaults; `origins` says where each value is from."""

    root: Path
    name: str
    definitions: tuple[str, ...]
    store: Path
    strict: bool
    jobs: int
    memory: int | None  # bytes; None: a quarter of the machine's
    parameters: Parameters  # as they are in the environment
    pools: Mapping[str, int]  # pool → how many places it has
    packages: Mapping[str, str]  # `policy` and distributions → exact | minor | major | ignore
    file: Path | None
    origins: Mapping[str, str]
    environment: Environment  # in which the project is looked at
    environments: Mapping[str, Environment]  # that the file defines, by name
    content: bytes = b""  # of the file, as it was read

    def as_rows(self) -> list[tuple[str, str, str]]:
        """(setting, value, where it is from) of every setting in force."""
        values: dict[str, Any] = {
            "project.name": self.name,
            "project.definitions": list(self.definitions),
            "project.store": str(self.store),
            "project.strict": self.strict,
            "run.jobs": self.jobs,
            "run.memory": self.memory or "a quarter of the machine's",
            "environment": self.environment.name,
        }
        values.update({f"pools.{name}": places for name, places in self.pools.items()})
        values.update({f"packages.{name}": rule for name, rule in self.packages.items()})
        values.update(_flat("", self.parameters))
        for each in self.environments.values():
            values[f"environments.{each.name}.promote"] = each.promotes
            values.update(_flat(f"environments.{each.name}.", each.parameters))
        return [(key, _shown(v), self.origins.get(key, _DEFAULT)) for key, v in values.items()]


def find_root(start: Path) -> Path:
    """The nearest folder, this one or above, that holds a project.

    Raises:
        SettingsError: there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if _file_of(folder) is not None or (folder / "pipeline.py").is_file():
            return folder
    raise SettingsError(
        "there is no project here",
        where=str(start),
        advice="start one with `lineal init`, or go to a folder with a pipeline.py or lineal.toml",
    )


def load_settings(
    root: Path, cache_dir: Path | None = None, environment: str | None = None
) -> Settings:
    """The settings of the project in a folder.

    Args:
        root: the folder.
        cache_dir: where the parsed form is kept; else beside the other caches of the store.
        environment: in which the project is looked at; else as `environments.chosen` says.

    Raises:
        SettingsError: an unknown setting, a value of the wrong type; with file and line.
        UsageError: no such environment.
    """
    root = root.absolute()
    file = _file_of(root)
    if file is None:
        return _Reading(root, None, b"", {}).settings(environment)
    content = _content(file)
    cache = (cache_dir or root / ".lineal" / "cache") / "settings.json"
    return _Reading(root, file, content, _parsed(file, content, cache)).settings(environment)


def store_of(root: Path) -> Path:
    """The folder of the store, whatever else the settings say.

    Raises:
        SettingsError: they can't be read, or name no folder.
    """
    file = _file_of(root)
    if file is None:
        return root / _Reading(root, None, b"", {}).store()
    content = _content(file)
    return root / _Reading(root, file, content, _parse(file, content)).store()


def _file_of(folder: Path) -> Path | None:
    """The file with settings in a folder."""
    file = folder / "lineal.toml"
    if file.is_file():
        return file
    file = folder / "pyproject.toml"
    try:
        return file if _OURS.search(file.read_bytes()) else None
    except OSError:
        return None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"it can't be read: {error.strerror}", where=str(file)) from error


def _flat(before: str, found: Parameters) -> dict[str, Any]:
    return {
        f"{before}parameters.{a}.{n}": v for a, given in found.items() for n, v in given.items()
    }


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


# -------------------------------------------------------------------------------------- parsing


def _parsed(file: Path, content: bytes, cache: Path) -> dict[str, Any]:
    """What the file says for lineal, parsed once for the same bytes."""
    digest = digest_bytes(f"{FORMAT} {file.name}\n".encode() + content)
    body = kept(cache)
    known = {} if body is None else json.loads(body)
    if known.get("digest") == digest:
        return dict(known["settings"])
    given = _parse(file, content)
    _keep(cache, digest, given)
    return given


def _parse(file: Path, content: bytes) -> dict[str, Any]:
    import tomllib

    try:
        given: Any = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{file}:{line[1]}" if line else str(file)
        raise SettingsError(f"it is not TOML: {error}", where=where) from error
    if file.name == "pyproject.toml":
        given = given.get("tool", {}).get("lineal", {})
    if not isinstance(given, dict):
        raise SettingsError("[tool.lineal] is no table", where=str(file))
    return given


def _keep(cache: Path, digest: str, given: dict[str, Any]) -> None:
    """Keep the parsed form, if JSON gives it back as it is and there is a store to keep it in."""
    try:
        text = json.dumps({"digest": digest, "settings": given})
    except TypeError:
        return  # a date has no JSON form
    if json.loads(text)["settings"] == given and cache.parent.is_dir():
        keep(cache, text.encode(), Disk())


# -------------------------------------------------------------------------------------- reading


class _Reading:
    """Settings being read: each value is checked, and told with its line when it is wrong."""

    def __init__(
        self, root: Path, file: Path | None, content: bytes, given: Mapping[str, Any]
    ) -> None:
        self.root = root
        self.file = file
        self.given = given
        self.content = content
        self.lines = content.decode("utf-8", "replace").splitlines()
        self.prefix = "tool.lineal." if file and file.name == "pyproject.toml" else ""
        self.origins: dict[str, str] = {}

    def settings(self, asked: str | None) -> Settings:
        self._known(self.given, _SECTIONS, "")
        for section in ("project", "run", "packages"):
            given = self._table(section)
            if section != "packages":
                self._known(given, tuple(_VALUES[section]), section)
        definitions = self._value("project", "definitions", None)
        defined = environments(self.given.get("environments", {}), self._where)
        environment, self.origins["environment"] = chosen(
            defined, asked, str(self.file or self.root)
        )
        return Settings(
            root=self.root,
            name=self._value("project", "name", self.root.name),
            definitions=self._definitions(definitions),
            store=self.root / self.store(),
            strict=self._value("project", "strict", False),
            jobs=self._value("run", "jobs", 1),
            memory=_bytes(self._value("run", "memory", None)),
            parameters=self._parameters(defined, environment),
            pools=self._pools(),
            packages=self._packages(),
            file=self.file,
            origins=self.origins,
            environment=environment,
            environments=defined,
            content=self.content,
        )

    def store(self) -> Path:
        return Path(self._value("project", "store", ".lineal"))

    def _known(self, given: Mapping[str, Any], known: tuple[str, ...], section: str) -> None:
        for key in given:
            path = f"{section}.{key}" if section else key
            if key in known:
                continue
            if not section and key in LATER:
                raise SettingsError(
                    f"[{key}] is not built yet",
                    where=self._where(path),
                    advice="leave it out: it would do nothing",
                )
            raise SettingsError(
                f"there is no setting `{path}`{did_you_mean(key, known)}",
                where=self._where(path),
                advice=f"there are {', '.join(known)}",
            )

    def _table(self, section: str) -> Mapping[str, Any]:
        given = self.given.get(section, {})
        if not isinstance(given, dict):
            raise SettingsError(
                f"`{section}` is {given!r}",
                where=self._where(section),
                advice=f"it is a table: [{self.prefix}{section}]",
            )
        return given

    def _value(self, section: str, key: str, otherwise: Any) -> Any:
        given = self._table(section)
        if key not in given:
            return otherwise
        path, value = f"{section}.{key}", given[key]
        accept, wanted = _VALUES[section][key]
        if not accept(value):
            raise SettingsError(
                f"`{path}` is {value!r}", where=self._where(path), advice=f"it needs {wanted}"
            )
        self.origins[path] = self._where(path)
        return value

    def _definitions(self, given: list[str] | None) -> tuple[str, ...]:
        if given is not None:
            for each in given:
                if not (self.root / each).exists():
                    raise SettingsError(
                        f"there is no definitions file `{each}`",
                        where=self._where("project.definitions"),
                        advice=f"looked for {self.root / each}",
                    )
            return tuple(given)
        for usual in ("pipeline.py", "definitions.py"):
            if (self.root / usual).is_file():
                return (usual,)
        raise SettingsError(
            "there is no pipeline.py, and no setting says where the definitions are",
            where=str(self.file or self.root),
            advice='write [project] definitions = ["my_pipeline.py"] in lineal.toml',
        )

    def _parameters(self, defined: Mapping[str, Environment], chosen: Environment) -> Parameters:
        usual = parameters(self.given, "", self._where)
        spoken = _flat("", usual)
        for each in defined.values():
            spoken.update(_flat(f"environments.{each.name}.", each.parameters))
            if "promote" in self.given["environments"][each.name]:
                spoken[f"environments.{each.name}.promote"] = each.promotes
        self.origins.update({path: self._where(path) for path in spoken})
        for path in _flat("", chosen.parameters):
            self.origins[path] = self.origins[f"environments.{chosen.name}.{path}"]
        return over(usual, chosen.parameters)

    def _pools(self) -> Mapping[str, int]:
        found = self._table("pools")
        for name, places in found.items():
            path = f"pools.{name}"
            if not _is_count(places):
                raise SettingsError(
                    f"`{path}` is {places!r}",
                    where=self._where(path),
                    advice="it needs a number from 1: how many places the pool has",
                )
            self.origins[path] = self._where(path)
        return found

    def _packages(self) -> Mapping[str, str]:
        found = self._table("packages")
        for name, rule in found.items():
            path = f"packages.{name}"
            if rule not in POLICIES:
                raise SettingsError(
                    f"the policy of `{name}` is {rule!r}{did_you_mean(str(rule), POLICIES)}",
                    where=self._where(path),
                    advice=f"it is one of {', '.join(POLICIES)}",
                )
            self.origins[path] = self._where(path)
        return {"policy": "exact", **found}

    def _where(self, path: str) -> str:
        """`file:line` of a setting; the file alone when its line can't be told."""
        if self.file is None:
            return str(self.root)
        line = _line_of((self.prefix + path).split("."), self.lines)
        return f"{self.file}:{line}" if line else str(self.file)


def _line_of(path: list[str], lines: list[str]) -> int | None:
    """The line on which a setting is given: its key, or the table of that name."""
    table: list[str] = []
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[+([^\[\]]+)\]+", line)
        if header:
            table = _words(header[1])
            if table[: len(path)] == path:
                return number
            continue
        key, equals, _ = line.partition("=")
        if equals and [*table, *_words(key)][: len(path)] == path:
            return number
    return None


def _words(dotted: str) -> list[str]:
    """The parts of a dotted key, quotes taken off."""
    found = re.findall(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)", dotted)
    return [double or single or bare for double, single, bare in found]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(each) for each in value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_memory(value: Any) -> bool:
    if not (type(value) is int or (isinstance(value, str) and _SIZE.fullmatch(value.strip()))):
        return False
    return (_bytes(value) or 0) >= _LEAST_MEMORY


def _bytes(value: Any) -> int | None:
    """Bytes of `"1.5GB"`; 1 GB is 1024 MB."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value if isinstance(value, int) else None
    power = "KMGT".index(found[2].upper()) + 1
    return int(float(found[1]) * 1024**power)


_SECTIONS = ("project", "parameters", "pools", "packages", "run", "environments")
_VALUES: Mapping[str, Mapping[str, tuple[Callable[[Any], bool], str]]] = MappingProxyType(
    {
        "project": {
            "definitions": (_is_texts, 'a list of files: ["pipeline.py"]'),
            "name": (_is_text, "a text"),
            "store": (_is_text, "a folder"),
            "strict": (_is_flag, "true or false"),
        },
        "run": {
            "jobs": (_is_count, "a number from 1"),
            "memory": (_is_memory, 'a text such as "4GB", or a number of bytes; 64MB at least'),
        },
    }
)
