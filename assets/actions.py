"""Actions: which moves of its alias one has still to run for, and what is told of that.  PURE"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lineal.assets.asset import Action, Asset
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.facts import Acted, Facts
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.promoted import Promoted
from lineal.assets.records import REPLACED, Materialization, Promotion, Reason, Used
from lineal.assets.verdicts import Decision, Fresh, Pending, Stale

_NOTED = ("promotion", "registry", "alias", "version", "previous")


def decide_action(asset: Asset, facts: Facts) -> Decision:
    """The verdict on an action: the oldest move that it has still to run for, if there is one."""
    current = facts.past.current(asset.name, None)
    fresh = Decision(Fresh(), "none", kept={} if current is None else {asset.name: current})
    if asset.action is None or not facts.promotes:
        return fresh
    moves = facts.registries[asset.action.registry].moves(asset.action.alias)
    todo = moves[_first(asset, moves, facts) :]
    why = _given_up(asset, moves, todo, facts)
    forced = None in facts.forced.get(asset.name, ()) and asset.name not in facts.acted
    if forced and moves:
        todo, why = todo or moves[-1:], (*why, Reason("forced"))
    if not todo:
        return fresh
    move = todo[0]
    return Decision(
        Stale((Reason("promoted", _in_turn(todo)), *why)),
        "compute",
        tuple(_used(asset.action, move, facts)),
        {asset.name: _fingerprint(asset, move.id, facts)},
        promotion=move,
    )


def waiting(
    graph: Graph,
    step: Step,
    decision: Decision,
    decisions: Mapping[Step, Decision],
    facts: Facts,
) -> Decision:
    """The verdict in a plan: gates that are decided before may move the alias of an action."""
    action = graph.assets[step.asset].action
    if action is None or decision.action != "none" or not facts.promotes:
        return decision
    gates = graph.after.get(step.asset, ())
    open_ = (d.action not in ("none", "blocked") for s, d in decisions.items() if s.asset in gates)
    return Decision(Pending((_named(action),)), "wait") if any(open_) else decision


def told_of(made: Materialization) -> str:
    """`promotion p43 of delays v4`; of what is no action, nothing."""
    noted = move_of(made)
    if noted is None:
        return ""
    return f"promotion {noted['promotion']} of {noted['registry']} v{noted['version']}"


def noted(move: Promotion) -> dict[str, Any]:
    """What the record of an action says of the move that it ran for."""
    return {
        "promotion": move.id,
        "registry": move.registry,
        "alias": move.alias,
        "version": move.version,
        "previous": move.previous,
    }


def move_of(made: Materialization) -> dict[str, Any] | None:
    """The same, as it is recorded; of what is no action, None."""
    if made.kind != "action":
        return None
    return {key: made.metadata[key] for key in _NOTED}


def handed(
    asset: Asset, decision: Decision, facts: Facts, look: Callable[[str], Materialization | None]
) -> Promoted | None:
    """What a worker needs to tell the function of the move; None for what is no action.

    Args:
        look: gives the materialization of an id, of this very run too.
    """
    move = decision.promotion
    if asset.action is None or move is None:
        return None
    registered = facts.registries[move.registry].versions.get(move.version)
    made = None if registered is None else look(registered.materialization)
    return Promoted(asset.action.parameter, move, None if made is None else made.content)


def acted_on(facts: Facts, decision: Decision, step: Step, *, done: bool) -> Mapping[str, Acted]:
    """What this run has done of its actions, after one more attempt."""
    if decision.promotion is None:
        return facts.acted
    return {**facts.acted, step.asset: Acted(decision.promotion.id, done)}


# ------------------------------------------------------------------------------ what is still to do


def _first(asset: Asset, moves: Sequence[Promotion], facts: Facts) -> int:
    """The place of the first move that it has to run for; `len(moves)`: of none.

    All before the last one that it ran for is dealt with: moves are taken in order, and one for
    which it failed is given up once there is a newer one.
    """
    first = _after_the_last_attempt(asset, moves, facts)
    if _of_a_lost_move(asset, moves, facts):
        return first  # the outside is where no record is: it is put back
    for place in range(len(moves) - 1, first - 1, -1):
        if facts.past.by_fingerprint(_fingerprint(asset, moves[place].id, facts)):
            return place + 1  # another process, or another environment
    return first


def _after_the_last_attempt(asset: Asset, moves: Sequence[Promotion], facts: Facts) -> int:
    if not moves:
        return 0
    places = {move.id: place for place, move in enumerate(moves)}
    acted = facts.acted.get(asset.name)
    if acted is not None and acted.promotion in places:
        return places[acted.promotion] + 1
    last = facts.past.last(asset.name, None)
    if last is None:
        return _beginning(asset, moves, facts)
    place = places.get(_attempted(asset, last))
    if place is None:  # for another alias, or with stand-ins
        return len(moves) - 1
    again = last.outcome == "failed" and place == len(moves) - 1
    return place if again else place + 1


def _of_a_lost_move(asset: Asset, moves: Sequence[Promotion], facts: Facts) -> bool:
    """Did it run last for a move of this alias that a damaged journal has lost?"""
    last, action = facts.past.last(asset.name, None), asset.action
    if last is None or action is None or asset.name in facts.acted:
        return False
    attempted = _attempted(asset, last)
    told = (last.metadata.get("registry"), last.metadata.get("alias"))
    own = told == (action.registry, action.alias)
    return bool(attempted) and own and bool(moves) and all(m.id != attempted for m in moves)


def _attempted(asset: Asset, made: Materialization) -> str:
    """The id of the move for which this was tried in earnest; else nothing."""
    move = str(made.metadata.get("promotion", ""))
    return move if made.fingerprint == _plain_fingerprint(asset, move) else ""


def _beginning(asset: Asset, moves: Sequence[Promotion], facts: Facts) -> int:
    """One that never ran begins with where the alias is now; but a run that was broken off may have
    been in the middle of it, and there it goes on.
    """
    since = facts.past.broken_off(asset.name)
    if since is not None:
        moves = [move for move in moves if int(move.id[1:]) < since] or moves[:1]
    return len(moves) - 1


def _given_up(
    asset: Asset, moves: Sequence[Promotion], todo: Sequence[Promotion], facts: Facts
) -> tuple[Reason, ...]:
    """The last move for which it failed, if it is left alone for a newer one."""
    acted, last = facts.acted.get(asset.name), facts.past.last(asset.name, None)
    if acted is not None:
        failed = "" if acted.done else acted.promotion
    else:
        failed = _attempted(asset, last) if last is not None and last.outcome == "failed" else ""
    given_up = next((m for m in moves if m.id == failed and m not in todo), None)
    if given_up is None or not todo:
        return ()
    return (Reason("given_up", f"{_promotion(given_up)}: it failed, and there is a newer one"),)


def _fingerprint(asset: Asset, move: str, facts: Facts) -> str:
    """Of an action and a move, nothing else; but what stood-in resources do is never its own."""
    recipe = facts.recipes.get(asset.name)
    replaced = recipe is not None and any(part.value == REPLACED for part in recipe.parts)
    if recipe is None or not replaced:
        return _plain_fingerprint(asset, move)
    return digest_of((SCHEME, "action", asset.name, move, recipe.digest))


def _plain_fingerprint(asset: Asset, move: str) -> str:
    return digest_of((SCHEME, "action", asset.name, move))


# ----------------------------------------------------------------------------- what is told of it


def _promotion(move: Promotion) -> str:
    return f"promotion {move.id} of {move.registry} v{move.version}"


def _in_turn(moves: Sequence[Promotion]) -> str:
    """`promotion p43 of delays v3, then p44 of v4`."""
    return ", then ".join(
        [_promotion(moves[0]), *(f"{move.id} of v{move.version}" for move in moves[1:])]
    )


def _named(action: Action) -> str:
    return f"{action.registry}@{action.alias}"


def _used(action: Action, move: Promotion, facts: Facts) -> Iterator[Used]:
    """The model, as what the action reads: its lineage goes on to it."""
    found = facts.registries[move.registry].versions.get(move.version)
    if found is not None:
        read = (found.asset, found.partition, "all", found.content, found.content)
        yield Used(action.parameter, *read, found.materialization)
