"""`python -m systest.worker SPEC`: does what the spec says and tells of it in the worker protocol."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from confluent_kafka import KafkaException

from systest.worker.protocol import Error, Event, line_of
from systest.worker.spec import ProduceSpec, TransformSpec, spec_from_json

_lock = threading.Lock()


def main(spec_path: str) -> int:
    # Every thread's stack on request, as a JVM has it; a run that hangs is asked for them.
    faulthandler.register(signal.SIGQUIT, all_threads=True)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        spec = spec_from_json(json.loads(Path(spec_path).read_text("utf-8")))
        if isinstance(spec, ProduceSpec):
            from systest.worker.produce import produce  # a reader needs no strategy

            emit(produce(spec, emit))
        elif isinstance(spec, TransformSpec):
            from systest.worker.transform import transform

            emit(transform(spec, emit))
        else:
            from systest.worker.reader import read  # numpy stays out of a producer's process

            emit(read(spec, emit))
    except KafkaException as error:
        return _failed(error, str(error.args[0].str()) if error.args else repr(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, the harness must hear of it, in the protocol
        return _failed(error, f"{error}" or type(error).__name__)
    return 0


def emit(event: Event) -> None:
    """Prints the event; whole lines, whichever thread it comes from."""
    with _lock:
        sys.stdout.write(line_of(event))
        sys.stdout.flush()


def _failed(error: Exception, reason: str) -> int:
    sys.excepthook(type(error), error, error.__traceback__)
    emit(Error(" ".join(reason.split())))
    return 1


def _terminated(*_: object) -> NoReturn:
    # At once: a client's own threads may hold the interpreter's orderly end up for as long as they like. And past
    # sys.stdout, which refuses whoever interrupts it at work, as this does when an event is just being written.
    os.write(sys.stdout.fileno(), line_of(Error("it was told to stop (SIGTERM)")).encode())
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m systest.worker SPEC")
    status = main(sys.argv[1])
    sys.stderr.flush()
    # Everything is written and told. What threads a client has left must not hold the process.
    os._exit(status)
