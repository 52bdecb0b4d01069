"""Moves by hand in registries: each is a run of its own, written as one entry, or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from lineal.assets.errors import IntegrityError, UsageError, did_you_mean
from lineal.assets.names import check_alias, check_name
from lineal.assets.records import (
    SLICES,
    Fact,
    Hold,
    Materialization,
    Promotion,
    Registered,
    RunEnded,
    Score,
    StoredObject,
    Tagged,
)
from lineal.assets.registries import Registries, Registry, check_tags
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.registry import Registrar
from lineal.provenance import run_started

_NO_MODELS = ("parquet", SLICES, "files")  # formats of data


class Moment(NamedTuple):
    """When and by whom something is written: what the facts of one entry have in common."""

    number: int  # of the journal entry
    run: str
    who: str
    at: float


class Made(NamedTuple):
    """A move of an alias that was written."""

    promotion: Promotion
    registered: Registered
    is_new: bool  # it got its number with this move


@dataclass(frozen=True, slots=True)
class Registering:
    """Writes what people decide of registries; looks at no code of the project.

    Args:
        past: opens the past.
        intact: gives the path of an object, or raises IntegrityError.
        promotes: may aliases be moved in this environment?
    """

    root: Path
    journal: Journal
    past: Callable[[], History]
    intact: Callable[[StoredObject], Path]
    version: str
    environment: str
    promotes: bool = True

    # -------------------------------------------------------------------------------- the aliases

    def promote(self, name: str, alias: str, reason: str, source: str | None) -> Made:
        """Move an alias to a registered version, or to one of an asset, which is registered first.

        Raises:
            UsageError: there is no such version, or it is what the alias names.
        """
        check_alias(alias)
        self._check_promotes()
        reason = _told(reason)
        with closing(self.past()) as history:
            if source is None:
                return self._promote_registered(history, name, alias, reason)
            made = self._model(history, check_registry(history, name), source)

            def build(registries: Registries, now: Moment) -> Sequence[Fact]:
                registry = registries[name]
                known = registry.numbered(_content(made))
                registered = known or _registered(registry, made, now, ())
                move = self._move(registry, registered, alias, reason, now)
                return [move] if known is not None else [registered, move]

            return _made(*self._record(history, build))

    def _promote_registered(self, history: History, name: str, alias: str, reason: str) -> Made:
        if "@" not in name:
            raise _which(history.registries(), name)
        meant = history.registries().named(name)
        self._check_kept(history, meant.registered)

        def build(registries: Registries, now: Moment) -> Sequence[Fact]:
            registered = registries.named(name).registered
            registry = registries[registered.registry]
            if meant.alias is not None and registered.version != meant.registered.version:
                raise _moved_meanwhile(registry, meant.alias.alias)
            return [self._move(registry, registered, alias, reason, now)]

        return _made(*self._record(history, build))

    def rollback(self, name: str, alias: str, reason: str) -> Made:
        """Move an alias back to the version before; the one that it leaves is withdrawn.

        Raises:
            UsageError: there is none before.
        """
        self._check_promotes()
        reason = _told(reason)
        with closing(self.past()) as history:
            known = _known(history.registries(), name)
            back, seen = _before(known, alias), known.at(alias)
            self._check_kept(history, known.versions[back])

            def build(registries: Registries, now: Moment) -> Sequence[Fact]:
                registry = registries[name]
                if registry.at(alias) != seen:  # what it names now was not meant to be taken back
                    raise _moved_meanwhile(registry, alias)
                registered = registry.versions[back]
                return [self._moved(registry, registered, alias, reason, now, "rollback")]

            return _made(*self._record(history, build))

    def _move(
        self, registry: Registry, registered: Registered, alias: str, reason: str, now: Moment
    ) -> Promotion:
        at, number = registry.at(alias), registered.version
        if at is not None and at.version == number and number not in registry.withdrawn:
            raise UsageError(f"`{registry.name}@{alias}` is v{number} already")
        return self._moved(registry, registered, alias, reason, now, "person")

    def _moved(
        self,
        registry: Registry,
        registered: Registered,
        alias: str,
        reason: str,
        now: Moment,
        how: Literal["person", "rollback"],
    ) -> Promotion:
        at = registry.at(alias)
        return Promotion(
            id=f"p{now.number}",
            registry=registry.name,
            alias=alias,
            version=registered.version,
            previous=at.version if at is not None else None,
            environment=self.environment,
            run=now.run,
            who=now.who,
            reason=reason,
            scores=_last_scores(registry, registered.content),
            at=now.at,
            how=how,
        )

    def _check_promotes(self) -> None:
        if not self.promotes:
            raise UsageError(
                f"the environment {self.environment} does not promote: its aliases stay",
                advice="give one that does, `--env NAME`; or let this one, in lineal.toml:\n"
                f"  [environments.{self.environment}]\n  promote = true",
            )

    # ------------------------------------------------------------------------ versions, tags, holds

    def register(self, name: str, source: str, tags: Sequence[str]) -> Registered:
        """Give a version of an asset the next number; no alias moves.

        Raises:
            UsageError: there is no such version, it is no model, or it has a number.
        """
        tags = check_tags(tags)
        with closing(self.past()) as history:
            made = self._model(history, check_registry(history, name), source)

            def build(registries: Registries, now: Moment) -> Sequence[Fact]:
                registry = registries[name]
                known = registry.numbered(_content(made))
                if known is not None:
                    raise UsageError(
                        f"`{source}` is `{name}@v{known.version}` already: "
                        "a content has one number in a registry",
                        advice=f"lineal models promote {name} v{known.version}",
                    )
                return [_registered(registry, made, now, tags)]

            _, written = self._record(history, build)
            return next(fact for fact in written if isinstance(fact, Registered))

    def tag(self, name: str, add: Sequence[str], remove: Sequence[str]) -> Registered:
        """Add tags to a registered version, or take some away.

        Raises:
            UsageError: there is no such version, or its tags are so already.
        """
        added, taken = check_tags(add), set(check_tags(remove))
        with closing(self.past()) as history:
            if "@" not in name:
                raise _which(history.registries(), name)

            def build(registries: Registries, now: Moment) -> Sequence[Fact]:
                found = registries.named(name).registered
                tags = tuple(dict.fromkeys([*found.tags, *added]))
                tags = tuple(tag for tag in tags if tag not in taken)
                if tags == found.tags:
                    had = ", ".join(found.tags) or "none"
                    raise UsageError(f"`{name}` has these tags already: {had}")
                return [Tagged(found.registry, found.version, tags, now.run, now.who, now.at)]

            registries, _ = self._record(history, build)
            return registries.named(name).registered

    def hold(self, name: str, held: bool, reason: str) -> Hold:
        """Suspend promotion by gates, or let it go on.

        Raises:
            UsageError: there is no such registry, or it is so already.
        """
        reason = _told(reason)
        with closing(self.past()) as history:
            _known(history.registries(), name)

            def build(registries: Registries, now: Moment) -> Sequence[Fact]:
                standing = registries[name].hold
                if held and standing is not None:
                    told = f": {standing.reason}" if standing.reason else ""
                    raise UsageError(
                        f"`{name}` is held already, by {standing.who}{told}",
                        advice=f"lineal models release {name}",
                    )
                if not held and standing is None:
                    raise UsageError(f"`{name}` is not held: its gates promote")
                return [Hold(name, held, now.run, now.who, reason, now.at)]

            _, written = self._record(history, build)
            return next(fact for fact in written if isinstance(fact, Hold))

    # ------------------------------------------------------------------------------------ machinery

    def _record(
        self, history: History, build: Callable[[Registries, Moment], Sequence[Fact]]
    ) -> tuple[Registries, Sequence[Fact]]:
        """Write a whole run as one entry: what it decided is there with its end, or not at all."""
        started = run_started("", self.root, self.environment, 0, self.version)

        def entry(registries: Registries, number: int) -> Sequence[Fact]:
            now = Moment(number, f"r{number}", started.who, started.started_at)
            told = build(registries, now)
            ended = RunEnded(now.run, "done", {}, time.time())
            return [started._replace(run=now.run), *told, ended]

        return Registrar(self.journal, history).record(entry)

    def _model(self, history: History, registry: str, source: str) -> Materialization:
        """The version of an asset that is to be registered, its bytes checked."""
        from lineal.lineage.questions import resolve_version

        made = resolve_version(history, source)
        if made.content is None or made.content.format in _NO_MODELS:
            form = made.content.format if made.content is not None else "a failure"
            raise UsageError(
                f"`{source}` is no model: {form}",
                advice="what is registered is one value: an estimator, or parameters",
            )
        if made.outcome == "blocked":
            raise UsageError(
                f"`{source}` was refused by a check, so it is not registered in `{registry}`",
                advice=f"lineal show {source}    says which",
            )
        self._check_objects(made)
        return made

    def _check_kept(self, history: History, registered: Registered) -> None:
        made = history.materialization(registered.materialization)
        if made is None:
            return
        name = registered.registry
        try:
            self._check_objects(made)
        except IntegrityError as error:
            raise IntegrityError(
                f"{name} v{registered.version} can't be used: {error.message}",
                advice=f"lineal models promote {name} vN    another version\n{error.advice or ''}",
            ) from error

    def _check_objects(self, made: Materialization) -> None:
        """Nobody can use what is gone or damaged."""
        for stored in made.content.objects if made.content is not None else ():
            self.intact(stored)


def _told(reason: str) -> str:
    """A reason as it is recorded: one line of text, which terminals and tables can show."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())


