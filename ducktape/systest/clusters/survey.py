"""What the nodes of an ssh cluster are like, before anything runs on them: one look at all of them at once.

It finds out in seconds, and says in a sentence, what would otherwise fail some test in the middle: a node that is
gone, a key that is refused, another harness, no Java, a clock that is far off.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ducktape.cluster.remoteaccount import RemoteAccountError, RemoteCommandError

from systest.clusters.clock import Skew, skew
from systest.clusters.ssh import SshAccount
from systest.clusters.watch import Hello
from systest.distribution import Distribution, DistributionUnavailable

_A = TypeVar("_A")
_T = TypeVar("_T")

_CLOCK_SAMPLES = 8
_ENSURE_LIMIT_S = 600.0
_PARALLEL_MAX = 32
_THREADS_END_S = 5.0
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A node that can be used.

    Args:
        name: of the node.
        hello: what it says of itself.
        distribution: what Kafka would run from there.
        skew: of its clock.
    """

    name: str
    hello: Hello
    distribution: Distribution
    skew: Skew


class NotUsable(Exception):
    """Nodes that can't be used, each with its reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


def survey(accounts: Sequence[SshAccount]) -> list[Surveyed]:
    """Looks at every node, and leaves no connection. Raises NotUsable with every node that can't be used."""

    def look(account: SshAccount) -> Surveyed | str:
        try:
            hello = account.hello
            samples = [account.clock_ns() for _ in range(_CLOCK_SAMPLES)]
            return Surveyed(str(account.hostname), hello, distribution_on(account), skew(samples))
        except (RemoteAccountError, DistributionUnavailable) as error:
            return str(error)
        finally:
            account.close()

    threads = _threads()
    looks = in_parallel(look, accounts, interrupt)
    deadline_s = time.monotonic() + _THREADS_END_S
    while not _threads() <= threads and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    if reasons := [each for each in looks if isinstance(each, str)]:
        raise NotUsable(reasons)
    return [each for each in looks if isinstance(each, Surveyed)]


def interrupt(account: SshAccount) -> None:
    """For `in_parallel`: ends what a thread waits for on a node."""
    account.give_up("the wait for it was interrupted")


def _threads() -> set[str]:
    """This process's threads as the system sees them; none where it does not tell.

    A thread that spoke ssh may hold one of OpenSSL's locks for a moment after it was joined, and a runner forks.
    """
    tasks = Path("/proc/self/task")
    return {path.name for path in tasks.iterdir()} if tasks.exists() else set()


def notes_on(nodes: Sequence[Surveyed], where: str | None = None) -> list[str]:
    """Sentences that belong in the results of a run on these nodes.

    Args:
        nodes: that it runs on.
        where: they are, as whoever made them says; None for machines of their own.
    """
    if where is None:
        kinds = Counter(node.hello.machine for node in nodes)
        of_what = ", ".join(f"{count} of {machine}" for machine, count in kinds.items())
        where = f"on other machines than the one that is named here: {of_what}"
    return [
        f"Brokers and producers ran {where}.",
        *(
            f"The clock of {node.name} is {node.skew} ahead of the driver's; logs of the two don't compare, "
            "and no figure compares them."
            for node in nodes
            if node.skew.is_certain
        ),
    ]


def distribution_on(account: Any) -> Distribution:
    """What Kafka runs from on a node; fetched there if need be. Raises DistributionUnavailable naming the node."""
    try:
        answer = account.ssh_output(
            f"{shlex.quote(account.python)} -m systest.distribution ensure --json",
            combine_stderr=False,
            timeout_sec=_ENSURE_LIMIT_S,
        )
    except RemoteCommandError as error:
        said = (
            error.msg.decode(errors="replace") if isinstance(error.msg, bytes) else str(error.msg)
        ).strip()
        reason = said.splitlines()[-1] if said else f"status {error.exit_status}"
        raise DistributionUnavailable(f"{account.hostname}: {reason}") from error
    return Distribution.from_json(answer.decode())


def in_parallel(
    do: Callable[[_A], _T], items: Iterable[_A], interrupt: Callable[[_A], None] | None = None
) -> list[_T]:
    """`do` for each item at once; returns when all have ended, raising the first item's error if any.

    Args:
        do: what is done.
        items: what it is done for.
        interrupt: makes `do` end early for an item, if this is to end early, as by Ctrl-C.
    """
    todo = list(items)
    if not todo:
        return []
    with ThreadPoolExecutor(min(len(todo), _PARALLEL_MAX), thread_name_prefix="node") as pool:
        try:
            return list(pool.map(do, todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            if interrupt is not None:  # or the threads would wait for their nodes, and this for the threads
                for item in todo:
                    interrupt(item)
            raise
