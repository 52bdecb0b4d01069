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
    finally:
        # An interrupt that went through the exec of a text (an import that makes a dataclass) ends
        # Python by that signal, not by our code, even if it was caught; another exec forgets it.
        exec("")
