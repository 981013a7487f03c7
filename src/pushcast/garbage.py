"""When Python looks for cyclic garbage among all that lives.

That stops every thread that runs Python, the one that reads publishers too, for as long as there are objects to look
at: 15 to 25 ms with a thousand pushes.  Left alone it happens when the number of objects grows, so in the middle of a
storm of starts.  Here it happens at the start, then once every FULL_S; young garbage is collected as ever.
"""

from __future__ import annotations

import asyncio
import gc

# Pushes, streams and requests leave no cycles; what libraries leave at times may lie this long.
FULL_S = 900.0
_NEVER = 2**31 - 1


def settle() -> None:
    """Once all is set up: what was made until now, modules above all, is not looked at again."""
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


async def collect_at_times() -> None:
    """Look through everything every FULL_S, until cancelled."""
    while True:
        await asyncio.sleep(FULL_S)
        gc.collect()
