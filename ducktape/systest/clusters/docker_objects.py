"""What a run has in Docker's engine, known by a label: containers with their volumes, and a network.

`remove` leaves nothing of a run; `remove_abandoned` does it for runs of this machine whose runner is gone and whose
reaper could not, as after the machine went down.
"""

from __future__ import annotations

import contextlib
import time

from systest.clusters.engine import CommandFailed, Engine
from systest.clusters.owner import Owner
from systest.clusters.place import PlaceUnavailable

_RUN_LABEL = "systest.run"
_OWNER_LABEL = "systest.owner"
# A kind of thing, what lists it, and what removes some at once; containers first, since they hold the network.
_KINDS = (
    ("container", ("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
    ("network", ("network", "ls", "--quiet"), ("network", "rm")),
)
_LIMIT_S = 60.0
_MOMENT_S = 5.0
_SWEEP_S = 0.3


def labels(run_id: str, owner: Owner) -> tuple[str, ...]:
    """Arguments by which Docker's client marks what it makes."""
    return ("--label", f"{_RUN_LABEL}={run_id}", "--label", f"{_OWNER_LABEL}={owner.label()}")


def remove(engine: Engine) -> None:
    """Removes all that the engine has of its run. Raises PlaceUnavailable if it is still there after a minute."""
    deadline_s = time.monotonic() + _LIMIT_S
    while left := _left(engine, deadline_s):
        if time.monotonic() > deadline_s:
            what = ", ".join(f"{kind} {identity}" for kind, found in left.items() for identity in found)
            raise PlaceUnavailable(
                f"Docker has not removed all of a run in {_LIMIT_S:.0f} s, and still has {what}; see docker ps --all "
                f"--filter label={_RUN_LABEL}={engine.run_id}"
            )
        for kind, _, removal in _KINDS:
            if kind in left:
                # Gone meanwhile, or still in use by a container that is going: the next sweep shows.
                with contextlib.suppress(CommandFailed):
                    engine.ask(*removal, *left[kind], limit_s=_rest_s(deadline_s))
        time.sleep(_SWEEP_S)


def remove_abandoned(engine: Engine) -> None:
    """Removes what runs of this machine left whose runner is gone."""
    form = f'{{{{.Label "{_RUN_LABEL}"}}}} {{{{.Label "{_OWNER_LABEL}"}}}}'
    found = set()
    for command in (("ps", "--all"), ("network", "ls")):
        found |= set(engine.ask(*command, "--filter", f"label={_RUN_LABEL}", "--format", form).splitlines())
    for line in found:
        run_id, _, owner = line.partition(" ")
        if _is_gone(owner):
            remove(Engine(run_id))


def _is_gone(owner: str) -> bool:
    try:
        return Owner.from_label(owner).is_gone()
    except ValueError:  # another version of the harness wrote it
        return False


def _left(engine: Engine, deadline_s: float) -> dict[str, list[str]]:
    """What there is of the run, by its kind."""
    mine = ("--filter", f"label={_RUN_LABEL}={engine.run_id}")
    found = {
        kind: engine.ask(*listing, *mine, limit_s=_rest_s(deadline_s)).split() for kind, listing, _ in _KINDS
    }
    return {kind: identities for kind, identities in found.items() if identities}


def _rest_s(deadline_s: float) -> float:
    """What a command may take; past the deadline still a moment, in which the engine says what is left."""
    return max(deadline_s - time.monotonic(), _MOMENT_S)
