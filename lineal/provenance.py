"""Who runs what, where: the facts that open a run."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lineal.assets.records import RunStarted


def run_started(run: str, root: Path, environment: str, planned: int, lineal: str) -> RunStarted:
    """The record of a run that begins now, in this process; `lineal`: our own version."""
    commit, dirty = _git(root)
    return RunStarted(
        run=run,
        environment=environment,
        who=who(),
        host=socket.gethostname(),
        command=tuple(_command(sys.argv)),
        started_at=time.time(),
        python=".".join(map(str, sys.version_info[:3])),
        lineal=lineal,
        git_commit=commit,
        git_dirty=dirty,
        planned=planned,
    )


def who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _command(argv: Sequence[str]) -> list[str]:
    return [Path(argv[0]).name, *argv[1:]] if argv else []


def _git(root: Path) -> tuple[str, bool]:
    """The commit of the project's sources and whether they differ from it; empty outside git."""
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        if head.returncode:
            return "", False
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--", str(root)],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "", False
    return head.stdout.strip(), bool(status.stdout.strip())
