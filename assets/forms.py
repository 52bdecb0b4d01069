"""How canonical bytes of captured values are put together, and the error when a value has none."""

from __future__ import annotations


class NoForm(Exception):
    """A value without canonical form: where inside the captured value it sits, and its type."""

    def __init__(self, path: str, kind: type, advice: str = ""):
        super().__init__(path)
        self.path = path
        self.kind = kind
        self.advice = advice


def tagged(tag: str, *pieces: bytes) -> bytes:
    """A tag and length-prefixed pieces: no two values share bytes by concatenation."""
    sized = b"".join(len(piece).to_bytes(8, "little") + piece for piece in pieces)
    return b"<" + tag.encode() + b">" + len(pieces).to_bytes(4, "little") + sized
