"""A crowd passes a few in each turn, in order, and who comes alone does not wait."""

from __future__ import annotations

import asyncio

import pytest

from pushcast.turnstile import Turnstile


async def test_a_crowd_passes_a_few_in_each_turn_and_in_order() -> None:
    turnstile = Turnstile(3)
    passed: list[tuple[int, int]] = []
    turn = 0

    async def come(number: int) -> None:
        await turnstile.enter()
        passed.append((turn, number))

    crowd = [asyncio.create_task(come(number)) for number in range(10)]
    while len(passed) < len(crowd):
        await asyncio.sleep(0)
        turn += 1
        assert turn < 50
    assert [number for _, number in passed] == list(range(10))
    turns = [when for when, _ in passed]
    assert max(turns.count(when) for when in turns) == 3
    assert len(set(turns)) == 4


async def test_who_comes_alone_does_not_wait() -> None:
    turnstile = Turnstile(1)
    for _ in range(3):
        entering = turnstile.enter()
        with pytest.raises(StopIteration):
            entering.send(None)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_who_gives_up_takes_nobodys_place() -> None:
    turnstile = Turnstile(1)
    await turnstile.enter()
    impatient, patient = asyncio.create_task(turnstile.enter()), asyncio.create_task(turnstile.enter())
    impatient.cancel()
    await asyncio.wait_for(patient, 1)
    assert impatient.cancelled()