def _made(registries: Registries, written: Sequence[Fact]) -> Made:
    promotion = next(fact for fact in written if isinstance(fact, Promotion))
    registered = registries[promotion.registry].versions[promotion.version]
    return Made(promotion, registered, any(isinstance(fact, Registered) for fact in written))


def check_registry(history: History, name: str) -> str:
    """The name itself, if a registry can have it.

    Raises:
        DefinitionError: it is no name. UsageError: it is an asset's.
    """
    if name not in history.registries() and history.asset_facts(check_name(name)) is not None:
        raise UsageError(
            f"`{name}` is an asset: a registry can't have its name",
            advice="give the registry another, such as what the model is for",
        )
    return name


def _known(registries: Registries, name: str) -> Registry:
    if name not in registries:
        registries.named(name)  # says which there are
    return registries[name]


def _which(registries: Registries, name: str) -> UsageError:
    versions = _known(registries, name).versions
    last = max(versions, default=1)
    return UsageError(
        f"which version of `{name}`?",
        advice=f"name one, such as `{name}@v{last}`, or a model: `--from ASSET`",
    )


def _before(registry: Registry, alias: str) -> int:
    back = registry.before(alias)
    if back is not None and back in registry.versions:
        return back
    if back is not None:
        raise IntegrityError(
            f"`{registry.name}@{alias}` was v{back}, and nothing is recorded of that",
            advice=f"lineal fsck    or name another: `lineal models promote {registry.name}@vN`",
        )
    at = registry.at(alias)
    if at is None:
        raise UsageError(
            f"`{registry.name}` has no alias `{alias}`{did_you_mean(alias, registry.aliases())}",
            advice=f"it has {', '.join(registry.aliases()) or 'none'}",
        )
    raise UsageError(
        f"`{registry.name}@{alias}` is v{at.version}, and there is none before to go back to",
        advice=f"move it: `lineal models promote {registry.name}@vN`",
    )


def _moved_meanwhile(registry: Registry, alias: str) -> UsageError:
    at = registry.at(alias)
    now = f"v{at.version}" if at is not None else "nothing"
    return UsageError(
        f"`{registry.name}@{alias}` was moved meanwhile: it is {now}",
        advice="look, and decide again: `lineal models`",
    )


def _registered(
    registry: Registry, made: Materialization, now: Moment, tags: Sequence[str]
) -> Registered:
    return Registered(
        registry.name,
        registry.next_number,
        made.asset,
        made.partition,
        made.id,
        _content(made),
        now.run,
        now.at,
        now.who,
        tuple(tags),
    )


def _content(made: Materialization) -> str:
    return made.content.digest if made.content is not None else ""


def _last_scores(registry: Registry, content: str) -> tuple[Score, ...]:
    """Those of the newest decision about a content."""
    about = [d for d in registry.decisions.values() if d.content == content]
    return max(about, key=lambda d: d.at).scores if about else ()
