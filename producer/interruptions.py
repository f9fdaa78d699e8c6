"""What a signal's exception breaks off in asyncio, taken up again.

A signal's handler may raise in any Python function, `loop.call_soon` among them, which a future calls when it is
settled: it is done then, and who awaits it would sleep for ever. The callback that was to be scheduled is still to be
seen in the exception's trace, so it is scheduled after all. Of several callbacks of one future asyncio itself has
forgotten the later ones: of several tasks that await one future, those that came later are not woken.
"""

from __future__ import annotations

import asyncio
from traceback import walk_tb


def complete_call_soon(raised: BaseException) -> None:
    """Schedule what a `call_soon` by code of this package could not, for `raised` in it."""
    is_ours = False
    for frame, _ in walk_tb(raised.__traceback__):
        if is_ours and frame.f_code is asyncio.BaseEventLoop.call_soon.__code__:
            given = frame.f_locals
            loop, callback, args = given["self"], given["callback"], given["args"]
            if not any(
                handle._callback is callback and handle._args is args for handle in tuple(loop._ready)
            ):
                loop.call_soon(callback, *args, context=given["context"])
            return
        is_ours = str(frame.f_globals.get("__name__")).startswith("producer.")
