"""When Python looks for cyclic garbage among all that lives.

That stops every thread that runs Python, the one that reads publishers too, for as long as there are objects to look
at: 15 to 25 ms with a thousand pushes.  Left alone it happens when the number of objects grows, so in the middle of a
storm of starts.  Here it happens at the start, then once every FULL_S.  Young garbage is collected as ever, and what
has outlived that sooner than Python would: then there is less to look at each time.
"""

from __future__ import annotations

import asyncio
import gc

# Pushes, streams and requests leave no cycles; what libraries leave at times may lie this long.
FULL_S = 900.0
_NEVER = 2**31 - 1
# Young collections between two of what has outlived them; with Python's 10 each of these takes 3 ms in a storm.
MIDDLE = 2


def settle() -> None:
    """Once all is set up: what was made until now, modules above all, is not looked at again."""
    gc.collect()
    gc.freeze()
    young, _, _ = gc.get_threshold()
    gc.set_threshold(young, MIDDLE, _NEVER)


async def collect_at_times() -> None:
    """Look through everything every FULL_S, until cancelled."""
    while True:
        await asyncio.sleep(FULL_S)
        gc.collect()
