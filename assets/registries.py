"""Registries of models: the facts of versions, aliases, holds and decisions, folded.  PURE"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lineal.assets.errors import IntegrityError, UsageError, did_you_mean
from lineal.assets.records import (
    Decided,
    Fact,
    Hold,
    Materialization,
    Promotion,
    Registered,
    Tagged,
)

PRODUCTION = "production"  # the alias unless another is said

WOULD = ("would open", "would close")  # decided where nothing is promoted
PASSING = (*WOULD, "held")  # outcomes that settle nothing for good

_NUMBERED = re.compile(r"v([0-9]+)\Z")

_TAG = re.compile(r"[^\s,@]+\Z")

RegistryFact = Registered | Tagged | Hold | Decided | Promotion


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags themselves, each once.

    Raises:
        UsageError: one can't be a tag.
    """
    for tag in tags:
        if not _TAG.match(tag):
            raise UsageError(f"`{tag}` is no tag", advice="give a word, such as `weekly`")
    return tuple(dict.fromkeys(tags))


@dataclass(frozen=True, slots=True)
class Registry:
    """What is known of one registry.

    Attributes:
        versions: by number, with the tags they have now.
        promotions: every move of an alias, oldest first.
        withdrawn: versions that a person took back; by the promotion that did so.
        hold: the fact by which it is held, if it is.
        decisions: what gates decided, by key: the newest of each.
    """

    name: str
    versions: Mapping[int, Registered] = field(default_factory=dict)
    promotions: tuple[Promotion, ...] = ()
    withdrawn: Mapping[int, Promotion] = field(default_factory=dict)
    hold: Hold | None = None
    decisions: Mapping[str, Decided] = field(default_factory=dict)

    def moves(self, alias: str) -> tuple[Promotion, ...]:
        """Every move of one alias, oldest first."""
        return tuple(p for p in self.promotions if p.alias == alias)

    def at(self, alias: str) -> Promotion | None:
        """The move that put the alias where it is; None if it names nothing yet."""
        return next((p for p in reversed(self.promotions) if p.alias == alias), None)

    def aliases(self) -> dict[str, Promotion]:
        """Where each alias is, by name."""
        return {p.alias: p for p in self.promotions}

    def aliases_at(self, version: int) -> list[str]:
        """The aliases that are at a version."""
        return [alias for alias, move in self.aliases().items() if move.version == version]

    def numbered(self, content: str) -> Registered | None:
        """The registered version that has this content."""
        return next((v for v in self.versions.values() if v.content == content), None)

    @property
    def next_number(self) -> int:
        """One that nothing ever had, though a damaged journal may have lost who had it."""
        moved = (p.version for p in self.promotions)
        decided = (d.version for d in self.decisions.values() if d.version is not None)
        return max((*self.versions, *moved, *decided), default=0) + 1

    def before(self, alias: str) -> int | None:
        """The version to which the alias goes back: that before, left out what is withdrawn."""
        stack: list[int] = []
        for move in self.moves(alias):
            if move.how == "rollback":
                while stack and stack[-1] != move.version:
                    stack.pop()
            if not stack or stack[-1] != move.version:
                stack.append(move.version)
        now = stack[-1] if stack else None
        earlier = (v for v in reversed(stack) if v != now and v not in self.withdrawn)
        return next(earlier, None)

    def decided_on(self, made: Materialization) -> Decided | None:
        """What was decided last on these very scores."""
        own = [d for d in self.decisions.values() if d.materialization in (made.id, made.origin)]
        return max(own, key=lambda each: each.at, default=None)

    def after(self, facts: Iterable[RegistryFact]) -> Registry:
        """The same, after more facts about it."""
        versions, withdrawn = dict(self.versions), dict(self.withdrawn)
        promotions, decisions, hold = list(self.promotions), dict(self.decisions), self.hold
        for fact in facts:
            match fact:
                case Registered():
                    versions[fact.version] = fact
                case Tagged() if fact.version in versions:
                    versions[fact.version] = versions[fact.version]._replace(tags=fact.tags)
                case Hold():
                    hold = fact if fact.held else None
                case Decided() if not _settled(decisions.get(fact.key), fact):
                    decisions[fact.key] = fact
                case Promotion():
                    promotions.append(fact)
                    _withdraw(withdrawn, fact)
        return Registry(self.name, versions, tuple(promotions), withdrawn, hold, decisions)


def _settled(before: Decided | None, said: Decided) -> bool:
    """What is said where nothing is promoted leaves what was decided."""
    return said.outcome in WOULD and before is not None and before.outcome not in PASSING


