"""Looking the store's files over: which are there, whether their bytes and contents are true."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lineal.assets.content import content_digest
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.errors import LinealError
from lineal.assets.records import Column, Content
from lineal.disk import SealState, digest_file, kept, seal_of, state_of_seal
from lineal.logs import LogState, read_log
from lineal.storage.formats import array, figure, files, joblib, json, skops
from lineal.storage.objects import Objects

_NAME = re.compile(r"([0-9a-f]{64})(?:\.([^/]+))?\Z")
LOST = "lost"  # a file of the store: the objects that repairs could not bring back
# Names in `cache/` of files that are being written, of seals, and of SQLite's own beside its file.
_PASSING = re.compile(r"\.\d+-[0-9a-f]{8}\Z|\.seal\Z|\.sqlite-\w+\Z")
_THREADS = 4
_AT_ONCE = 256  # files in flight: a store may hold millions
_IN_MEMORY = 1 << 26  # bytes of a table read at once, about, unless one column is larger
_BY_BYTES = frozenset({json.NAME, figure.NAME, joblib.NAME, joblib.PICKLE, skops.NAME})


class Listing(NamedTuple):
    """What lies in `objects/`: by their names objects, and files whose names are no object's."""

    objects: dict[tuple[str, str], int]  # (digest, suffix) → bytes
    strangers: list[Path]


def list_objects(root: Path) -> Listing:
    """Everything below the `objects` folder of a store; nothing is opened."""
    found = Listing({}, [])
    folder = root / "objects"
    for path, size in walk(folder):
        name = _NAME.match(path.name)
        if name is not None and path.parent == folder / name[1][:2]:
            found.objects[name[1], name[2] or ""] = size
        else:
            found.strangers.append(path)
    return found


def walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every file below a folder with its size, in the order of their names.

    Files that go away meanwhile are left out; links to folders are told, not followed.
    """
    inner = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    inner.append(Path(entry.path))
                else:
                    yield Path(entry.path), entry.stat().st_size
    for path in inner:
        yield from walk(path)


def place_of(root: Path, digest: str, suffix: str) -> Path:
    """Where the object of that name lies."""
    return root / "objects" / digest[:2] / (f"{digest}.{suffix}" if suffix else digest)


# ------------------------------------------------------------------------------------------- bytes


class Bytes(NamedTuple):
    """What one object's bytes turned out to be: `fault` is empty when they are what they were."""

    digest: str
    suffix: str
    bytes: int
    fault: str


def read_bytes(root: Path, names: Iterable[tuple[str, str]]) -> Iterator[Bytes]:
    """Read every one of these objects, several at a time, in their order."""
    from concurrent.futures import ThreadPoolExecutor

    waiting = iter(names)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(waiting, _AT_ONCE)):
            yield from pool.map(lambda name: _bytes_of(root, *name), batch)


def fault_of_bytes(root: Path, digest: str, suffix: str) -> str:
    """What is wrong with the bytes of an object now; nothing when they are what they were."""
    return _bytes_of(root, digest, suffix).fault


def _bytes_of(root: Path, digest: str, suffix: str) -> Bytes:
    try:
        found, size = digest_file(place_of(root, digest, suffix))
    except FileNotFoundError:
        return Bytes(digest, suffix, 0, "is missing")
    except OSError as error:
        return Bytes(digest, suffix, 0, f"can't be read: {error.strerror or error}")
    if found == digest:
        return Bytes(digest, suffix, size, "")
    if size == 0:
        return Bytes(digest, suffix, size, "is empty")
    return Bytes(
        digest, suffix, size, "is damaged: its bytes don't have the digest that is its name"
    )


# ----------------------------------------------------------------------------------------- content


class Proof(NamedTuple):
    """What came of computing a content digest again. Neither: it takes the project's code."""

    proved: bool
    fault: str = ""


def prove(content: Content, objects: Objects) -> Proof:
    """Compute a version's digests again from its objects, whose bytes are known to be whole.

    Nothing is unpickled. The digest of a value made of classes of the project depends on their
    code as it then was: such a version is neither proved nor refuted.
    """
    if content.format == "parquet":
        return _prove_table(content, objects)
    # Files of a source where they lie, or slices that are versions of their own: none is its own.
    if content.format in ("files", "slices"):
        return Proof(True)
    if len(content.objects) != 1 and content.format != files.FOLDER:
        return Proof(False, f"is recorded with {len(content.objects)} objects, not with one")
    if content.format == array.NAME:
        return _prove_array(content, objects)
    found = _digest_by_bytes(content)
    if found == content.digest:
        return Proof(True)
    if content.format in (joblib.NAME, joblib.PICKLE) or found is None:
        return Proof(False)
    return Proof(False, _differs(found, content))


