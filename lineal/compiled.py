"""Keeps the compiled code of project modules, and what their text says, for quick loading.

Each file names by digest all that its content follows from, and its own content: what does not
match is computed again.
"""

from __future__ import annotations

import marshal
import os
import sys
import types
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from lineal import heavy, postpone
from lineal.assets import (
    canonical,
    deferred,
    effects,
    reading,
    remarkable,
    scopes,
    sourcecode,
    watching,
)
from lineal.assets.digest import encode
from lineal.assets.sourcecode import Analysis
from lineal.disk import Disk, keep, kept
from lineal.postpone import Postponed

_SIZE = 32  # bytes of a digest


class Compiled(NamedTuple):
    """A module's code; `parts` are the code as written, and without the imports that can wait."""

    parts: tuple[bytes, bytes]  # marshalled: one of the two is wanted
    analysis: Analysis
    reveals: bool  # its code may look where names that wait are missing

    @classmethod
    def of(
        cls, code: types.CodeType, analysis: Analysis, postponed: Postponed | None, *, reveals: bool
    ) -> Compiled:
        plain: Any = None
        if postponed is not None:
            plain = (postponed.code, tuple(map(tuple, postponed.statements)), postponed.paths)
        return cls((marshal.dumps(code), marshal.dumps(plain)), analysis, reveals)

    @property
    def code(self) -> types.CodeType:
        found: types.CodeType = marshal.loads(self.parts[0])
        return found

    @property
    def postponed(self) -> Postponed | None:
        """The code without the imports that can wait; None when it imports nothing heavy."""
        found = marshal.loads(self.parts[1])
        return None if found is None else Postponed.unmarshalled(found)


class CompiledCache:
    """One file a module below `folder`; without a folder nothing is kept."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._analyser: bytes | None = None

    def get(self, name: str, file: str, digest: str) -> Compiled | None:
        if self.folder is None:
            return None
        data = kept(self._place(file))
        if data is None or data[:_SIZE] != self._key(name, file, digest):
            return None
        parts, analysis, reveals = marshal.loads(data[_SIZE:])  # its seal holds: `put` wrote it
        return Compiled(parts, Analysis.unmarshalled(analysis), reveals)

    def put(self, name: str, file: str, digest: str, compiled: Compiled) -> None:
        """Keep it if that is possible: a cache that can't be written is none."""
        if self.folder is None:
            return
        body = marshal.dumps((compiled.parts, compiled.analysis.marshalled(), compiled.reveals))
        keep(self._place(file), self._key(name, file, digest) + body, Disk())

    def _place(self, file: str) -> Path:
        assert self.folder is not None
        return self.folder / "code" / f"{blake3(os.fsencode(file)).hexdigest()[:32]}.bin"

    def _key(self, name: str, file: str, digest: str) -> bytes:
        """All that code and analysis follow from: text, place, Python, and this very lineal."""
        flags = [sys.flags.optimize, sys.flags.no_site, sys.version]
        return blake3(
            encode([name, file, digest, MAGIC_NUMBER, flags, self._analyser_digest()])
        ).digest()

    def _analyser_digest(self) -> bytes:
        if self._analyser is None:
            modules = (
                canonical,
                deferred,
                effects,
                heavy,
                postpone,
                reading,
                remarkable,
                scopes,
                sourcecode,
                watching,
            )
            texts = [_own_text(module) for module in modules]
            self._analyser = blake3(encode(texts)).digest()
        return self._analyser


def _own_text(module: types.ModuleType) -> bytes:
    loader = module.__spec__.loader if module.__spec__ else None
    get_data = getattr(loader, "get_data", None)
    return bytes(get_data(str(module.__file__))) if get_data else b""