def _withdraw(withdrawn: dict[int, Promotion], move: Promotion) -> None:
    """What a person promotes is withdrawn no more; what is rolled back from, is."""
    withdrawn.pop(move.version, None)
    if move.how == "rollback" and move.previous is not None and move.previous != move.version:
        withdrawn[move.previous] = move


class Named(NamedTuple):
    """A registered version as somebody named it; `alias`: the move by which it has that name."""

    registered: Registered
    alias: Promotion | None = None


class Registries(Mapping[str, Registry]):
    """All registries by name; one of which nothing is known is an empty one."""

    def __init__(self, facts: Iterable[RegistryFact] = ()) -> None:
        self._known: dict[str, Registry] = {}
        self._take(facts)

    def _take(self, facts: Iterable[RegistryFact]) -> None:
        of: dict[str, list[RegistryFact]] = {}
        for fact in facts:
            of.setdefault(fact.registry, []).append(fact)
        for name, each in of.items():  # all at once: there may be many decisions
            self._known[name] = self[name].after(each)

    def __getitem__(self, name: str) -> Registry:
        return self._known.get(name) or Registry(name)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def names(self, asset: str, content: str) -> list[str]:
        """The names of a version of an asset: `delays@v3`, `delays@production`."""
        found = []
        for registry in self._known.values():
            known = registry.numbered(content)
            if known is not None and known.asset == asset:
                found.append(f"{registry.name}@v{known.version}")
                found += [
                    f"{registry.name}@{alias}" for alias in registry.aliases_at(known.version)
                ]
        return found

    def told(self, asset: str, contents: Iterable[str]) -> str:
        """How versions of an asset are registered: `delays v3, production`, `delays v1, v2`."""
        digests, found = set(contents), []
        for registry in self._known.values():
            numbers = sorted(
                v.version
                for v in registry.versions.values()
                if v.asset == asset and v.content in digests
            )
            words = [w for n in numbers for w in (f"v{n}", *registry.aliases_at(n))]
            if words:
                found.append(f"{registry.name} {', '.join(words)}")
        return "  ".join(found)

    def after(self, facts: Iterable[Fact]) -> Registries:
        """The same, after these facts; those of no registry say nothing."""
        found = Registries()
        found._known.update(self._known)
        found._take(fact for fact in facts if isinstance(fact, RegistryFact))
        return found

    def named(self, text: str) -> Named:
        """The version that a text means: `delays@v3`, `delays@production`; `delays` is the latter.

        Raises:
            UsageError: there is no such registry, version or alias.
            IntegrityError: the journal has lost what the alias names.
        """
        name, _, at = text.partition("@")
        if name not in self:
            known = ", ".join(sorted(self)) or "none yet: a gate registers what it lets through"
            raise UsageError(
                f"there is no registry `{name}`{did_you_mean(name, list(self))}",
                advice=f"registries: {known}",
            )
        registry = self[name]
        number = _NUMBERED.match(at)
        if number is not None:
            found = registry.versions.get(int(number[1]))
            if found is None:
                raise UsageError(f"`{name}` has no version {at}", advice=_there(registry))
            return Named(found)
        alias = at or PRODUCTION
        move = registry.at(alias)
        if move is None:
            raise _no_alias(registry, alias, asked=bool(at))
        registered = registry.versions.get(move.version)
        if registered is None:
            raise IntegrityError(
                f"`{name}@{alias}` is v{move.version}, and nothing is recorded of that",
                advice="lineal fsck",
            )
        return Named(registered, move)


def _there(registry: Registry) -> str:
    """Which versions there are; a damaged journal may have lost some."""
    last = max(registry.versions, default=0)
    if not last:
        return "none was registered yet"
    lost = [f"v{n}" for n in range(1, last) if n not in registry.versions]
    told = "it has v1" if last == 1 else f"it has v1 to v{last}"
    return f"{told}; nothing is recorded of {', '.join(lost)}" if lost else told


def _no_alias(registry: Registry, alias: str, *, asked: bool) -> UsageError:
    known = registry.aliases()
    if not asked and not known:
        last = max(registry.versions, default=0)
        return UsageError(
            f"`{registry.name}` has nothing in production yet",
            advice=f"name a version: `{registry.name}@v{last}`"
            if last
            else "no version of it was registered yet",
        )
    return UsageError(
        f"`@{alias}`: `{registry.name}` has no alias `{alias}`{did_you_mean(alias, known)}",
        advice=f"it has {', '.join(known) or 'none'}, and versions such as "
        f"`{registry.name}@v{max(registry.versions, default=1)}`",
    )
