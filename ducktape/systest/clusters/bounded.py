"""What commands on a node have in common, wherever it is: none of them runs without a time limit.

ducktape's own have none, and a hang then costs the runner's, which is half an hour.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ducktape.cluster.linux_remoteaccount import LinuxRemoteAccount

COMMAND_LIMIT_S = 120.0
TIMED_OUT_STATUS = 124  # as coreutils' timeout has it


class BoundedAccount(LinuxRemoteAccount, ABC):  # type: ignore[misc]  # ducktape has no types
    """ducktape's account interface over one method."""

    def ssh(self, cmd: str, allow_fail: bool = False, timeout_sec: float | None = None) -> int:
        """As ducktape's, with a time limit of `timeout_sec`, or `COMMAND_LIMIT_S`."""
        return self._run(cmd, allow_fail, combine_stderr=False, timeout_sec=timeout_sec)[0]

    def ssh_output(
        self,
        cmd: str,
        allow_fail: bool = False,
        combine_stderr: bool = True,
        timeout_sec: float | None = None,
    ) -> bytes:
        """As ducktape's, with a time limit of `timeout_sec`, or `COMMAND_LIMIT_S`."""
        return self._run(cmd, allow_fail, combine_stderr, timeout_sec)[1]

    @abstractmethod
    def _run(
        self, cmd: str, allow_fail: bool, combine_stderr: bool, timeout_sec: float | None
    ) -> tuple[int, bytes]:
        """A command's exit status and output. Raises RemoteCommandError past the limit, or if it may not fail."""
