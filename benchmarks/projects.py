"""The projects that the benchmarks make."""

from __future__ import annotations

from pathlib import Path

_SMALL_HEAD = '''\
import json
import math

from lineal import asset

RATE = 3


def helper(x):
    """What every asset calls."""
    return math.floor(x * RATE)
'''


def small_assets(folder: Path, count: int) -> None:
    """A tree of assets that need the standard library only: each reads the one it hangs from."""
    folder.mkdir(parents=True)
    parts = [_SMALL_HEAD, "@asset\ndef a0():\n    return {'v': 1}\n"]
    parts.extend(
        f"@asset\ndef a{i}(a{i // 10 if i > 1 else 0}):\n"
        f"    return {{'v': helper(a{i // 10 if i > 1 else 0}['v']) % 97 + {i}}}\n"
        for i in range(1, count)
    )
    (folder / "pipeline.py").write_text("\n\n".join(parts), encoding="utf-8")


_TABLES_HEAD = """\
import pandas as pd

from lineal import asset
"""


def small_tables(folder: Path, count: int) -> None:
    """Tables of 100 rows and two columns, none of which reads another."""
    folder.mkdir(parents=True)
    parts = [_TABLES_HEAD]
    parts.extend(
        f"@asset\ndef t{i}() -> pd.DataFrame:\n"
        f'    return pd.DataFrame({{"a": range({i}, {i + 100}), "b": [{i} / 7] * 100}})\n'
        for i in range(count)
    )
    (folder / "pipeline.py").write_text("\n\n".join(parts), encoding="utf-8")


def small_tables_by_hand(folder: Path, count: int) -> None:
    """The same tables by a plain script: same code, same Parquet files, nothing else."""
    folder.mkdir(parents=True)
    parts = ["from pathlib import Path\n", "import pandas as pd\n"]
    parts.extend(
        f"def t{i}():\n"
        f'    return pd.DataFrame({{"a": range({i}, {i + 100}), "b": [{i} / 7] * 100}})\n'
        for i in range(count)
    )
    parts.append(
        'Path("out").mkdir(exist_ok=True)\n'
        f"for i in range({count}):\n"
        '    globals()[f"t{i}"]().to_parquet(f"out/t{i}.parquet")\n'
    )
    (folder / "script.py").write_text("\n\n".join(parts), encoding="utf-8")
