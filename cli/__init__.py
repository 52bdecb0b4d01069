"""The command line: words in, text out, exit codes."""

from __future__ import annotations


def main() -> None:
    """The entry point of the `lineal` command."""
    from lineal.cli.main import run

    run()
