"""matplotlib figures as PNG pictures with the same bytes for the same picture."""

from __future__ import annotations

import io
import sys
from typing import Any

from lineal.assets.digest import digest_bytes
from lineal.assets.notebook import size_text
from lineal.storage.formats.encoded import Encoded

NAME = "figure"


def encode(value: Any, name: str) -> Encoded:
    """A Figure, or the Axes of one. It is closed: pyplot would keep it in memory for ever."""
    figure = value if hasattr(value, "savefig") else value.get_figure()
    buffer = io.BytesIO()
    # matplotlib would write its own version into the file
    figure.savefig(buffer, format="png", metadata={"Software": None})
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    data = buffer.getvalue()
    return Encoded(data, "png", digest_bytes(data), f"figure, {size_text(len(data))}")


def decode(data: bytes) -> bytes:
    """A picture arrives as its bytes."""
    return data
