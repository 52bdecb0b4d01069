"""Writing to registries: one writer at a time, each after what all others wrote."""

import math
from concurrent.futures import ThreadPoolExecutor

from lineal.assets.records import (
    Decided,
    ErrorFacts,
    Materialization,
    Promotion,
    Registered,
    Score,
)
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.registry import Registrar


def registrar(root, cache="cache"):
    journal = Journal(root)
    return Registrar(journal, History.open(journal, root / cache))


def next_version(content):
    def build(registries, number):
        known = registries["delays"]
        if known.numbered(content) is not None:
            return []
        named = f"r{number}.1"
        return [
            Registered("delays", known.next_number, "model", None, named, content, "r1", 1.0, "ada")
        ]

    return build


def test_each_of_many_writers_gets_a_number_of_its_own(tmp_path):
    writers = [registrar(tmp_path, f"cache{n}") for n in range(4)]

    def register(n):
        return writers[n % 4].record(next_version(f"content {n}"))

    with ThreadPoolExecutor(4) as pool:
        for n in range(0, 20, 4):
            list(pool.map(register, range(n, n + 4)))
    found = registrar(tmp_path).now()["delays"].versions
    assert sorted(found) == list(range(1, 21))
    assert {v.content for v in found.values()} == {f"content {n}" for n in range(20)}


def test_a_content_that_has_a_number_gets_no_second_and_nothing_is_written(tmp_path):
    one, other = registrar(tmp_path), registrar(tmp_path)
    one.record(next_version("same"))
    head = Journal(tmp_path).head()
    registries, written = other.record(next_version("same"))
    assert (list(written), Journal(tmp_path).head()) == ([], head)
    assert registries["delays"].numbered("same").version == 1


def test_what_is_recorded_comes_back_from_the_checkpoint_as_it_was(tmp_path):
    facts = [
        Decided(
            "auc", "r1.2", "delays", "production", "key", "r1.1", "content", None, 3, "closed",
            "NaN", (Score("auc", math.inf, 0.5),), (("auc", "max"),), "default", "r1", 1.0,
            ErrorFacts("KeyError", "'rush'"),
        ),
        Promotion(
            "p1", "delays", "production", 3, None, "default", "r1", "ada", "", (Score("auc", 0.5),),
            1.0, "gate", "auc",
        ),
    ]  # fmt: skip
    registrar(tmp_path).record(lambda registries, number: facts)
    for _ in range(2):  # folded from the journal, then from what was kept
        found = History.open(Journal(tmp_path), tmp_path / "cache").registries()["delays"]
        assert found.decisions["key"] == facts[0]
        assert found.promotions == (facts[1],)


def test_a_model_that_another_process_made_just_now_is_found(tmp_path):
    early = registrar(tmp_path)
    made = Materialization("r1.1", "r1", "model", None, "made", "python", "f", "r", "e", "c")
    Journal(tmp_path).append([made])
    assert early.materialization("r1.1") == made
    assert early.materialization("r9.9") is None
    assert registrar(tmp_path, "other").materialization("r1.1") == made
