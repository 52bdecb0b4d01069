"""After any edit of a project with partitions, lineal shows what a full recomputation shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.partition_oracle import run
from tests.readers import LINEAL
from tests.warm import Warm


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm(preload=LINEAL) as one:
        yield one


@pytest.mark.parametrize("seed", [1])
def test_no_edit_of_partitions_is_missed(seed: int, tmp_path: Path, warm: Warm) -> None:
    campaign = run(seed, 8, tmp_path, warm, size=3)
    assert not campaign.faults, "\n".join(
        f"{f.kind} after {f.after}: {f.what}" for f in campaign.faults
    )
    assert campaign.refused < campaign.edits  # most of its states are accepted
