"""After any edit, lineal shows what a full recomputation shows, and has remade nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import run, warm_pair
from tests.warm import Warm

SEEDS = (1, 2, 3, 4, 5, 6)
EDITS = int(os.environ.get("LINEAL_ORACLE_EDITS", "120"))


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Warm, Warm]]:
    with warm_pair() as both:
        yield both


@pytest.mark.parametrize("seed", SEEDS)
def test_no_edit_is_missed_and_none_remakes_more_than_it_must(
    seed: int, tmp_path: Path, pair: tuple[Warm, Warm]
) -> None:
    campaign = run(seed, -(-EDITS // len(SEEDS)), tmp_path, pair)
    assert not campaign.faults, "\n".join(
        f"{f.kind} after {f.after}: {f.what}" for f in campaign.faults
    )
