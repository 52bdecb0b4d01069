"""Strongly connected components of a graph, innermost first, without recursion (Tarjan, 1972)."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def components(
    root: T, edges: Callable[[T], Sequence[tuple[str, T]]], done: Container[T]
) -> Iterator[list[T]]:
    """Every component reachable from `root`, each after all it leads to, but what is `done`."""
    index: dict[T, int] = {root: 0}
    low: dict[T, int] = {root: 0}
    stack: list[T] = [root]
    on_stack: set[T] = {root}
    work: list[tuple[T, Iterator[tuple[str, T]]]] = [(root, iter(edges(root)))]
    while work:
        node, rest = work[-1]
        for _, inner in rest:
            if inner not in index:
                if inner in done:
                    continue
                index[inner] = low[inner] = len(index)
                stack.append(inner)
                on_stack.add(inner)
                work.append((inner, iter(edges(inner))))
                break
            if inner in on_stack:
                low[node] = min(low[node], index[inner])
        else:
            work.pop()
            if work:
                outer = work[-1][0]
                low[outer] = min(low[outer], low[node])
            if low[node] == index[node]:
                found = [stack.pop()]
                while found[-1] != node:
                    found.append(stack.pop())
                on_stack.difference_update(found)
                yield found
