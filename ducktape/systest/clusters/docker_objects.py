"""What a run has in Docker's engine, known by a label: containers, a network, and volumes if an image declares any.

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
# What lists a kind of thing, and what removes one; containers first, since they hold the others.
_KINDS = (
    (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
    (("network", "ls", "--quiet"), ("network", "rm")),
    (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
)
_SWEEPS_MAX = 20
_SWEEP_S = 0.3


def labels(run_id: str, owner: Owner) -> tuple[str, ...]:
    """Arguments by which Docker's client marks what it makes."""
    return ("--label", f"{_RUN_LABEL}={run_id}", "--label", f"{_OWNER_LABEL}={owner.label()}")


def remove(engine: Engine) -> None:
    """Removes everything of the engine's run, until nothing is there. Raises PlaceUnavailable if it can't be."""
    for _ in range(_SWEEPS_MAX):
        left = _found(engine)
        if not left:
            return
        for command, identity in left:
            # Gone meanwhile, or still in use by a container that is going: the next sweep shows.
            with contextlib.suppress(CommandFailed):
                engine.ask(*command, identity)
        time.sleep(_SWEEP_S)
    raise PlaceUnavailable(
        f"something of this run stays in Docker; see docker ps --all --filter label={_RUN_LABEL}={engine.run_id}"
    )


def remove_abandoned(engine: Engine) -> None:
    """Removes what runs of this machine left whose runner is gone."""
    form = f'{{{{.Label "{_RUN_LABEL}"}}}} {{{{.Label "{_OWNER_LABEL}"}}}}'
    found = set()
    for command in (("ps", "--all"), ("network", "ls")):
        found |= set(engine.ask(*command, "--filter", f"label={_RUN_LABEL}", "--format", form).splitlines())
    for line in found:
        run_id, _, owner = line.partition(" ")
        if Owner.from_label(owner).is_gone():
            remove(Engine(run_id))


def _found(engine: Engine) -> list[tuple[tuple[str, ...], str]]:
    """What there is of the run: the command that removes it, and its id."""
    mine = ("--filter", f"label={_RUN_LABEL}={engine.run_id}")
    return [
        (removal, identity) for listing, removal in _KINDS for identity in engine.ask(*listing, *mine).split()
    ]
