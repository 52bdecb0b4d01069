"""The number of the store's format, in its file `format`."""

from __future__ import annotations

from pathlib import Path

from lineal.assets.errors import IntegrityError

FORMAT = 1  # the format of everything below the store's folder
WRITTEN = b"%d\n" % FORMAT


def wrong_format(path: Path) -> str | None:
    """What is wrong with the file, to follow its name; None when it says this format.

    Raises:
        FileNotFoundError: it is missing.
        IntegrityError: it was written by a newer lineal.
    """
    text = path.read_bytes().rstrip(b"\r\n ").decode("ascii", "backslashreplace")
    if text == str(FORMAT):
        return None
    if not text.isdecimal():
        return f"reads {text[:20]!r}, which is no number"
    if int(text) < FORMAT:
        return f"reads {text[:20]!r}, which no lineal wrote"
    raise IntegrityError(
        f"the store has format {text[:20]}, written by a newer lineal; this one knows {FORMAT}",
        where=str(path),
        advice="update lineal",
    )
