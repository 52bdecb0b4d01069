"""Actions in a real store: what they are handed, what is said of them, and what starts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lineal
from lineal.assets.names import Step
from lineal.planning import planned_steps
from tests.e2e.command_line import Workplace
from tests.moves import move, register

SECRET = "hunter-2-and-more"
PIPELINE = '''
import json
import os
from pathlib import Path

import lineal
from lineal import action, asset, gate, resource, secret


class Model:
    """A class of the project itself."""

    def __init__(self, size):
        self.size = size


@asset(format="pickle")
def model(size: int = 1):
    return Model(size)


@gate("delays", candidate="model")
def better(model):
    return model.size


@resource
def cluster(region: str = "eu"):
    yield f"cluster in {region}"


@action("delays@production", retry=3)
def deploy(promotion: lineal.Promotion, cluster, token=secret("DEPLOY_TOKEN"), *, note: str = "n"):
    """Put it where it serves."""
    print("token is", token)
    told = {
        "id": promotion.id, "version": promotion.version, "number": promotion.number,
        "previous": promotion.previous, "scores": dict(promotion.scores),
        "compared": dict(promotion.compared), "reason": promotion.reason,
        "alias": promotion.alias, "registry": promotion.registry, "how": promotion.how,
        "size": promotion.model.size, "same": promotion.model is promotion.model,
        "path": str(promotion.path), "cluster": cluster, "token": len(token), "note": note,
        "text": repr(promotion),
    }
    with open(os.environ["DEPLOYED"], "a") as file:
        file.write(json.dumps(told) + "\\n")
    return {"sent": promotion.version}
'''


class Served(Workplace):
    """A project with a model and an action, and what the action told the world."""

    def deployed(self) -> list[dict[str, object]]:
        path = self.root / "deployed"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def trained(self, size: int) -> int:
        self.make("model", "-p", f"model.size={size}")
        return register(self.root)

    def entries(self) -> list[Path]:
        return sorted((self.root / ".lineal" / "journal").rglob("*"))

    def everything(self) -> bytes:
        """All bytes of the store."""
        files = (path for path in (self.root / ".lineal").rglob("*") if path.is_file())
        return b"".join(path.read_bytes() for path in files)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    place = Served(tmp_path / "project")
    place.write("lineal.toml", '[project]\nname = "served"\n')
    place.write("pipeline.py", PIPELINE)
    monkeypatch.setenv("DEPLOYED", str(place.root / "deployed"))
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    return place


def test_promote_promote_roll_back_and_nothing_more(served: Served) -> None:
    served.trained(1)
    first = move(served.root, 1)
    plan = served.lineal("plan", "deploy")
    assert f"will run for promotion {first} of delays v1" in plan.out
    said = served.lineal("materialize", "deploy")
    assert said.code == 0, said.err
    assert f"deploy   promotion {first} of delays v1" in said.out
    served.trained(2)
    second = move(served.root, 2)
    served.lineal("materialize", "deploy")
    third = move(served.root, 1, how="rollback")
    # The workers are other processes: what it is handed goes over to them.
    said = served.lineal("materialize", "deploy", "--jobs", "2", "--json")
    assert said.steps("made") == {"deploy"}, said.out + said.err
    assert said.json["steps"][0]["promotion"]["promotion"] == third
    assert [(told["id"], told["version"]) for told in served.deployed()] == [
        (first, "v1"), (second, "v2"), (third, "v1"),
    ]  # fmt: skip
    before = served.entries()
    for _ in range(3):
        assert "Nothing to do: 1 fresh" in served.lineal("materialize", "deploy").out
    served.edit("pipeline.py", '"Put it where it serves."', '"Put it elsewhere."')
    served.edit("pipeline.py", '"text": repr(promotion)', '"text": str(promotion)')
    assert "Nothing to do" in served.lineal("materialize", "deploy", "-p", "deploy.note=x").out
    assert served.entries() == before
    _is_told_all(served, third)
    assert SECRET.encode() not in served.everything()


def test_what_a_gate_promotes_is_deployed_in_the_same_run_by_workers_too(served: Served) -> None:
    plan = served.lineal("plan").out
    assert "? deploy   if delays@production moves" in plan
    assert served.make("--jobs", "2").steps("made") == {"model", "better", "deploy"}
    (told,) = served.deployed()
    assert (told["version"], told["how"], told["scores"]) == ("v1", "gate", {"better": 1.0})
    assert "Nothing to do: 3 fresh" in served.lineal("materialize").out


def _is_told_all(served: Served, third: str) -> None:
    """What the action was handed, and what is said of it."""
    _, told, last = served.deployed()
    stored = lineal.open(served.root).path("model@" + _content(served, 2))[0]
    assert told["path"] == str(stored)
    assert {k: v for k, v in told.items() if k not in ("id", "path")} == {
        "version": "v2", "number": 2, "previous": "v1", "scores": {"auc": 0.75},
        "compared": {"auc": 0.5}, "reason": "looked at", "alias": "production",
        "registry": "delays", "how": "person", "size": 2, "same": True,
        "cluster": "cluster in eu", "token": len(SECRET), "note": "n",
        "text": f"<Promotion {told['id']}: delays@production v1 → v2, by person>",
    }  # fmt: skip
    assert (last["how"], last["previous"], last["size"]) == ("rollback", "v2", 1)
    why = served.lineal("why", "deploy").out
    assert f"deploy is fresh: it ran for promotion {third} of delays v1" in why
    show = served.lineal("show", "deploy").out
    assert f"for      promotion {third} of delays v1" in show
    shown = served.lineal("show", "deploy", "--json").json
    assert shown["metadata"] == {
        "promotion": third, "registry": "delays", "alias": "production", "version": 1,
        "previous": 2,
    }  # fmt: skip
    assert served.lineal("logs", "deploy").out == "token is ***\n"
    tree = served.lineal("lineage", "deploy").out
    assert f"promotion {third} of delays v1\n└─ model@" in tree
    runs = served.lineal("runs", "--json").json
    assert f"ran for promotion {third} of delays v1" in served.lineal("runs", runs[-1]["run"]).out
    assert lineal.open(served.root).load("deploy") == {"sent": "v1"}


def _content(served: Served, version: int) -> str:
    registries = lineal.open(served.root).history().registries()
    return registries["delays"].versions[version].content


def test_what_it_can_not_read_or_do_fails_and_is_tried_again_until_it_can(served: Served) -> None:
    served.trained(1)
    (stored,) = lineal.open(served.root).path("model")
    moved = move(served.root, 1)
    served.edit("pipeline.py", "retry=3)", "timeout=0.05)")
    whole = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(whole[:-1] + b"x")
    said = served.lineal("materialize", "deploy")
    assert said.code == 1
    assert "IntegrityError" in said.out
    assert stored.name in said.out.replace("\n", "").replace(" ", "")
    assert f"for promotion {moved} of delays v1" in said.out
    stored.write_bytes(whole)
    served.edit(
        "pipeline.py", '    print("token', '    import time\n    time.sleep(60)\n    print("token'
    )
    said = served.lineal("materialize", "deploy")
    assert said.code == 1, said.out
    assert "took longer" in said.out
    served.edit("pipeline.py", "    time.sleep(60)\n", "")
    served.edit("pipeline.py", "timeout=0.05)", "timeout=60)")
    assert served.lineal("materialize", "deploy").code == 0
    assert [told["id"] for told in served.deployed()] == [moved]
    assert lineal.open(served.root).act("delays", "production").id is None
    again = move(served.root, 1)
    run = lineal.open(served.root).act("delays", "production")
    assert [step.summary for step in run.steps] == [f"promotion {again} of delays v1"]
    assert lineal.open(served.root).act("delays", "staging").steps == ()


def test_one_that_is_given_up_is_told_by_the_run(served: Served) -> None:
    served.trained(1)
    first = move(served.root, 1)
    served.edit("pipeline.py", "retry=3", "retry=0")
    served.edit(
        "pipeline.py",
        "    told = {",
        "    if promotion.number == 1:\n        raise OSError\n    told = {",
    )
    assert served.lineal("materialize", "deploy").code == 1
    served.trained(2)
    second = move(served.root, 2)
    said = served.lineal("materialize", "deploy")
    assert said.code == 0
    assert f"deploy   promotion {second} of delays v2" in said.out
    assert f"given up: promotion {first} of delays v1: it failed" in said.out


def test_what_it_returned_is_lost_and_nothing_is_deployed_again(served: Served) -> None:
    served.trained(1)
    move(served.root, 1)
    served.lineal("materialize", "deploy")
    (kept,) = lineal.open(served.root).path("deploy")
    kept.unlink()
    served.lineal("fsck", "--repair")
    served.lineal("materialize", "deploy")
    with lineal.open(served.root).look() as seen:
        assert not planned_steps(seen, [Step("deploy")], force=True)[0].selected
    assert len(served.deployed()) == 1


def test_what_is_done_is_not_done_again_for_what_it_returned_or_read(served: Served) -> None:
    served.edit("pipeline.py", 'return {"sent": promotion.version}', "return object()")
    served.edit("pipeline.py", "    print(", '    Path("template.txt").read_text()\n    print(')
    served.write("template.txt", "served")
    served.write("lineal.toml", '[project]\nname = "served"\nstrict = true\n')
    served.trained(1)
    move(served.root, 1)
    said = served.lineal("materialize", "deploy")
    assert said.code == 0, said.out + said.err
    assert len(served.deployed()) == 1
    assert "not kept: " in served.lineal("show", "deploy").out
    assert "Nothing to do" in served.lineal("materialize", "deploy").out


def test_a_name_that_is_nearly_a_registry_is_refused_and_another_one_is_not(
    served: Served,
) -> None:
    served.trained(1)
    move(served.root, 1)
    served.edit("pipeline.py", "delays@production", "delys@production")
    said = served.lineal("plan")
    assert said.code == 2
    assert "did you mean `delays`?" in said.err
    assert "pipeline.py:" in said.err
    served.edit("pipeline.py", "delys@production", "delays@prodction")
    assert "did you mean `production`?" in served.lineal("plan").err
    served.edit("pipeline.py", "delays@prodction", "forecasts")
    assert served.lineal("plan").code == 0
