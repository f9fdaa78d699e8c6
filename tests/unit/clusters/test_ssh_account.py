"""Nodes over real ssh: commands end, files come and go, nothing outlives its connection, and a broken one is told."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ducktape.cluster.remoteaccount import RemoteAccountSSHConfig, RemoteCommandError

from systest.clusters import ssh
from systest.clusters.ssh import NodeError, NodeLost, NotProvisioned, SshAccount
from systest.processes import pid_lives, words
from systest.services.process import NodeProcess, free_ports, node_address

GONE_LIMIT_S = 10.0
SOON_S = 12.0  # less than a node that is silent is waited for
TALK_LIMIT_S = 30.0


@pytest.fixture
def account(sshd: Any) -> Iterator[SshAccount]:
    made = sshd.account()
    yield made
    made.close()


def start(account: SshAccount, *command: str) -> NodeProcess:
    return NodeProcess.start(account, command, name="process", directory=f"{account.home}/logs")


def watch_that_minds_silence(limit_s: float) -> str:
    """The command for one."""
    script = f"from systest.clusters import watch; watch.SILENCE_LIMIT_S = {limit_s}; watch.main()"
    return f"exec \"$HOME\"/.systest/venv/bin/python -c '{script}'"


def await_gone(pid: int) -> None:
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while pid_lives(pid):
        assert time.monotonic() < deadline_s, f"process {pid} still runs"
        time.sleep(0.05)


def await_nothing_in(sshd: Any) -> None:
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while sshd.homes():
        assert time.monotonic() < deadline_s, f"{sshd.homes()} is still there"
        time.sleep(0.05)


def test_command__runs_in_the_connections_own_directory(sshd: Any, account: SshAccount) -> None:
    account.ssh("echo here > file")
    assert account.ssh_output("cat file") == b"here\n"
    other = sshd.account()
    assert other.ssh("test -e file", allow_fail=True) != 0
    other.close()


def test_command__that_fails__raises_with_its_status_and_words(account: SshAccount) -> None:
    with pytest.raises(RemoteCommandError, match="no luck") as failure:
        account.ssh("echo no luck >&2; exit 7")
    assert failure.value.exit_status == 7
    assert account.ssh("exit 7", allow_fail=True) == 7


def test_command__past_its_time__is_ended_with_its_children(account: SshAccount) -> None:
    with pytest.raises(RemoteCommandError, match=r"had not ended after 0\.5 s"):
        account.ssh("sleep 1000 & echo $! > pid; wait", timeout_sec=0.5)
    await_gone(int(account.ssh_output("cat pid")))


def test_command__whose_child_holds_its_output_open__is_told_and_the_node_is_not_lost(
    account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_GRACE_S", 0.5)
    with pytest.raises(RemoteCommandError, match="held its output open"):
        account.ssh("sleep 1000 & echo $! > pid", timeout_sec=0.5)
    pid = int(account.ssh_output("cat pid"))
    account.close()
    await_gone(pid)


def test_command__whose_child_goes_on_talking__ends_in_time_all_the_same(
    account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_GRACE_S", 0.5)
    began_s = time.monotonic()
    with pytest.raises(RemoteCommandError, match="held its output open"):
        account.ssh("setsid sh -c 'while sleep 0.1; do echo on; done' & echo $! > pid", timeout_sec=0.5)
    assert time.monotonic() - began_s < SOON_S
    pid = int(account.ssh_output("cat pid"))
    account.close()
    await_gone(pid)


def test_command__that_says_more_on_stderr_than_a_window_holds__is_read_to_its_end(
    account: SshAccount,
) -> None:
    talk = "head -c 8000000 /dev/zero | tr '\\0' x"
    assert (
        account.ssh_output(f"{talk} >&2; echo end", combine_stderr=False, timeout_sec=TALK_LIMIT_S)
        == b"end\n"
    )
    with pytest.raises(RemoteCommandError) as failure:
        account.ssh(f"{talk} >&2; exit 3", timeout_sec=TALK_LIMIT_S)
    assert len(failure.value.msg) == 8_000_000


def test_output__of_stderr__comes_with_the_rest_unless_it_is_not_wanted(account: SshAccount) -> None:
    command = "echo out; echo err >&2"
    assert sorted(account.ssh_output(command).split()) == [b"err", b"out"]
    assert account.ssh_output(command, combine_stderr=False) == b"out\n"


def test_capture__gives_lines_as_they_come_and_ends_a_command_that_is_left(account: SshAccount) -> None:
    lines = account.ssh_capture("echo first; echo $$; sleep 1000")
    assert next(lines) == "first\n"
    pid = int(next(lines))
    lines.iter_obj.close()
    await_gone(pid)


def test_capture__of_a_command_that_fails__raises_at_its_end(account: SshAccount) -> None:
    lines = account.ssh_capture("echo only; exit 3")
    assert next(lines) == "only\n"
    with pytest.raises(RemoteCommandError) as failure:
        next(lines)
    assert failure.value.exit_status == 3


def test_capture__without_a_line_in_time__ends_the_command(account: SshAccount) -> None:
    lines = account.ssh_capture("echo $$; exec sleep 1000", timeout_sec=0.5)
    pid = int(next(lines))
    with pytest.raises(TimeoutError):
        next(lines)
    await_gone(pid)


def test_files__go_to_a_node_and_come_back(account: SshAccount, tmp_path: Path) -> None:
    account.mkdirs("deep/er")
    account.create_file("deep/er/file", "content")
    account.copy_from("deep/er/file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "content"
    assert account.isdir("deep")
    assert account.read_from("deep/er/file", 3) == b"tent"
    assert (account.here("deep/er", tmp_path / "here") / "file").read_text() == "content"
    account.remove("deep")
    assert not account.exists("deep")


def test_file__that_is_missing__is_no_lost_node(account: SshAccount) -> None:
    with pytest.raises(FileNotFoundError):
        account.open("none", "rb")
    with pytest.raises(OSError, match="Failure"):
        account.mkdir("/")
    assert account.ssh("true") == 0


def test_account__shared_by_threads__gives_each_its_own_answer(account: SshAccount) -> None:
    def ask(number: int) -> bool:
        content = f"{number}\n" * 1_000
        account.create_file(f"file-{number}", content)
        return all(
            account.read_from(f"file-{number}", 0) == content.encode()
            and account.ssh_output(f"echo {number}") == f"{number}\n".encode()
            for _ in range(5)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_ports__asked_for_together__differ(account: SshAccount) -> None:
    assert len(set(free_ports(account, 20))) == 20


def test_process__that_ends__is_heard_to_its_end_and_seen_to_be_gone(account: SshAccount) -> None:
    process = start(account, "sh", "-c", "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 1")
    heard = b""
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while b"one" not in heard:
        assert time.monotonic() < deadline_s, process.tail()
        heard += process.hear()
    assert process.is_alive()
    account.ssh("touch logs/go")
    while process.is_alive():
        assert time.monotonic() < deadline_s, "it still runs"
    assert process.hear() == b"two\n"
    assert process.hear() == b""
    assert "two" in process.tail()


def test_process__that_ends_at_once__is_gone(account: SshAccount) -> None:
    processes = [start(account, "true") for _ in range(10)]
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while any(process.is_alive() for process in processes):
        assert time.monotonic() < deadline_s, "one still runs"
    for process in processes:
        process.kill()


def test_process__whose_output_has_no_place__is_not_started(account: SshAccount) -> None:
    account.mkdirs("logs/process.stderr")
    with pytest.raises(RemoteCommandError, match=r"process\.stderr"):
        start(account, "touch", "started")
    assert not account.exists("logs/started")


def test_process__measured__tells_its_time_finer_than_in_seconds(account: SshAccount) -> None:
    script = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(1000)"
    process = start(account, sys.executable, "-c", script)
    while not process.hear():
        time.sleep(0.02)
    assert 0.2 <= process.cpu_seconds() < 1.0
    assert 1e6 < process.rss_bytes() < 1e9
    process.kill()
    assert (process.cpu_seconds(), process.rss_bytes()) == (0.0, 0)


def test_process__killed__takes_its_children_with_it(account: SshAccount) -> None:
    process = start(account, "sh", "-c", "sleep 1000 & echo $!; wait")
    while not (child := process.hear()):
        time.sleep(0.02)
    assert process.is_alive()
    assert process.rss_bytes() > 0
    assert process.cpu_seconds() >= 0.0
    process.kill()
    assert not process.is_alive()
    await_gone(int(child))


def test_process__that_minds_no_sigterm__is_killed_after_its_grace(account: SshAccount) -> None:
    process = start(account, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    while not process.hear():
        time.sleep(0.02)
    process.terminate(grace_s=0.5)
    assert not process.is_alive()


def test_close__ends_processes_and_removes_their_directory(sshd: Any, account: SshAccount) -> None:
    process = start(account, "sleep", "1000")
    account.close()
    await_gone(process.pid)
    await_nothing_in(sshd)
    assert account.ssh("true") == 0, "an account that was closed may be used anew"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_driver__ended_in_any_way__leaves_nothing_on_the_node(
    popen: Any, sshd: Any, how: signal.Signals
) -> None:
    script = (
        "import pickle, sys, time\n"
        "from systest.services.process import NodeProcess\n"
        "account = pickle.load(sys.stdin.buffer)\n"
        "left = NodeProcess.start(account, ['sleep', '1000'], name='left', directory=f'{account.home}/logs')\n"
        "print(left.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    driver = popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    driver.stdin.write(pickle.dumps(sshd.account()))
    driver.stdin.close()
    pid = int(driver.stdout.readline())
    driver.send_signal(how)
    driver.wait(GONE_LIMIT_S)
    await_gone(pid)
    await_nothing_in(sshd)


def test_sshd__killed__is_told_at_once_by_the_nodes_name_and_ends_what_ran_there(
    sshd: Any, account: SshAccount
) -> None:
    process = start(account, "sleep", "1000")
    sshd.cut()
    began_s = time.monotonic()
    with pytest.raises(NodeLost, match=r"node: the connection to .* is lost"):
        process.is_alive()
    with pytest.raises(NodeLost, match=r"node: the connection to .* is lost"):
        account.ssh("true")
    assert time.monotonic() - began_s < SOON_S
    await_gone(process.pid)
    await_nothing_in(sshd)


def test_sshd__killed_in_the_middle_of_a_command__is_told_at_once(
    popen: Any, sshd: Any, account: SshAccount
) -> None:
    account.ssh("true")
    script = (
        f"import os, time; time.sleep(1); [os.kill(pid, 9) for pid in {[p.pid for p in sshd.sessions()]}]"
    )
    began_s = time.monotonic()
    popen([sys.executable, "-c", script])
    with pytest.raises(NodeLost):
        account.ssh("sleep 1000")
    assert time.monotonic() - began_s < SOON_S


def test_node__that_answers_no_more__is_told_in_time(
    sshd: Any, account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_ANSWER_LIMIT_S", 1.0)
    process = start(account, "sleep", "1000")
    sessions = sshd.sessions()
    for session in sessions:
        session.suspend()
    began_s = time.monotonic()
    with pytest.raises(NodeLost):
        process.is_alive()
    assert time.monotonic() - began_s < SOON_S
    for session in sessions:
        session.resume()
    await_gone(process.pid)


def test_node__frozen_in_the_middle_of_a_command__is_told_in_time(
    sshd: Any, account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_ANSWER_LIMIT_S", 2.0)
    monkeypatch.setattr(ssh, "_BEAT_S", 0.2)
    account.ssh("true")
    sessions = sshd.sessions()
    freeze = threading.Timer(0.5, lambda: [session.suspend() for session in sessions])
    freeze.start()
    began_s = time.monotonic()
    with pytest.raises(NodeLost, match=r"is lost \(no answer in 2 s\)"):
        account.ssh("sleep 1000")
    assert time.monotonic() - began_s < 2 * SOON_S
    freeze.join()
    for session in sessions:
        session.resume()
    await_nothing_in(sshd)


def test_node__frozen_while_it_is_connected_to__is_told_in_time(
    sshd: Any, account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_HELLO_LIMIT_S", 3.0)
    greeted = account._hello

    def freeze(watch: Any) -> Any:
        hello = greeted(watch)
        for session in sshd.sessions():
            session.suspend()
        return hello

    monkeypatch.setattr(account, "_hello", freeze)
    began_s = time.monotonic()
    with pytest.raises(NodeLost, match=r"did not answer a first question \(no answer in 3 s\)"):
        account.ssh("true")
    account.close()
    assert time.monotonic() - began_s < 2 * SOON_S
    for session in sshd.sessions():
        session.resume()
    await_nothing_in(sshd)


def test_driver__that_falls_silent__leaves_nothing_on_the_node_though_the_connection_stays(
    sshd: Any, account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after its power or its network went: for sshd the connection goes on for hours."""
    monkeypatch.setattr(ssh, "_WATCH", watch_that_minds_silence(3.0))
    monkeypatch.setattr(ssh, "_BEAT_S", 1_000.0)
    process = start(account, "sleep", "1000")
    await_gone(process.pid)
    await_nothing_in(sshd)
    with pytest.raises(NodeLost, match=r"the connection to .* is lost"):
        account.free_bytes()


