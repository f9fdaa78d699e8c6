"""Nodes over ssh: ducktape's JSON cluster, with accounts that keep every promise of a local node's.

An account has one connection, made when it is first used. At its other end runs `systest.clusters.watch`, which says
where the node's home is, and ends and removes all that was begun there once the connection is gone, or the driver has
been silent for long. A command starts in that home, in a process group of its own, and the node itself kills it when
its time is up.

A connection that breaks takes everything on the node with it, so it is not made anew behind a test's back: from then
on the account raises `NodeLost`, which names the node, until it is closed.

ducktape forks for each test and hands it a pickled account, which has no connection. The runner's own accounts only
look whether a node still answers.
"""

from __future__ import annotations

import contextlib
import getpass
import itertools
import json
import logging
import operator
import os
import posixpath
import select
import shlex
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
from ducktape.cluster.json import JsonCluster
from ducktape.cluster.remoteaccount import (
    IgnoreMissingHostKeyPolicy,
    RemoteAccountError,
    RemoteAccountSSHConfig,
    RemoteCommandError,
    SSHOutputIter,
)
from ducktape.command_line.defaults import ConsoleDefaults

from systest.clusters.belongings import Belongings
from systest.clusters.bounded import COMMAND_LIMIT_S, TIMED_OUT_STATUS, BoundedAccount
from systest.clusters.harness import harness_id
from systest.clusters.reaper import RUN_VARIABLE
from systest.clusters.watch import Hello, Question
from systest.progress import say

# Away from the login's home, where a folder such as a clone named `producer` would be taken for the package.
_WATCH = 'cd / && exec "$HOME"/.systest/venv/bin/python -m systest.clusters.watch'
_CONNECT_LIMIT_S = 10.0
_ANSWER_LIMIT_S = 15.0  # of a node that lives, for what costs it nothing
_BEAT_S = 5.0
_LOOKS = 3
_HELLO_LIMIT_S = 30.0
_GRACE_S = 5.0  # for the node to kill a command by itself
_KEEPALIVE_S = 15
_CHUNK_BYTES = 65_536
_KILLED = (-1, 137)  # by SIGKILL, as ssh and as a shell say it
_BROKEN = (paramiko.SSHException, EOFError, OSError)


class NodeError(RemoteAccountError):  # type: ignore[misc]  # ducktape has no types
    """A node can't be used; one sentence that names it, the reason and what to do."""

    def __init__(self, account: SshAccount, reason: str) -> None:
        super().__init__(account, reason)
        self.args = (str(self),)  # the account's settings, which may hold a password, stay out of reports


class NodeLost(NodeError):
    """A node can't be reached, or no longer."""


class NotProvisioned(NodeError):
    """A node lacks the harness, or has another one."""


class _Link:
    """A connection with what runs over it.

    A thread asks the node now and then. So its watch knows that the driver lives; and when the node answers no more,
    the connection is closed, which ends every wait for it: some of paramiko's have no limit.
    """

    def __init__(
        self, client: paramiko.SSHClient, files: paramiko.SFTPClient, watch: paramiko.Channel, hello: Hello
    ) -> None:
        self.client = client
        self.files = files
        self.hello = hello
        self.silence: Exception | None = None
        """Why it was closed, if the node answered no more."""
        self._watch = watch
        self._asking = threading.Lock()
        self._closed = threading.Event()
        # A link that is dropped ends, which a thread of its own must not keep it from.
        self._pulse = threading.Thread(
            target=_beat, args=(weakref.ref(self), self._closed), name="pulse", daemon=True
        )
        self._pulse.start()
        _links.add(self)

    def ask(self, question: Question) -> int:
        with self._asking:
            self._watch.sendall(f"{question.value}\n".encode())
            if not (answer := _line_of(self._watch, _ANSWER_LIMIT_S)):
                raise EOFError("the node no longer answers")
            return int(answer)

    def beat(self) -> None:
        try:
            self.ask(Question.CLOCK)
        except (*_BROKEN, ValueError) as error:
            self.silence = error
            self._closed.set()
            self.client.close()

    def is_up(self) -> bool:
        transport = self.client.get_transport()
        return transport is not None and transport.is_active() and not self._watch.exit_status_ready()

    def close(self) -> None:
        self._closed.set()
        self.client.close()
        self._pulse.join()  # the runner may fork next

    def let_go(self) -> None:
        """In a fork: nothing that ends there says so to the node, which would take it for the parent."""
        if (transport := self.client.get_transport()) is not None:
            transport.active = False
            transport.packetizer.close()


