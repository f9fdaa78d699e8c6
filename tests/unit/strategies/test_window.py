"""The window of an asyncio caller forgets no record, whenever its future is settled."""

from __future__ import annotations

import asyncio

from systest.strategies.pipeline import _Window
from systest.worker.recorder import Recorder, Taker, outcome_of

RECORDS = 10


class SettledOnceAsked(asyncio.Future[None]):
    """As if another thread settled it right after it was asked, as confluent's AIOProducer may."""

    def done(self) -> bool:
        was_done = super().done()
        if not was_done:
            self.set_result(None)
        return was_done


async def test_look__futures_settled_by_another_thread_meanwhile__each_is_learned_once() -> None:
    learned: list[int] = []
    recorder = Recorder(RECORDS, identify=False)
    take = Taker(
        one=lambda sequence, _: learned.append(sequence),
        row=lambda first, reports: learned.extend(range(first, first + len(reports))),
    )
    window = _Window(recorder, take, outcome_of, in_flight_max=RECORDS)
    window.open_group().update(enumerate(SettledOnceAsked() for _ in range(RECORDS)))
    early = asyncio.get_running_loop().create_future()
    early.set_result(None)
    window.open_group()[RECORDS] = early
    window.look(at_all=True)
    assert learned == [RECORDS]
    window.look(at_all=True)
    assert sorted(learned) == list(range(RECORDS + 1))
