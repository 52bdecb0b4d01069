"""Pools: places that steps share while they run. What assets want of them is checked here.  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lineal.assets.asset import Asset
from lineal.assets.errors import DefinitionError, did_you_mean


def pool_errors(
    assets: Iterable[Asset], pools: Mapping[str, int], origins: Mapping[str, str]
) -> list[DefinitionError]:
    """What is wrong with the pools that assets name.

    Args:
        pools: how many places each has, as the settings say.
        origins: where they say `pools.NAME`.
    """
    found = []
    for asset in assets:
        for pool, wanted in asset.pools:
            places = pools.get(pool)
            if places is None:
                message = f"no pool `{pool}`, of which `{asset.name}` takes {wanted}"
                message += did_you_mean(pool, pools)
                advice = f"define it in lineal.toml: [pools] {pool} = {wanted}"
            elif wanted > places:
                message = (
                    f"`{asset.name}` takes {wanted} places of the pool `{pool}`, which has {places}"
                )
                advice = f"it could never run: see {origins[f'pools.{pool}']}"
            else:
                continue
            found.append(DefinitionError(message, where=str(asset.where), advice=advice))
    return found