_links: weakref.WeakSet[_Link] = weakref.WeakSet()


def _let_go() -> None:
    for link in _links:
        link.let_go()


os.register_at_fork(after_in_child=_let_go)


def _beat(link: weakref.ref[_Link], closed: threading.Event) -> None:
    while not closed.wait(_BEAT_S):
        if (living := link()) is None:
            return
        living.beat()
        del living


class SshAccount(BoundedAccount):
    """One node of an `SshCluster`. Threads may share it."""

    def __init__(
        self,
        ssh_config: RemoteAccountSSHConfig,
        externally_routable_ip: str | None = None,
        **ducktape_arguments: Any,
    ) -> None:
        super().__init__(ssh_config, externally_routable_ip=externally_routable_ip, **ducktape_arguments)
        self._begin()

    def _begin(self) -> None:
        self._link: _Link | None = None
        self._lost: NodeLost | None = None
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_link", "_lost", "_lock")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    # What is there

    @property
    def home(self) -> str:
        """Where relative paths and commands start; goes with the connection."""
        return self._linked().hello.home

    @property
    def python(self) -> str:
        """A Python there that has this package."""
        return self._linked().hello.python

    @property
    def hello(self) -> Hello:
        """What the node said of itself. Raises NodeLost or NotProvisioned."""
        return self._linked().hello

    @property
    def address(self) -> str:
        """Where its listeners are bound, and dialled: as the cluster file says, or where its sshd was reached.

        The name by which it was reached is no such thing on the node itself: Debian has a host's own name mean a
        loopback address, which no other node reaches. It has to do where there is only IPv6.
        """
        if self.externally_routable_ip:
            return str(self.externally_routable_ip)
        address = self.hello.address
        return address if address and ":" not in address else str(self.ssh_hostname)

    @property
    def login(self) -> str:
        return str(self.user or getpass.getuser())

    def clock_ns(self) -> tuple[int, int, int]:
        """This machine's time, the node's, and this machine's again, asked in this order."""
        with self._using() as link:
            before_ns = time.time_ns()
            there_ns = link.ask(Question.CLOCK)
            return before_ns, there_ns, time.time_ns()

    def free_bytes(self) -> int:
        """Room on the disk of its home."""
        with self._using() as link:
            return link.ask(Question.ROOM)

    def answers(self) -> bool:
        """Whether the node's sshd greets now; says why if it doesn't.

        No word of ssh is spoken, since the runner forks right after this: a thread that did speak may still hold one of
        OpenSSL's locks while it ends, and in the fork nobody would ever free that.
        """
        config = self.ssh_config
        try:
            limit_s = config.connecttimeout or _CONNECT_LIMIT_S
            with socket.create_connection((config.hostname, config.port), timeout=limit_s) as wire:
                if not wire.recv(1):
                    raise ConnectionResetError("it hung up")
        except OSError as error:
            say(f"{NodeLost(self, self._why_not(error))}; no test uses it any more")
            return False
        return True

    def close(self) -> None:
        """Ends the connection, and with it all that was begun on the node."""
        with self._lock:
            link, self._link, self._lost = self._link, None, None
        if link is not None:
            link.close()

    def give_up(self, reason: str) -> None:
        """As `close`, and whoever uses it, now or later, gets a NodeLost, until it is closed."""
        self._give_up(NodeLost(self, reason))

    @property
    def ssh_client(self) -> paramiko.SSHClient:
        return self._linked().client

    # Commands

    def ssh_capture(
        self,
        cmd: str,
        allow_fail: bool = False,
        callback: Callable[[str], Any] | None = None,
        combine_stderr: bool = True,
        timeout_sec: float | None = None,
    ) -> SSHOutputIter:
        """As ducktape's; a line that takes longer than `timeout_sec`, or `COMMAND_LIMIT_S`, ends the command."""
        limit_s = timeout_sec or COMMAND_LIMIT_S
        with self._using() as link:
            channel = _session(link)
            channel.set_combine_stderr(combine_stderr)
            # Its process group is told first: without a terminal, a channel that is closed ends nothing.
            channel.exec_command(self._at_home(link, f"echo $$ && exec /bin/sh -c {shlex.quote(cmd)}"))
            if not (group := _line_of(channel, _ANSWER_LIMIT_S)):
                raise EOFError("it ended before the command began")
        channel.settimeout(limit_s)
        stdout = channel.makefile("r", -1)

        def output() -> Iterator[Any]:
            try:
                for line in iter(stdout.readline, ""):
                    yield line if callback is None else callback(line)
                with self._telling():
                    status = _status_of(channel, link, limit_s)
            except BaseException as error:
                # ducktape's has_next() asks for a line with a limit of its own, and may ask again.
                if isinstance(error, TimeoutError) and channel.gettimeout() != limit_s:
                    raise
                self.ssh(f"kill -s KILL -- -{group}", allow_fail=True)
                channel.close()
                raise
            with channel:
                if status != 0 and not allow_fail:
                    raise RemoteCommandError(self, cmd, status, channel.makefile_stderr("rb").read())

        return SSHOutputIter(output, stdout)

    def _run(
        self, cmd: str, allow_fail: bool, combine_stderr: bool, timeout_sec: float | None
    ) -> tuple[int, bytes]:
        limit_s = timeout_sec or COMMAND_LIMIT_S
        began_s = time.monotonic()
        with self._lock:
            link = self._linked()
        with self._telling(), contextlib.closing(_session(link)) as channel:
            channel.set_combine_stderr(combine_stderr)
            timed = f"exec timeout -s KILL {limit_s:g} /bin/sh -c {shlex.quote(cmd)}"
            channel.exec_command(self._at_home(link, timed))
            deadline_s = time.monotonic() + limit_s + _GRACE_S
            try:
                out, err = _output_of(channel, deadline_s)
                status = _status_of(channel, link, deadline_s - time.monotonic())
            except TimeoutError as error:
                self.free_bytes()  # a node that answers this is not lost
                reason = f"what it started held its output open for {limit_s:g} s and more"
                raise RemoteCommandError(self, cmd, TIMED_OUT_STATUS, reason) from error
        if status in _KILLED and time.monotonic() - began_s >= limit_s:
            reason = f"it had not ended after {limit_s:g} s and was killed"
            raise RemoteCommandError(self, cmd, TIMED_OUT_STATUS, reason)
        if status != 0 and not allow_fail:
            raise RemoteCommandError(self, cmd, status, out if combine_stderr else err)
        return status, out

    def _at_home(self, link: _Link, script: str) -> str:
        """For any login shell there is: the script in /bin/sh, in the home, known as this connection's."""
        return (
            f"exec env {RUN_VARIABLE}={link.hello.run_id} /bin/sh -c "
            f"{shlex.quote(f'cd {shlex.quote(link.hello.home)} && {script}')}"
        )

    # Files

    @property
    def sftp_client(self) -> SshFiles:
        return SshFiles(self)

    @contextlib.contextmanager
    def files(self) -> Iterator[paramiko.SFTPClient]:
        """paramiko's client for files, for one thread at a time. Within, a broken connection raises NodeLost."""
        with self._using() as link:
            yield link.files

    def path(self, path: str) -> str:
        """An absolute path; relative ones start at `home`."""
        return posixpath.join(self.home, path)

    def read_from(self, path: str, offset: int) -> bytes:
        """What stands in a file from there to its end. Cheap: one question if that is nothing."""
        path = self.path(path)
        with self.files() as files:
            size = files.stat(path).st_size or 0
            if size <= offset:
                return b""
            with files.open(path, "rb") as file:
                file.seek(offset)
                return bytes(file.read(size - offset))

    def status_of(self, pid: int) -> str | None:
        """The line in /proc that tells of a process; None if there is none."""
        try:
            with self.files() as files, files.open(f"/proc/{pid}/stat", "rb") as file:
                return bytes(file.read(1024)).decode(errors="replace")
        except OSError:  # a process that ends between opening and reading is no file that is missing
            return None

    def here(self, directory: str, copy: Path) -> Path:
        """A copy of a directory of plain files."""
        copy.mkdir(parents=True, exist_ok=True)
        directory = self.path(directory)
        with self.files() as files:
            for name in files.listdir(directory):
                files.get(posixpath.join(directory, name), str(copy / name))
        return copy

    # The connection

    def connection(self) -> paramiko.SSHClient:
        """A new connection, signed in. Raises NodeLost with the reason if there can't be one."""
        config = self.ssh_config
        limit_s = config.connecttimeout or _CONNECT_LIMIT_S
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(IgnoreMissingHostKeyPolicy())
        try:
            wire = socket.create_connection((config.hostname, config.port), timeout=limit_s)
            # Questions are short and wait for their answers, which Nagle's algorithm would hold back for 40 ms.
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.connect(
                config.hostname,
                config.port,
                sock=wire,
                username=self.login,
                password=config.password,
                key_filename=config.identityfile,
                look_for_keys=False,
                timeout=limit_s,
                banner_timeout=limit_s,
                auth_timeout=limit_s,
            )
        except (*_BROKEN, ValueError) as error:
            client.close()
            raise NodeLost(self, self._why_not(error)) from error
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(_KEEPALIVE_S)
        return client

    def _why_not(self, error: Exception) -> str:
        config = self.ssh_config
        key = config.identityfile
        if isinstance(error, FileNotFoundError) or (key is not None and isinstance(error, PermissionError)):
            return f"its key {key} can't be read ({error.strerror})"
        if isinstance(error, paramiko.PasswordRequiredException):
            return f"its key {key} has a passphrase; add it to an ssh agent, or name another key"
        if isinstance(error, paramiko.AuthenticationException):
            if config.password is not None:
                with_what = "the password is refused"
            else:
                with_what = "no key is named" if key is None else f"the key {key} is refused"
            return f"{config.hostname} lets {self.login} not in: {with_what}"
        if isinstance(error, OSError):
            reason = error.strerror or str(error) or type(error).__name__
            return f"it can't be reached at {config.hostname}:{config.port} ({reason})"
        return (
            f"there is no ssh connection to {config.hostname}:{config.port} ({error or type(error).__name__})"
        )

    def _linked(self) -> _Link:
        with self._lock:
            if self._lost is not None:
                raise NodeLost(self, self._lost.msg)
            if self._link is None:
                self._link = self._link_up()
            return self._link

    def _link_up(self) -> _Link:
        client = self.connection()
        try:
            with limited(client, _HELLO_LIMIT_S):
                transport = client.get_transport()
                assert transport is not None
                watch = transport.open_session(timeout=_CONNECT_LIMIT_S)
                watch.exec_command(f"exec /bin/sh -c {shlex.quote(_WATCH)}")
                hello = self._hello(watch)
                files = client.open_sftp()
        except _BROKEN as error:
            client.close()
            raise NodeLost(self, f"it did not answer a first question ({_words(error)})") from error
        except BaseException:
            client.close()
            raise
        channel = files.get_channel()
        assert channel is not None
        channel.settimeout(_ANSWER_LIMIT_S)
        return _Link(client, files, watch, hello)

    def _hello(self, watch: paramiko.Channel) -> Hello:
        said = _line_of(watch, _HELLO_LIMIT_S)
        if not said:
            words = watch.makefile_stderr("rb").read().decode(errors="replace").strip().splitlines()
            if not watch.status_event.wait(_ANSWER_LIMIT_S) or not watch.get_transport().is_active():
                raise EOFError("the connection ended before it")
            raise NotProvisioned(
                self,
                f"the harness does not start there ({words[-1] if words else 'it said nothing'}); "
                "run `systest provision`",
            )
        try:
            hello = Hello.from_line(said)
        except ValueError as error:
            raise NodeError(
                self,
                f"its login shell prints {said!r} before what a command does; let its profile print nothing "
                "where there is no terminal",
            ) from error
        except (KeyError, TypeError) as error:
            raise NotProvisioned(
                self, f"its harness is another one (it said {said!r}); run `systest provision`"
            ) from error
        if hello.harness != harness_id():
            raise NotProvisioned(
                self,
                f"its harness is another one ({hello.harness}, here {harness_id()}); run `systest provision`",
            )
        return hello

    @contextlib.contextmanager
    def _using(self) -> Iterator[_Link]:
        """The connection, for this thread alone. Raises NodeLost if it breaks."""
        with self._lock:
            link = self._linked()
            with self._telling():
                yield link

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever shows that the connection is broken becomes NodeLost, now and from now on."""
        try:
            yield
        except _BROKEN as error:
            if isinstance(error, OSError) and not isinstance(error, TimeoutError) and self._is_connected():
                raise  # it is about a file, there or here
            link = self._link
            why = _words((link and link.silence) or error)
            lost = NodeLost(
                self,
                f"the connection to {self.ssh_config.hostname}:{self.ssh_config.port} is lost ({why}): "
                "its sshd or the whole node is gone, and all that ran there for this test",
            )
            self._give_up(lost)
            raise lost from error

    def _is_connected(self) -> bool:
        link = self._link
        return link is not None and link.is_up()

    def _give_up(self, lost: NodeLost) -> None:
        with self._lock:
            link, self._link = self._link, None
            self._lost = self._lost or lost
        if link is not None:
            link.close()


class SshFiles:
    """What ducktape uses of paramiko's client for files: for threads, within a node's home, with clear errors."""

    def __init__(self, account: SshAccount) -> None:
        self._account = account

    def stat(self, path: str) -> paramiko.SFTPAttributes:
        with self._account.files() as files:
            return files.stat(self._account.path(path))

    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        with self._account.files() as files:
            return files.lstat(self._account.path(path))

    def listdir(self, path: str = ".") -> list[str]:
        with self._account.files() as files:
            return list(files.listdir(self._account.path(path)))

    def open(self, path: str, mode: str = "r") -> SshFile:
        with self._account.files() as files:
            return SshFile(self._account, files.open(self._account.path(path), mode))

    def get(self, remote: str, local: str) -> None:
        with self._account.files() as files:
            files.get(self._account.path(remote), local)

    def put(self, local: str, remote: str) -> None:
        with self._account.files() as files:
            files.put(local, self._account.path(remote))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        with self._account.files() as files:
            files.mkdir(self._account.path(path), mode)


class SshFile:
    """An open file on a node."""

    def __init__(self, account: SshAccount, file: paramiko.SFTPFile) -> None:
        self._account = account
        self._file = file

    def __enter__(self) -> SshFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read(self, size: int | None = None) -> bytes:
        with self._account.files():
            return bytes(self._file.read(size))

    def write(self, content: bytes | str) -> None:
        with self._account.files():
            self._file.write(content)

    def seek(self, offset: int) -> None:
        with self._account.files():
            self._file.seek(offset)

    def close(self) -> None:
        with self._account.files():
            self._file.close()


class SshCluster(JsonCluster):  # type: ignore[misc]  # ducktape has no types
    """The nodes that a JSON file lists, in ducktape's format."""

    def __init__(self, cluster_file: str | None = None, **ducktape_arguments: Any) -> None:
        """Raises ValueError with one sentence if the file does not list nodes."""
        super().__init__(
            read_cluster_file(Path(cluster_file or ConsoleDefaults.CLUSTER_FILE)),
            make_remote_account_func=SshAccount,
            **ducktape_arguments,
        )
        # For its reaper: a test's process that outlives its runner would keep its nodes.
        self._belongings = Belongings()

    def close(self) -> None:
        """Ends what belongs to it here. Safe twice; nothing in a forked child."""
        self._belongings.close()

    def do_alloc(self, cluster_spec: Any) -> Any:
        """As ducktape's, with nodes that answer now."""
        accounts = list(self._available_accounts)
        with ThreadPoolExecutor(max(1, len(accounts)), thread_name_prefix="ssh") as pool:
            answers = list(pool.map(SshAccount.answers, accounts))
        for account in itertools.compress(accounts, map(operator.not_, answers)):
            self._available_accounts.remove_node(account)
            self._bad_accounts.add_node(account)
        return super().do_alloc(cluster_spec)


