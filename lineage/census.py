"""What the facts of a journal name: versions, the objects that hold them, and which are current."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from lineal.assets.records import StoredObject
from lineal.lineage.entries import Entry, json_object

_Place = tuple[int, int, int]  # number of its run, number of its entry, position
_MATERIALIZATION = b'"materialization"'  # what is published or retired names one, too
_RUN = b'"run_'  # started, ended
_PROMOTION = b'"fact":"promotion"'


class Version(NamedTuple):
    """One content of a step. Several materializations may have made or reused it."""

    asset: str
    partition: str | None
    digest: str  # of its content


class Making(NamedTuple):
    """The newest materialization that made a version, and the code it ran."""

    materialization: str
    run: str
    recipe: str


class _Shown(NamedTuple):
    """What an environment shows for a step; its objects, if the same entry told them."""

    place: _Place
    version: Version
    materialization: str
    objects: frozenset[StoredObject] | None


class Census:
    """The versions and objects that entries name. Holds no facts, so it stays small."""

    def __init__(self) -> None:
        self.through = 0  # the number of the last entry taken in
        self.entries = 0
        self.lost: list[int] = []  # entries that stand for lost ones
        self.holders: dict[StoredObject, list[Version]] = {}  # objects without their `path`
        self.versions: dict[Version, Making] = {}
        self.code: dict[StoredObject, list[str]] = {}  # the runs that ran the code kept in it
        self.registered: dict[Version, list[str]] = {}  # as which versions: `delays v3`
        self._numbers: dict[tuple[str, int], Version] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._shown: dict[tuple[str, str, str | None], _Shown] = {}
        self._retired: dict[tuple[str, str, str | None], _Place] = {}
        self._open_runs: list[str] = []  # those that began after the newest one that ended

    def take(self, entry: Entry) -> None:
        """Take in the next entry."""
        made: dict[str, frozenset[StoredObject]] = {}
        for position, line in enumerate(entry.lines):
            if _MATERIALIZATION in line or _RUN in line or _PROMOTION in line:  # a cheap look
                self._take(json.loads(line), (entry.number, position), made)
        if not entry.lines and json_object(entry.data.partition(b"\n")[0]).get("lost"):
            self.lost.append(entry.number)
        self.entries += 1
        self.through = entry.number

    def _take(
        self, raw: dict[str, Any], where: tuple[int, int], made: dict[str, frozenset[StoredObject]]
    ) -> None:
        match raw.get("fact"):
            case "materialization" if raw.get("content") is not None:
                made[raw["id"]] = self._made(raw)
            case "publication":
                self._published(raw, (_run(raw), *where), made)
            case "retirement":
                self._retire(raw, (_run(raw), *where))
            case "registered":
                version = Version(raw["asset"], raw.get("partition"), raw["content"])
                self._numbers[raw["registry"], raw["version"]] = version
                named = f"{raw['registry']} v{raw['version']}"
                self.registered.setdefault(version, []).append(named)
            case "promotion":
                self._aliases[raw["registry"], raw["alias"]] = raw["version"]
            case "run_started":
                self._open_runs.append(raw["run"])
                if raw.get("sources") is not None:
                    self.code.setdefault(_stored(raw["sources"]), []).append(raw["run"])
            case "run_ended":
                self._open_runs = [run for run in self._open_runs if int(run[1:]) > _run(raw)]

    def current(self) -> frozenset[Version]:
        """What the environments show."""
        return frozenset(shown.version for shown in self._shown.values())

    def live(self) -> frozenset[Version]:
        """What an alias of a registry names: it is served, whatever is current."""
        places = ((registry, number) for (registry, _), number in self._aliases.items())
        return frozenset(self._numbers[place] for place in places if place in self._numbers)

    def showing(self) -> Iterator[tuple[str, Version]]:
        """Each environment with each version that it shows."""
        return ((step[0], shown.version) for step, shown in self._shown.items())

    def shown(self) -> frozenset[str]:
        """The materializations that made, or reused, what the environments show."""
        return frozenset(shown.materialization for shown in self._shown.values())

    def without_end(self) -> tuple[str, ...]:
        """The newest runs, as far as they have no end: an older one that was cut off is history."""
        return tuple(self._open_runs)

    def named(self) -> tuple[StoredObject, ...]:
        """Every object that some fact names."""
        return (*self.holders, *(stored for stored in self.code if stored not in self.holders))

    def needed(self) -> frozenset[StoredObject]:
        """The objects of what the environments show or aliases name, without their `path`.

        A version may have been made twice, in other bytes: then only the newer ones are needed.
        """
        shown = {s.version for s in self._shown.values() if s.objects is None} | self.live()
        rest = {o for o, held in self.holders.items() if shown and not shown.isdisjoint(held)}
        return frozenset(rest.union(*(s.objects or () for s in self._shown.values())))

    def _made(self, raw: dict[str, Any]) -> frozenset[StoredObject]:
        content = raw["content"]
        version = Version(raw["asset"], raw.get("partition"), content["digest"])
        self.versions[version] = Making(raw["id"], raw["run"], raw["recipe"])
        objects = frozenset(map(_stored, content.get("objects", ())))
        for stored in objects:
            held = self.holders.setdefault(stored, [])
            if version not in held:
                held.append(version)
        return objects

    def _published(
        self, raw: dict[str, Any], place: _Place, made: dict[str, frozenset[StoredObject]]
    ) -> None:
        step = (raw["environment"], raw["asset"], raw.get("partition"))
        if self._counts(step, place):
            self._retired.pop(step, None)
            version = Version(*step[1:], raw["content"])
            name = raw["materialization"]
            self._shown[step] = _Shown(place, version, name, made.get(name))

    def _retire(self, raw: dict[str, Any], place: _Place) -> None:
        step = (raw["environment"], raw["asset"], raw.get("partition"))
        if self._counts(step, place):
            self._shown.pop(step, None)
            self._retired[step] = place

    def _counts(self, step: tuple[str, str, str | None], place: _Place) -> bool:
        """A run planned earlier never overrides one planned later, whenever it ends."""
        shown, retired = self._shown.get(step), self._retired.get(step)
        return (shown is None or place > shown.place) and (retired is None or place > retired)


def _stored(raw: dict[str, Any]) -> StoredObject:
    return StoredObject(raw["digest"], raw["suffix"], raw["bytes"])


def _run(raw: dict[str, Any]) -> int:
    """The number of the run that a fact belongs to."""
    return int(raw["run"][1:])
