"""The command line: words in, text out, exit codes."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the `lineal` command."""
    try:
        from lineal.cli.main import run

        run()
    except KeyboardInterrupt:  # before or after `run` listens for it
        sys.exit(130)
