"""Lists of cases struck in lanes side by side, and what the model's own counters say afterwards."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.tenant_runtime.lanes import STEPS, Case, Lane, lane_started
from tests.tenant_runtime.preloaded import forge_started
from tests.tenant_runtime.support import ModelProcess, model_started

CASES = [
    Case("runtime.tool.intent", "post", asks=True),
    Case("runtime.tool.dispatched", "post", asks=True),
    Case("runtime.tool.done", "post", asks=False),
    Case("runtime.checkpoint.before", "post", asks=False),
    Case("runtime.tool.intent", "post_idempotent", asks=False),
    Case("runtime.tool.dispatched", "post_idempotent", asks=False),
    Case("runtime.chat.intent", "post", asks=False),
    Case("runtime.chat.dispatched", "post", asks=False),
    Case("runtime.chat.done", "post", asks=False),
]
Report = dict[str, Any]
Strike = Callable[[Lane, Case, int], Report]
#: Told of each strike that held, so that an hour of them outlives the one that did not.
Kept = Callable[[Report], None]


def _unkept(_: Report) -> None:
    """Only the list at the end is wanted."""


def killed_in_lanes(
    folder: Path,
    new_database: Callable[[], str],
    cases: Sequence[Case],
    *,
    lanes: int,
    kept: Kept = _unkept,
) -> list[Report]:
    """A worker killed for each case; one report each."""
    with lanes_started(folder, new_database, lanes) as (opened, model):
        report = _struck(opened, cases, lambda lane, case, number: lane.killed(case, f"kill{number}"), kept)
    # The endpoint has served one call more where a worker died before it could keep the answer.
    in_vain = sum(case.point == "runtime.chat.dispatched" for case in cases)
    assert model["chat_calls"] == STEPS * len(cases) + in_vain
    return report


def paused_in_lanes(
    folder: Path,
    new_database: Callable[[], str],
    cases: Sequence[Case],
    *,
    lanes: int,
    kept: Kept = _unkept,
) -> list[Report]:
    """A worker stopped, and woken when it has lost its run, for each case; every other one within the next step."""

    def strike(lane: Lane, case: Case, number: int) -> Report:
        # A run that waits for a person is over: nobody is within a step of it.
        within = not case.asks and (number // len(CASES) + number) % 2 == 0
        return lane.paused(case, f"pause{number}", within=within)

    with lanes_started(folder, new_database, lanes) as (opened, _):
        return _struck(opened, cases, strike, kept)


@contextmanager
def lanes_started(
    folder: Path, new_database: Callable[[], str], number: int, *, plant: str = ""
) -> Iterator[tuple[list[Lane], dict[str, int]]]:
    """The lanes, and a dictionary that holds the model's counters once all is over."""
    counters: dict[str, int] = {}
    with ExitStack() as stack:
        forge = stack.enter_context(forge_started(folder))
        model: ModelProcess = stack.enter_context(model_started())
        stack.callback(lambda: counters.update(model.counters()))
        yield (
            [
                stack.enter_context(
                    lane_started(folder / f"lane{n}", new_database(), forge, model, plant=plant)
                )
                for n in range(number)
            ],
            counters,
        )


def _struck(lanes: list[Lane], cases: Sequence[Case], strike: Strike, kept: Kept) -> list[Report]:
    """Each lane takes the next case when it is through with one; the first that fails ends all of them."""
    waiting: queue.SimpleQueue[tuple[int, Case]] = queue.SimpleQueue()
    for numbered in enumerate(cases):
        waiting.put(numbered)
    report: list[Report] = []
    failed: list[BaseException] = []

    def worked(lane: Lane) -> None:
        while not failed:
            try:
                number, case = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                line = strike(lane, case, number)
                report.append(line)
                kept(line)
            except BaseException as error:
                failed.append(error)
                raise

    with ThreadPoolExecutor(len(lanes)) as pool:
        for lane in [pool.submit(worked, lane) for lane in lanes]:
            lane.result()
    return report
