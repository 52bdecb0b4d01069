"""Environment facts: which distributions count, how versions show, when the cache is trusted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineal.assets.errors import SettingsError
from lineal.assets.records import EnvironmentFacts
from lineal.disk import kept
from lineal.packages import Packages, environment_facts, policies

ROOT = Path(__file__).parents[3]
LATER = 10_000_000_000  # nanoseconds: after the clock of any file system has moved on


class Site:
    """A folder of installed distributions, first on sys.path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def install(
        self,
        name: str,
        version: str,
        *requires: str,
        module: str | None = None,
        direct_url: object = None,
        record: str = "",
    ) -> None:
        for old in self.folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "top_level.txt").write_text(module or name)
        (info / "RECORD").write_text(record)
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(str(found.folder))
    return found


def facts(*imports: str, policy: object = "exact", cache: Path | None = None) -> EnvironmentFacts:
    known = Packages.look(cache, now=time.time_ns() + LATER)
    return known.facts(imports, (), policy)  # type: ignore[arg-type]


def versions(*imports: str, policy: object = "exact") -> dict[str, str]:
    return dict(facts(*imports, policy=policy).packages)


def test_what_reads_and_writes_tables_always_counts() -> None:
    assert set(versions()) == {"duckdb", "numpy", "pandas", "pyarrow"}


def test_a_module_counts_by_its_distribution_and_all_that_requires() -> None:
    found = versions("sklearn")
    assert {"scikit-learn", "joblib", "scipy", "threadpoolctl", "numpy"} <= set(found)


def test_requirements_count_transitively_and_extras_only_when_asked_for(site: Site) -> None:
    site.install("aa", "1.0", "Bb_b[fast]>=1; python_version<'3'", "never; extra == 'dev'")
    site.install("bb-b", "2.0", "cc; extra == 'fast'", "dd; extra == 'slow'")
    for name in ("cc", "dd", "never"):
        site.install(name, "3.0")
    found = versions("aa.sub")
    assert {"aa", "bb-b", "cc"} <= set(found)
    assert not {"dd", "never"} & set(found)


def test_a_module_may_have_another_name_than_its_distribution(site: Site) -> None:
    site.install("py-thing", "1.0", module="thing")
    assert versions("thing")["py-thing"] == "1.0"


def test_a_module_nobody_provides_is_recorded_as_unknown() -> None:
    assert versions("no_such_module")["?no_such_module"] == "unknown"
    assert "?json" not in versions("json")


@pytest.mark.parametrize(
    ("policy", "shown"),
    [("exact", "1.2.3"), ("minor", "1.2"), ("major", "1"), ({"aa": "minor"}, "1.2"),
     ({"policy": "major", "aa": "exact"}, "1.2.3")],
)  # fmt: skip
def test_the_policy_says_how_much_of_a_version_counts(
    site: Site, policy: object, shown: str
) -> None:
    site.install("aa", "1.2.3")
    assert versions("aa", policy=policy)["aa"] == shown


def test_an_ignored_distribution_is_left_out(site: Site) -> None:
    site.install("aa", "1.2.3")
    assert "aa" not in versions("aa", policy={"AA": "ignore"})
    with pytest.raises(SettingsError, match="did you mean `exact`"):
        policies("exct")


def test_another_version_another_digest(site: Site) -> None:
    site.install("aa", "1.2.3")
    before = facts("aa")
    site.install("aa", "1.2.4")
    assert facts("aa").digest != before.digest
    assert facts("aa", policy="minor").packages == facts("aa", policy={"*": "minor"}).packages


def test_an_editable_install_counts_by_its_code(site: Site, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "aa.py").write_text("RATE = 1\n")
    url = {"url": code.as_uri(), "dir_info": {"editable": True}}
    site.install("aa", "1.0", direct_url=url)
    before = versions("aa", policy="major")["aa"]
    assert before.startswith("1+local.")
    (code / "notes.txt").write_text("no code")
    assert versions("aa", policy="major")["aa"] == before
    (code / "aa.py").write_text("RATE = 2\n")
    assert versions("aa", policy="major")["aa"] != before


def test_an_install_from_a_folder_or_a_commit_counts_by_what_was_installed(site: Site) -> None:
    site.install("aa", "1.0", direct_url={"url": "file:///x", "dir_info": {}}, record="aa.py,1")
    before = versions("aa")["aa"]
    site.install("aa", "1.0", direct_url={"url": "file:///x", "dir_info": {}}, record="aa.py,2")
    assert versions("aa")["aa"] != before
    site.install("aa", "1.0", direct_url={"url": "x", "vcs_info": {"commit_id": "c0ffee"}})
    assert versions("aa")["aa"] == "1.0+from.c0ffee"


def test_variables_count_by_a_digest_of_their_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret-1")
    first = environment_facts([], ["TOKEN"], "exact", None)
    monkeypatch.setenv("TOKEN", "secret-2")
    second = environment_facts([], ["TOKEN"], "exact", None)
    monkeypatch.delenv("TOKEN")
    third = environment_facts([], ["TOKEN"], "exact", None)
    assert len({first.digest, second.digest, third.digest}) == 3
    assert [name for name, _ in first.variables] == ["LC_ALL", "TOKEN", "TZ"]
    assert "secret" not in repr(first)


def test_the_time_zone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    before = environment_facts([], [], "exact", None)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert environment_facts([], [], "exact", None).digest != before.digest


# --------------------------------------------------------------------------------------- cache


def test_the_cache_says_the_same_and_notices_what_is_installed(site: Site, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    site.install("aa", "1.0")
    first = facts("aa", cache=cache)
    assert (cache / "packages.json").exists()
    assert facts("aa", cache=cache) == first
    site.install("aa", "1.1")
    assert dict(facts("aa", cache=cache).packages)["aa"] == "1.1"


def test_metadata_changed_in_place_is_noticed(site: Site, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    site.install("aa", "1.0")
    facts("aa", cache=cache)
    metadata = site.folder / "aa-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.7"))
    assert dict(facts("aa", cache=cache).packages)["aa"] == "1.7"


def test_what_changed_a_moment_ago_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.install("aa", "1.0")
    Packages.look(tmp_path / "cache")
    assert not (tmp_path / "cache" / "packages.json").exists()


@pytest.mark.parametrize("damage", ["", "{}", "[1", '{"format": 1, "stamps": 3}'])
def test_a_damaged_cache_is_rebuilt(site: Site, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    site.install("aa", "1.0")
    first = facts("aa", cache=cache)
    (cache / "packages.json").unlink()
    (cache / "packages.json").write_text(damage)
    assert facts("aa", cache=cache) == first
    assert json.loads(kept(cache / "packages.json") or b"")["format"] == 1


def test_an_edited_cache_is_not_believed(site: Site, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    site.install("aa", "1.0.77")
    first = facts("aa", cache=cache)
    file = cache / "packages.json"
    edited = file.read_text().replace('"1.0.77"', '"9.9.99"')
    file.unlink()
    file.write_text(edited)
    assert facts("aa", cache=cache) == first


WARM = """
import sys
from pathlib import Path
from lineal.packages import environment_facts
found = environment_facts(["sklearn"], [], "exact", Path(sys.argv[1]))
print(found.digest, "importlib.metadata" in sys.modules)
"""


def test_a_warm_call_does_not_ask_the_metadata(tmp_path: Path) -> None:
    def ask() -> list[str]:
        command = [sys.executable, "-c", WARM, str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split()

    cold = ask()
    while not (tmp_path / "packages.json").exists():  # something was installed a moment ago
        time.sleep(0.5)
        cold = ask()
    assert ask() == [cold[0], "False"]
