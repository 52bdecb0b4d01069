"""Hands a registered model out as a folder that needs no lineal: its file, a card, requirements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from lineal.answers import ModelShown
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import UsageError
from lineal.assets.records import Content, Materialization, StoredObject
from lineal.lineage.drawing import drawn, to_mermaid
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.tree import upstream
from lineal.model_card import SIGNATURE, Handed, card
from lineal.models import model, plain_values
from lineal.packages import Packages
from lineal.serving import Found, Loading, Needs, features_of, find
from lineal.storage.objects import Objects

CARD, REQUIREMENTS = "MODEL_CARD.md", "requirements.txt"
_MODEL = "model"  # the name of its file; of several, of the folder that holds them
_LISTED = re.compile(rf"^\| `({_MODEL}(?:\.\w+)?)` \| .* \| `[0-9a-f]{{64}}` \|$", re.MULTILINE)
# What reads a file of a format, beside what the model names.
_READERS: Mapping[str, tuple[str, ...]] = {
    "joblib": ("joblib",), "skops": ("skops",), "parquet": ("pandas", "pyarrow"),
}  # fmt: skip
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)*\Z")


class ExportedFile(NamedTuple):
    """A file that was written; `path` is relative to the folder."""

    path: str
    bytes: int
    digest: str


class Exported(NamedTuple):
    """A registered version as it was handed out."""

    model: str
    folder: Path
    files: tuple[ExportedFile, ...]


def export(
    root: Path, journal: Journal, name: str, folder: Path, lineal: str, *, force: bool
) -> Exported:
    """Write a registered model into a folder: byte for byte, with a card and what it needs.

    Args:
        lineal: our own version, for the card.
        force: write although other files are there, in place of those of the same names.

    Raises:
        UsageError: there is no such version, or other files are in the folder.
        IntegrityError: the stored bytes are not what was recorded.
    """
    known = _known(folder, force, journal.root)
    found = find(journal, name, root)
    objects = Objects(journal.root, journal.disk)
    loaded, needs = Loading(root, objects, found, False).with_needs()
    stored = tuple((_name_of(o, found), o) for o in found.content.objects)
    files = {place: objects.read(o) for place, o in stored}
    trusted, versions = _of_skops(found.content, files)
    with closing(History.open(journal, journal.root / "cache")) as history:
        name = f"{found.registered.registry}@v{found.registered.version}"
        shown = model(history, name, plain_values(objects))
        handed = Handed(
            shown=shown,
            told=history.asset_facts(found.registered.asset),
            files=stored,
            features=features_of(loaded),
            project=needs.project,
            trusted=trusted,
            judged_by=_judged_by(history, shown),
            drawing=to_mermaid(drawn(upstream(history, found.materialization))),
            lineal=lineal,
        )
    versions |= dict(shown.environment.packages) if shown.environment is not None else {}
    modules = _modules(shown, found.content.format, needs)
    packages = Packages.look(journal.root / "cache")
    files[REQUIREMENTS] = _requirements(shown, needs, modules, versions, packages).encode()
    files[CARD] = card(handed).encode()
    return Exported(shown.version.name, folder, tuple(_write(folder, files, known)))


def _of_skops(
    content: Content, files: Mapping[str, bytes]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a skops file wants to be trusted, and which version of skops wrote it."""
    from lineal.storage.formats import skops

    if content.format != skops.NAME:
        return (), {}
    (data,) = files.values()
    return tuple(skops.untrusted(data)), {skops.NAME: skops.written_by(data)}


def _judged_by(history: History, shown: ModelShown) -> dict[str, Materialization]:
    """The steps that scored a version, by id."""
    names = {decided.materialization for decided in shown.decisions}
    found = {name: history.materialization(name) for name in names}
    return {name: made for name, made in found.items() if made is not None}


def _known(folder: Path, force: bool, store: Path) -> list[Path]:
    """The files of an earlier export, that this one takes the place of.

    Raises:
        UsageError: other files are there, or it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`{folder}` is a file", advice="name a folder")
    if folder.resolve().is_relative_to(store.resolve()):
        raise UsageError(f"`{folder}` is in the store", advice="name a folder elsewhere")
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    ours = _told_by(folder / CARD)
    others = [path.name for path in there if path.name not in ours]
    if others and not force:
        told = ", ".join(f"`{name}`" for name in others[:3])
        raise UsageError(
            f"`{folder}` holds {told}{', …' if len(others) > 3 else ''}",
            advice="name a new folder, or write among them with --force",
        )
    return [path for path in there if path.name in ours and path.is_file()]


def _told_by(place: Path) -> list[str]:
    """The files of an earlier export, if this is its card."""
    try:
        text = place.read_text("utf-8", "replace")
    except OSError:
        return []
    return [CARD, REQUIREMENTS, *_LISTED.findall(text)] if SIGNATURE in text else []


def _name_of(stored: StoredObject, found: Found) -> str:
    if len(found.content.objects) > 1 or stored.path:
        return f"{_MODEL}/{stored.path or stored.digest}"
    return f"{_MODEL}.{stored.suffix}" if stored.suffix else _MODEL


def _write(
    folder: Path, files: Mapping[str, bytes], known: Iterable[Path]
) -> Iterable[ExportedFile]:
    """The card last: where it is, all is."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(known, key=lambda path: path.name != CARD):
        path.unlink()
    for place, data in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        yield ExportedFile(place, len(data), digest_bytes(data))


# ------------------------------------------------------------------------------------- requirements


def _modules(shown: ModelShown, form: str, needs: Needs) -> set[str]:
    """The modules that must be there for the model to be loaded."""
    own = {path.partition("/")[0].removesuffix(".py") for path in needs.project}
    found = {*(needs.modules - own), *_READERS.get(form, ())}
    if needs.project and shown.code is not None:  # what its own classes import is not in the file
        found |= set(shown.code.imports)
    return found


def _requirements(
    shown: ModelShown,
    needs: Needs,
    modules: set[str],
    versions: Mapping[str, str],
    packages: Packages,
) -> str:
    """The distributions that hold these modules, in the versions that it was trained with."""
    environment, run = shown.environment, shown.version.run
    python = run.python if run is not None else environment.python if environment else ""
    rows = [f"# Python {python}"] if python else []
    rows += [f"# of the project itself: {path}" for path in needs.project]
    direct = packages.behind(modules, required=False)
    for name in sorted(packages.behind(modules)):
        if name in versions:
            rows.append(_pin(name, versions[name]))
        elif name in direct:
            rows.append(f"{name}  # the version it was trained with was not recorded")
    return "\n".join(rows) + "\n"


def _pin(name: str, version: str) -> str:
    """`name==1.9.0`; what is no version as an index has it, is a comment."""
    public, plus, local = version.partition("+")
    if not _RELEASE.match(public):
        return f"{name}  # {version}"
    told = f"  # as it was installed: {local}" if plus else ""
    short = "" if public.count(".") > 1 else ".*"  # as a policy shows it, maybe
    return f"{name}=={public}{short}{told}"