def _digest_by_bytes(content: Content) -> str | None:
    """The content digest of what is identified by its bytes alone."""
    if content.format == files.FOLDER:
        return digest_of([SCHEME, files.FOLDER, files.folder_digest(content.objects)])
    (stored,) = content.objects
    if content.format == files.FILE:
        return digest_of([SCHEME, files.FILE, files.file_digest(stored)])
    if content.format in _BY_BYTES:
        return digest_of([SCHEME, content.format, stored.digest, []])
    return None


def _prove_array(content: Content, objects: Objects) -> Proof:
    import zipfile

    (stored,) = content.objects
    try:
        value = array.decode(objects.path(stored).read_bytes())
        made = array.encode(value, "array").digest
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, LinealError) as error:
        return Proof(False, f"can't be read as an array: {error}")
    found = digest_of([SCHEME, array.NAME, made, []])
    return Proof(
        found == content.digest, "" if found == content.digest else _differs(found, content)
    )


def _prove_table(content: Content, objects: Objects) -> Proof:
    import pyarrow as pa

    (stored,) = content.objects
    try:
        fault = _fault_of_table(content, objects.path(stored))
    except (OSError, ValueError, KeyError, pa.ArrowException, LinealError) as error:
        return Proof(False, f"can't be read as a table: {str(error).splitlines()[0]}")
    return Proof(not fault, fault)


def _fault_of_table(content: Content, path: Path) -> str:
    import pyarrow.parquet as pq

    recorded = [column.name for column in content.columns]
    with pq.ParquetFile(path) as file:
        rows, names = file.metadata.num_rows, list(file.schema_arrow.names)
    if names != recorded:
        return f"has the columns {', '.join(names)}; recorded are {', '.join(recorded)}"
    if rows != content.rows:
        return f"has {rows:,} rows; recorded are {content.rows:,}"
    seen = list(_columns(path, names))
    for found, column in zip(seen, content.columns, strict=True):
        if found != column:
            return (
                f"column `{column.name}` gives {found.type} {found.digest[:12]}…; "
                f"recorded is {column.type} {column.digest[:12]}…"
            )
    found_digest = content_digest(rows, seen)
    return "" if found_digest == content.digest else _differs(found_digest, content)


def _columns(path: Path, names: Sequence[str]) -> Iterator[Column]:
    """Some columns at a time, so that a table larger than memory can be proved."""
    import pyarrow.parquet as pq

    from lineal.storage.content import column_digests
    from lineal.storage.formats.parquet import read_parquet

    told = pq.read_metadata(path)
    groups = [told.row_group(i).total_byte_size for i in range(told.num_row_groups)]
    size = max(sum(groups), told.num_rows * len(names) * 8)
    count = max(1, len(names) * _IN_MEMORY // max(1, size))
    for at in range(0, len(names), count):
        yield from column_digests(read_parquet(path, names[at : at + count]))


def _differs(found: str, content: Content) -> str:
    return f"its bytes give the content {found[:12]}…; recorded is {content.digest[:12]}…"


# ---------------------------------------------------------------------------- caches, logs, seals


def sealed_files(root: Path) -> Iterator[tuple[Path, SealState | LogState]]:
    """Everything that proves itself: caches, logs, and what lies beside its seal."""
    for path, _ in walk(root / "cache"):
        inside = path.relative_to(root / "cache").parts
        if inside[0] == "folders" or _PASSING.search(path.name):
            continue  # links to objects; what a running process writes
        if path.suffix == ".sqlite":
            yield path, _state_beside(path)
        else:
            yield path, "damaged" if kept(path) is None and path.exists() else "whole"
    if (root / LOST).exists():
        yield root / LOST, "damaged" if kept(root / LOST) is None else "whole"
    catalog = root / "catalog.duckdb"
    if catalog.exists():
        yield catalog, _state_beside(catalog)
    for path, _ in walk(root / "logs"):
        with contextlib.suppress(FileNotFoundError):
            yield path, read_log(path)[1]


def _state_beside(path: Path) -> SealState:
    """As `state_of_seal`; while another process changes the file, it is open."""
    seals = Path(seal_of(path))
    before = _bytes(seals)
    state = state_of_seal(path)
    return state if before == _bytes(seals) else "open"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def is_laid_out(root: Path, content: Content) -> bool:
    """Does the folder kept for a stored folder, if there is one, hold just its objects?"""
    folder = root / "cache" / "folders" / content.digest
    if not folder.is_dir():
        return True
    wanted = {
        stored.path: place_of(root, stored.digest, stored.suffix) for stored in content.objects
    }
    found = {path.relative_to(folder).as_posix(): path for path, _ in walk(folder)}
    return found.keys() == wanted.keys() and all(
        _same(path, wanted[name]) for name, path in found.items()
    )


def _same(path: Path, target: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.samefile(target)
    return False
