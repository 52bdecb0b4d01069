"""Estimators as skops files: loaded without running any code that a file names.

A file names its types. Each must be one that skops itself trusts, or a class that scikit-learn or
scipy defines: neither a file on the disk nor a name in it can bring in anything else. As skops
writes files, each holds the time, memory addresses and random names; here they are rewritten so
that the same estimator has the same bytes in every process.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import ContentError
from lineal.storage.formats.encoded import Encoded

NAME = "skops"
_SCHEMA = "schema.json"
_PACKAGES = ("sklearn", "scipy")  # whose classes may be made of what a file says …
_NOT_IN = (  # … but for those that open files or start processes
    "scipy._lib.", "scipy.datasets.", "scipy.io.", "sklearn.datasets.", "sklearn.externals.",
    "sklearn.utils._testing.",
)  # fmt: skip
_SELECTING = "sklearn.feature_selection"
# What estimators hold beside: to call these with whatever a file says does no harm.
_HARMLESS = frozenset(
    {
        "numpy.dtype", "numpy.mean",
        *(
            f"{_SELECTING}._univariate_selection.{name}"
            for name in ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression")
        ),
        *(f"{_SELECTING}._mutual_info.mutual_info_{of}" for of in ("classif", "regression")),
    }
)  # fmt: skip
_LEAVES = frozenset({"JsonNode", "TypeNode", "FunctionNode"})  # the same object or an equal one
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FAILURES = (
    TypeError, ValueError, AttributeError, KeyError, IndexError, ImportError, RecursionError,
    NotImplementedError, zipfile.BadZipFile,
)  # fmt: skip


def encode(value: Any, name: str) -> Encoded:
    """Raises ContentError: it holds what skops can't write, or what may not be loaded."""
    skops = _skops()
    try:
        data = _canonical(skops.dumps(value))
        refused = _refused(untrusted(data))
    except _FAILURES as error:
        raise _unfit(value, name, f"{type(error).__name__}: {error}") from error
    if refused:
        raise _unfit(value, name, f"it holds {_listed(refused)}, which loading would run")
    if _canonical(skops.dumps(decode(data))) != data:
        raise _unfit(value, name, "what is read back is not what was stored")
    summary = type(value).__qualname__
    return Encoded(data, NAME, digest_bytes(data), summary, tuple(sorted(_types(data))))


def decode(data: bytes) -> Any:
    """A fresh object. Raises ContentError when it names a type that is not allowed, or is gone."""
    skops = _skops()
    try:
        named = untrusted(data)
        refused = _refused(named)
        if not refused:
            return skops.loads(data, trusted=named)
    except _FAILURES as error:
        raise ContentError(
            f"a stored skops file can't be read back: {type(error).__name__}: {error}",
            advice="make the asset again with `lineal materialize --force`",
        ) from error
    raise ContentError(
        f"a stored skops file names {_listed(refused)}: nothing of it was loaded",
        advice="only types that skops trusts and classes of scikit-learn and scipy are loaded",
    )


def untrusted(data: bytes) -> list[str]:
    """What a file names beside the types that skops trusts anyway. Nothing of it is made."""
    return list(_skops().get_untrusted_types(data=data))


def written_by(data: bytes) -> str:
    """The version of skops that wrote a file."""
    return str(_schema(data).get("_skops_version", ""))


def _skops() -> Any:
    try:
        from skops import io as found
    except ImportError as error:
        raise ContentError(
            '`format="skops"` needs the package skops', advice="pip install 'lineal[skops]'"
        ) from error
    return found


# ------------------------------------------------------------------------------------------- types


def _refused(named: Sequence[str]) -> list[str]:
    return [name for name in named if not _is_allowed(name)]


def _is_allowed(name: str) -> bool:
    """Is it a class that scikit-learn or scipy defines under just this name?

    Few functions are allowed: skops calls what a file names with what the file says.
    """
    if name in _HARMLESS:
        return True
    module, _, qualname = name.rpartition(".")
    if module.partition(".")[0] not in _PACKAGES or f"{module}.".startswith(_NOT_IN):
        return False
    import importlib

    try:
        found = getattr(importlib.import_module(module), qualname, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__ == module


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _unfit(value: Any, name: str, why: str) -> ContentError:
    kind = type(value)
    return ContentError(
        f"`{name}` is a {kind.__module__}.{kind.__qualname__} that can't be stored as skops: {why}",
        advice='store it as `format="joblib"`, which is read back by running the code it names; '
        "skops holds scikit-learn's own estimators",
    )


# --------------------------------------------------------------------------------- the same bytes


def _canonical(data: bytes) -> bytes:
    """The same file without times, addresses and random names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: _unpadded(name, archive.read(name)) for name in archive.namelist()}
    schema = json.loads(members.pop(_SCHEMA))
    names = {name: _named(name, body) for name, body in members.items()}
    for node in _nodes(schema):
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=_told)
        if isinstance(node.get("file"), str):
            node["file"] = names[node["file"]]
    _number(schema)
    files = {_SCHEMA: json.dumps(schema, separators=(",", ":")).encode()}
    files.update(sorted((names[name], body) for name, body in members.items()))
    return _zipped(files)


def _schema(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return dict(json.loads(archive.read(_SCHEMA)))


def _types(data: bytes) -> set[tuple[str, str]]:
    """The (module, name) of all that a file names."""
    found = {(node["__module__"], node["__class__"]) for node in _nodes(_schema(data))}
    return {(module, name) for module, name in found if module != "builtins"}


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema, those that hold others first."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("__loader__"), str):
                yield part
            waiting.extend(reversed(part.values()))
        elif isinstance(part, list):
            waiting.extend(reversed(part))


def _number(schema: dict[str, Any]) -> None:
    """Objects that stand in several places are numbered in order; no other has a number."""
    times = Counter(node["__id__"] for node in _nodes(schema) if _is_numbered(node))
    numbers: dict[int, int] = {}
    for node in _nodes(schema):
        if _is_numbered(node) and times[node["__id__"]] > 1:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        else:
            node.pop("__id__", None)


def _is_numbered(node: dict[str, Any]) -> bool:
    return isinstance(node.get("__id__"), int) and node["__loader__"] not in _LEAVES


def _told(node: Any) -> str:
    """What an item of a set is, whatever its number."""
    return json.dumps([_without(node), node.get("file") is not None])


def _without(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without(v) for key, v in part.items() if key not in ("__id__", "file")}
    return [_without(each) for each in part] if isinstance(part, list) else part


def _unpadded(name: str, body: bytes) -> bytes:
    """An array of records, as the nodes of a tree, with nothing between their fields."""
    if not name.endswith(".npy"):
        return body
    import numpy as np

    records = np.load(io.BytesIO(body), allow_pickle=False)
    if records.dtype.names is None:
        return body
    clean = np.zeros(records.shape, records.dtype)
    for field in records.dtype.names:
        clean[field] = records[field]
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(clean))
    return buffer.getvalue() + clean.tobytes()


def _named(name: str, body: bytes) -> str:
    return f"{digest_bytes(body)}.{name.rpartition('.')[2]}"


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, body in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # the same on every system
            archive.writestr(entry, body)
    return buffer.getvalue()
