"""Running several coroutines that belong together: they end together."""

import asyncio
from collections.abc import Coroutine


async def until_first(*coroutines: Coroutine[object, object, None]) -> None:
    """
    Run all until one ends, then cancel the others and wait for them.

    Raises what the first to fail raised; errors that only follow from it are dropped.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in ended:
            task.result()
