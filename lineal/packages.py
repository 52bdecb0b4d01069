"""The installed distributions that code reaches, and the environment facts they make.

Asking `importlib.metadata` costs more than a whole run in which nothing is to do, so what it says
is kept in `cache/packages.json` and used for as long as the folders it came from are unchanged.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.assets.digest import SCHEME, digest_bytes, digest_of
from lineal.assets.errors import SettingsError, did_you_mean
from lineal.assets.records import EnvironmentFacts
from lineal.disk import Disk, keep, kept

POLICIES = ("exact", "minor", "major", "ignore")
FORMAT = 1  # of the cache file

# What reads and writes the tables of every step, whatever its own code imports.
READERS_AND_WRITERS = ("duckdb", "numpy", "pandas", "pyarrow")
# What a distribution uses when it happens to be installed, and what may change its results.
USED_IF_THERE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pandas": ("numexpr", "bottleneck", "numba", "openpyxl", "xlrd", "lxml", "fastparquet"),
        "numpy": ("mkl",),
        "scikit-learn": ("joblib", "threadpoolctl"),
    }
)
ALWAYS_VARIABLES = ("LC_ALL", "TZ")

# A change within this time of a look can't be told from none by the clock of a file system.
_GRANULARITY_NS = 2_000_000_000


class Distribution(NamedTuple):
    """An installed distribution: what it requires, and where that is written."""

    name: str  # normalised
    version: str
    requires: tuple[tuple[str, tuple[str, ...], str], ...]  # name, its extras, extra it belongs to
    metadata: str  # path of the file
    stamp: tuple[int, ...]  # its identity on disk
    source: str = ""  # folder of a local or editable install
    pinned: str = ""  # commit or digest of an install from elsewhere


class Packages:
    """What is installed, as one process sees it; each question is answered once."""

    def __init__(
        self, distributions: Iterable[Distribution], imports: Mapping[str, Sequence[str]]
    ) -> None:
        self._distributions = {each.name: each for each in distributions}
        self._imports = imports
        self._versions: dict[str, str] = {}
        self._answers: dict[Any, EnvironmentFacts] = {}

    @classmethod
    def look(cls, cache_dir: Path | None, now: int | None = None) -> Packages:
        """What is installed now: from the cache if nothing changed, else from the metadata.

        `now` is the time in nanoseconds: what changed just before it can't be told from what
        changes just after it, so it is not kept.
        """
        file = None if cache_dir is None else cache_dir / "packages.json"
        stamps = _stamps()
        if file is not None:
            known = _read_cache(file, stamps)
            if known is not None:
                return known
        known = _discover()
        if file is not None and _settled(stamps, known, time.time_ns() if now is None else now):
            _write_cache(file, stamps, known)
        return known

    def facts(
        self, imports: Sequence[str], variables: Sequence[str], policy: str | Mapping[str, str]
    ) -> EnvironmentFacts:
        """The environment of a step whose code reaches these top-level modules."""
        rules = policies(policy)
        question = (frozenset(imports), frozenset(variables), tuple(sorted(rules.items())))
        found = self._answers.get(question)
        if found is None:
            found = self._answers[question] = self._facts(imports, variables, rules)
        return found

    def behind(self, modules: Iterable[str], *, required: bool = True) -> set[str]:
        """The distributions that hold these top-level modules, and all that those require."""
        found = {name for module in modules for name in self._providers(module)}
        return self._closure(found) if required else found

    def _facts(
        self, imports: Sequence[str], variables: Sequence[str], rules: Mapping[str, str]
    ) -> EnvironmentFacts:
        roots: set[str] = set()
        unknown: set[str] = set()
        for module in imports:
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top == "lineal":
                continue
            found = self._providers(top)
            roots.update(found)
            if not found:
                unknown.add(top)
        packages = [(f"?{top}", "unknown") for top in sorted(unknown)]
        for name in sorted({*self._closure(roots), *READERS_AND_WRITERS}):
            rule = rules.get(name, rules["*"])
            if rule != "ignore":
                packages.append((name, _shown(self._version(name), rule)))
        values = [
            (name, digest_of(os.environ.get(name)))
            for name in sorted({*variables, *ALWAYS_VARIABLES})
        ]
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if sys.implementation.name != "cpython":
            python = f"{sys.implementation.name} {python}"
        return EnvironmentFacts(
            digest=digest_of([SCHEME, "environment", python, packages, values]),
            python=python,
            packages=tuple(packages),
            variables=tuple(values),
        )

    def _providers(self, top: str) -> Sequence[str]:
        found = self._imports.get(top, ())
        if found:
            return found
        # An editable install may not say what it provides; its own name is the best guess.
        guess = normalised(top)
        return (guess,) if guess in self._distributions else ()

    def _closure(self, roots: Iterable[str]) -> set[str]:
        """These distributions and all they require, markers disregarded: in doubt it counts."""
        seen: set[tuple[str, frozenset[str]]] = set()
        waiting = [(name, frozenset[str]()) for name in roots]
        while waiting:
            name, extras = waiting.pop()
            known = self._distributions.get(name)
            if known is None or (name, extras) in seen:
                continue
            seen.add((name, extras))
            for required, its_extras, extra in known.requires:
                if not extra or extra in extras:
                    waiting.append((required, frozenset(its_extras)))
            waiting.extend((used, frozenset[str]()) for used in USED_IF_THERE.get(name, ()))
        return {name for name, _ in seen}

    def _version(self, name: str) -> str:
        found = self._versions.get(name)
        if found is None:
            known = self._distributions.get(name)
            found = self._versions[name] = "none" if known is None else _full_version(known)
        return found

    def still_there(self) -> bool:
        """Is the metadata of every distribution the file it was?"""
        return all(_stamp(each.metadata) == each.stamp for each in self._distributions.values())

    def as_json(self) -> dict[str, Any]:
        return {"distributions": list(self._distributions.values()), "imports": self._imports}


def environment_facts(
    imports: Sequence[str],
    variables: Sequence[str],
    policy: str | Mapping[str, str],
    cache_dir: Path | None,
) -> EnvironmentFacts:
    """The environment of one step; for many ask one `Packages.look(cache_dir)`."""
    return Packages.look(cache_dir).facts(imports, variables, policy)


def policies(policy: str | Mapping[str, str]) -> dict[str, str]:
    """Distribution → exact | minor | major | ignore; `*` is for all others.

    Raises:
        SettingsError: a policy that isn't one of them.
    """
    given = {"policy": policy} if isinstance(policy, str) else policy
    rules = {"*": "exact"}
    for name, rule in given.items():
        if rule not in POLICIES:
            raise SettingsError(
                f"the policy of `{name}` is {rule!r}{did_you_mean(str(rule), POLICIES)}",
                advice=f"it is one of {', '.join(POLICIES)}",
            )
        rules["*" if name in ("policy", "*") else normalised(name)] = rule
    return rules


def normalised(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


# ------------------------------------------------------------------------------------- versions


def _shown(version: str, rule: str) -> str:
    """A version as a policy shows it; what marks a local install always counts."""
    public, plus, local = version.partition("+")
    count = {"minor": 2, "major": 1}.get(rule)
    if count is None:
        return version
    marker = plus + local if local.startswith(("local.", "from.")) else ""
    return ".".join(public.split(".")[:count]) + marker


def _full_version(known: Distribution) -> str:
    """The version, and for an install that no version names, what its code is."""
    if known.source:
        return f"{known.version}+local.{_digest_of_folder(known.source)[:16]}"
    if known.pinned:
        return f"{known.version}+from.{known.pinned[:16]}"
    return known.version


def _digest_of_folder(folder: str) -> str:
    """The code below a folder, by content; the code of an editable install changes in place."""
    found: list[tuple[str, str]] = []
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            f for f in folders
            if not f.startswith(".") and f not in ("__pycache__", "node_modules")
            and not os.path.exists(os.path.join(here, f, "pyvenv.cfg"))  # noqa: PTH110, PTH118
        )  # fmt: skip
        for file in sorted(files):
            if file.endswith((".py", ".so", ".pyd")):
                path = Path(here, file)
                found.append((str(path.relative_to(folder)), _digest_of_file(path)))
    return digest_of(found)


def _digest_of_file(path: Path) -> str:
    try:
        return digest_bytes(path.read_bytes())
    except OSError as error:
        return f"unreadable: {error.errno}"


# ------------------------------------------------------------------------------------ discovery


def _discover() -> Packages:
    """Ask the metadata of everything that is installed."""
    from importlib import metadata

    distributions: dict[str, Distribution] = {}
    imports: dict[str, set[str]] = {}
    for found in metadata.distributions():
        if not found.metadata or not found.metadata["Name"]:
            continue
        name = normalised(found.metadata["Name"])
        if name in distributions:
            continue  # behind an earlier folder of sys.path: not the one that is imported
        distributions[name] = _describe(name, found)
        for top in _provided(found):
            imports.setdefault(top, set()).add(name)
    return Packages(
        distributions.values(), {top: tuple(sorted(names)) for top, names in imports.items()}
    )


def _describe(name: str, found: Any) -> Distribution:
    folder = getattr(found, "_path", None)  # the one way to the file that says it
    path = ""
    if folder is not None:
        files = (folder / "METADATA", folder / "PKG-INFO", folder)
        path = str(next((each for each in files if Path(each).is_file()), folder))
    source, pinned = _origin(found)
    if not source and path.endswith("PKG-INFO") and not _is_site(str(Path(path).parents[1])):
        source = str(Path(path).parents[1])  # `egg-info` beside the code: it is used from there
    return Distribution(
        name=name,
        version=str(found.version),
        requires=tuple(_requirement(each) for each in found.requires or ()),
        metadata=path,
        stamp=_stamp(path),
        source=source,
        pinned=pinned,
    )


def _origin(found: Any) -> tuple[str, str]:
    """(folder, commit or digest) of what was not installed from an index (PEP 610)."""
    text = found.read_text("direct_url.json")
    if not text:
        return "", ""
    try:
        said = json.loads(text)
        url = str(said["url"])
        if "vcs_info" in said and not said.get("dir_info", {}).get("editable"):
            return "", str(said["vcs_info"]["commit_id"])
        if said.get("dir_info", {}).get("editable"):
            from urllib.parse import urlsplit
            from urllib.request import url2pathname

            return url2pathname(urlsplit(url).path), ""
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # not as PEP 610 says: known by the digests of its files, as any other
    return "", digest_of(found.read_text("RECORD"))


_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def _requirement(text: str) -> tuple[str, tuple[str, ...], str]:
    matched = _REQUIREMENT.match(text)
    if matched is None:
        return text, (), ""
    extras = tuple(e.strip() for e in (matched[2] or "").split(",") if e.strip())
    extra = _EXTRA.search(text.partition(";")[2])
    return normalised(matched[1]), extras, extra[1] if extra else ""


def _provided(found: Any) -> set[str]:
    """The top-level modules a distribution brings."""
    said = found.read_text("top_level.txt")
    tops = set(said.split()) if said else set()
    for file in found.files or ():
        top = file.parts[0]
        if len(file.parts) > 1:
            if not top.endswith((".dist-info", ".egg-info")) and top != "..":
                tops.add(top)
        elif top.endswith((".py", ".so", ".pyd")):
            tops.add(top.partition(".")[0])
    return {top for top in tops if top.isidentifier()}


# ---------------------------------------------------------------------------------------- cache


def _stamps() -> list[list[Any]]:
    """The folders that distributions are found in, each with what changes when one does."""
    found: list[list[Any]] = [[sys.version, sys.prefix]]
    for entry in dict.fromkeys(sys.path):
        folder = entry or "."
        path = os.path.abspath(folder)  # noqa: PTH100  a link stays as it is written
        if _is_site(path):
            found.append([path, *_stamp(path)])
            continue
        # Any other folder, the project's own among them, changes all the time for other reasons.
        try:
            names = sorted(n for n in os.listdir(path) if n.endswith(_METADATA))  # noqa: PTH208
        except OSError:
            continue
        if names:
            found.append([path, *names])
    return found


def _is_site(folder: str) -> bool:
    return os.path.basename(folder) in ("site-packages", "dist-packages")  # noqa: PTH119


_METADATA = (".dist-info", ".egg-info", ".egg-link", ".egg")


def _stamp(path: str) -> tuple[int, ...]:
    try:
        seen = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _settled(stamps: list[list[Any]], known: Packages, now: int) -> bool:
    """Did nothing change while it was looked at, or so shortly before that it might still?"""
    newest = max((v for row in stamps for v in row[4:] if isinstance(v, int)), default=0)
    return newest < now - _GRANULARITY_NS and stamps == _stamps() and known.still_there()


def _read_cache(file: Path, stamps: list[list[Any]]) -> Packages | None:
    data = kept(file)
    if data is None:
        return None
    try:
        said = json.loads(data)
        body = said["body"]
        if said["format"] != FORMAT or said["stamps"] != stamps:
            return None
        distributions = [
            Distribution(
                name, version, tuple((r, tuple(x), e) for r, x, e in requires),
                metadata, tuple(stamp), source, pinned,
            )
            for name, version, requires, metadata, stamp, source, pinned in body["distributions"]
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None  # of another format
    known = Packages(distributions, body["imports"])
    return known if known.still_there() else None


def _write_cache(file: Path, stamps: list[list[Any]], known: Packages) -> None:
    said = {"format": FORMAT, "stamps": stamps, "body": known.as_json()}
    keep(file, json.dumps(said).encode(), Disk())