def test_driver__that_waits_for_long__is_not_taken_for_gone(
    account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_WATCH", watch_that_minds_silence(4.0))
    monkeypatch.setattr(ssh, "_BEAT_S", 0.2)
    process = start(account, "sleep", "1000")
    time.sleep(6.0)
    assert process.is_alive()


def test_account__closed__leaves_no_thread_that_asks(account: SshAccount) -> None:
    account.ssh("true")
    assert "pulse" in {thread.name for thread in threading.enumerate()}
    account.close()
    assert "pulse" not in {thread.name for thread in threading.enumerate()}


def test_account__given_up__answers_no_thread_until_it_is_closed(account: SshAccount) -> None:
    account.ssh("true")
    account.give_up("it is over")
    with pytest.raises(NodeLost, match="node: it is over"):
        account.ssh("true")
    account.close()
    account.ssh("true")


def test_answers__of_a_node_that_lives__lets_it_greet_and_speaks_no_ssh(sshd: Any) -> None:
    """The runner forks right after it, and what a thread has locked of OpenSSL then stays locked in the fork."""
    assert sshd.account().answers()
    log = (sshd.directory / "log").read_text()
    assert "Accepted" not in log
    sshd.account().ssh("true")
    assert "Accepted" in (sshd.directory / "log").read_text()


def test_watch__killed__leaves_what_the_next_connection_removes(sshd: Any, account: SshAccount) -> None:
    process = start(account, "sleep", "1000")
    [home] = sshd.homes()
    [watch] = [
        each for each in sshd.process.children(recursive=True) if "systest.clusters.watch" in words(each)
    ]
    watch.kill()
    account.close()
    await_gone(watch.pid)
    other = sshd.account()
    assert other.home != str(home)
    await_gone(process.pid)
    assert not home.exists()
    other.close()


def test_account__pickled__connects_anew_and_leaves_the_first_connection_alone(account: SshAccount) -> None:
    account.ssh("true")
    other = pickle.loads(pickle.dumps(account))
    assert other.home != account.home
    other.close()
    assert account.ssh("true") == 0


def test_forked_child__that_ends__leaves_the_connection_alone(account: SshAccount) -> None:
    account.ssh("true")
    if (pid := os.fork()) == 0:
        account._begin()
        gc.collect()
        os._exit(0)
    os.waitpid(pid, 0)
    assert account.ssh_output("echo still here") == b"still here\n"


def test_key__that_is_refused__is_named(sshd: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    with pytest.raises(NodeLost, match=f"node: .*the key {other} is refused"):
        sshd.account(identityfile=str(other)).ssh("true")


def test_key__that_is_no_file__is_named(sshd: Any) -> None:
    with pytest.raises(NodeLost, match="its key /none can't be read"):
        sshd.account(identityfile="/none").ssh("true")


def test_node__that_can_not_be_reached__is_named_with_its_address(sshd: Any) -> None:
    sshd.stop()
    with pytest.raises(
        NodeLost, match=rf"it can't be reached at 127\.0\.0\.1:{sshd.port} \(Connection refused\)"
    ):
        sshd.account().ssh("true")


def test_node__without_the_harness__says_what_to_run(sshd: Any) -> None:
    (sshd.home / ".systest/venv").unlink()
    with pytest.raises(NotProvisioned, match="run `systest provision`"):
        sshd.account().ssh("true")


def test_node__whose_login_shell_talks__is_told_at_once_what_it_says(
    account: SshAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_WATCH", f"echo Welcome; {ssh._WATCH}")
    began_s = time.monotonic()
    with pytest.raises(NodeError, match="its login shell prints 'Welcome' before"):
        account.ssh("true")
    assert time.monotonic() - began_s < SOON_S


def test_address__that_the_cluster_file_does_not_tell__is_where_the_node_was_reached_and_not_its_name(
    sshd: Any,
) -> None:
    account = SshAccount(RemoteAccountSSHConfig(**{**sshd.entry()["ssh_config"], "hostname": "localhost"}))
    assert node_address(account) == "127.0.0.1"
    assert len(free_ports(account, 1)) == 1
    account.close()
    account.externally_routable_ip = "node.example"
    assert node_address(account) == "node.example"


def test_node__with_another_harness__says_what_to_run(sshd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "harness_id", lambda: "another")
    with pytest.raises(NotProvisioned, match=r"its harness is another one .*run `systest provision`"):
        sshd.account().ssh("true")
