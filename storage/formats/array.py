"""numpy arrays as .npy, and dicts of them as .npz, with the same bytes for the same values.

Canonical: a plain ndarray in C order with little-endian numbers. Masked, structured, object and
extended-precision arrays have bytes that don't say what a reader would see: they are refused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from lineal.assets.digest import digest_bytes, digest_of
from lineal.assets.errors import ContentError
from lineal.storage.formats.encoded import Encoded

NAME = "array"
_KINDS = "biufcSUMm"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's zero: a time of writing would change the bytes


def encode(value: Any, name: str) -> Encoded:
    """One array, or a dict of arrays with text keys. Raises ContentError for what is refused."""
    if not isinstance(value, Mapping):
        array = _canonical(value, name)
        summary = f"array {tuple(array.shape)} {array.dtype.name}"
        return Encoded(_npy(array), "npy", digest_of(_facts(array)), summary)
    arrays = {_key(key, name): _canonical(item, f"{name}[{key!r}]") for key, item in value.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", _EPOCH), _npy(array))
    digest = digest_of([[key, _facts(array)] for key, array in arrays.items()])
    count = f"{len(arrays)} array{'' if len(arrays) == 1 else 's'}"
    return Encoded(buffer.getvalue(), "npz", digest, count)


def decode(data: bytes) -> Any:
    """A fresh, writable array, or a dict of them."""
    if data.startswith(b"\x93NUMPY"):
        return _read(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            info.filename.removesuffix(".npy"): _read(archive.read(info))
            for info in archive.infolist()
        }


def _canonical(value: Any, name: str) -> Any:
    import numpy as np

    if isinstance(value, np.ma.MaskedArray):
        raise ContentError(
            f"`{name}` is a masked array, and .npy has no masks",
            advice="return `array.filled(…)`, or a dict of its data and its mask",
        )
    array = np.asarray(value)
    if array.dtype.names is not None:
        raise ContentError(
            f"`{name}` is an array of records",
            advice="return it as a table: `pd.DataFrame(array)`",
        )
    if array.dtype.kind not in _KINDS or array.dtype.char in "gG":
        raise ContentError(
            f"`{name}` is an array of {array.dtype}, which has no canonical bytes",
            advice='give it a type of numbers or text (`.astype(…)`), or say `format="pickle"`',
        )
    plain = np.dtype(array.dtype.str).newbyteorder("<")  # by its text: without metadata
    return np.array(array, dtype=plain, order="C", copy=None)


def _facts(array: Any) -> list[Any]:
    content = digest_bytes(array.reshape(-1).view("u1").data if array.nbytes else b"")
    return [array.dtype.str, list(array.shape), content]


def _npy(array: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read(data: bytes) -> Any:
    import numpy as np

    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _key(key: object, name: str) -> str:
    if not isinstance(key, str) or "\0" in key or "\\" in key:
        raise ContentError(
            f"`{name}`: {key!r} can't name an array in an .npz file", advice="use plain text keys"
        )
    return key