def read_cluster_file(file: Path) -> dict[str, Any]:
    """What a cluster file says. Raises ValueError with one sentence if ducktape could make no cluster of it."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error.msg} in line {error.lineno}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} can't be read: {error}") from error
    nodes = content.get("nodes") if isinstance(content, dict) else None
    if not isinstance(nodes, list) or not nodes:
        raise ValueError(f'{file} lists no nodes; write {{"nodes": [{{"ssh_config": {{...}}}}, ...]}}')
    names = []
    for number, node in enumerate(nodes, 1):
        match node:
            case {"ssh_config": {"host": str(host), "hostname": str()} as config}:
                names.append(host)
            case _:
                raise ValueError(f"node {number} of {file} lacks an ssh_config with host and hostname")
        port = config.get("port") or 22
        if not str(port).isdigit() or not 1 <= int(port) <= 65_535:
            raise ValueError(f"the port of node {number} of {file} is {port!r}; choose 1 to 65535")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file} has two nodes with the host {twice[0]}; give each a name of its own")
    return dict(content)


def accounts_in(file: Path) -> list[SshAccount]:
    """The accounts that a cluster file lists. Raises ValueError as `read_cluster_file`."""
    return [
        SshAccount(RemoteAccountSSHConfig(**node["ssh_config"]), node.get("externally_routable_ip"))
        for node in read_cluster_file(file)["nodes"]
    ]


@contextlib.contextmanager
def limited(client: paramiko.SSHClient, limit_s: float) -> Iterator[None]:
    """Closes the connection past the limit and raises TimeoutError: paramiko waits for some answers without one."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        client.close()

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_over.is_set():
            raise TimeoutError(_no_answer(limit_s)) from error
        raise
    finally:
        timer.cancel()
        timer.join()


def _session(link: _Link) -> paramiko.Channel:
    transport = link.client.get_transport()
    if transport is None:
        raise EOFError("it was closed")
    channel = transport.open_session(timeout=_ANSWER_LIMIT_S)
    channel.settimeout(_ANSWER_LIMIT_S)
    return channel


def _output_of(channel: paramiko.Channel, deadline_s: float) -> tuple[bytes, bytes]:
    """What a command says on stdout and stderr until both end. Raises TimeoutError.

    Both are read as they come: a stream that nobody reads stops the command once a window's worth waits.
    """
    out, err = bytearray(), bytearray()
    while (left_s := deadline_s - time.monotonic()) > 0 and select.select([channel], [], [], left_s)[0]:
        has_ended = channel.eof_received or channel.closed  # asked first: nothing comes after it
        if channel.recv_ready():
            out += channel.recv(_CHUNK_BYTES)
        elif channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK_BYTES)
        elif has_ended:
            return bytes(out), bytes(err)
    raise TimeoutError


def _status_of(channel: paramiko.Channel, link: _Link, limit_s: float) -> int:
    """The exit status of a command whose output has ended. Raises TimeoutError, or EOFError if the connection has."""
    if not channel.status_event.wait(limit_s):
        raise TimeoutError
    status: int = channel.recv_exit_status()
    if status == -1 and not link.is_up():
        raise EOFError("it ended before the command did")
    return status


def _line_of(channel: paramiko.Channel, limit_s: float) -> str:
    """The next line, without its end; not one byte more is taken. Raises TimeoutError."""
    channel.settimeout(limit_s / _LOOKS)
    line = b""
    while (byte := _byte_of(channel)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace")


def _byte_of(channel: paramiko.Channel) -> bytes:
    # A driver that was stopped itself for a while finds at its next look what came meanwhile.
    for _ in range(_LOOKS - 1):
        with contextlib.suppress(TimeoutError):
            return bytes(channel.recv(1))
    return bytes(channel.recv(1))


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return _no_answer(_ANSWER_LIMIT_S)
    return str(error) or type(error).__name__


def _no_answer(limit_s: float) -> str:
    return f"no answer in {limit_s:g} s"


def _keep_quiet() -> None:
    """paramiko logs what it also raises, and without a handler that lands on the terminal."""
    logger = logging.getLogger("paramiko")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


_keep_quiet()
