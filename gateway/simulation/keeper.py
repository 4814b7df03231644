"""Keeper: the process between the gateway and a zygote. It waits, and cleans up after what the zygote leaves behind."""

import contextlib
import os
import signal

from gateway.simulation import sandbox


def keep(control: int, uid: int) -> list[str]:
    """Fork the zygote into its own namespaces and stay behind as its keeper; returns in the zygote only, with what
    could not be had. Where there is no namespace, the keeper adopts what the model's processes leave, and ends it."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox.die_with_parent(signal.SIGTERM)
    sandbox.adopt_orphans()
    missing = []
    try:
        sandbox.namespaces()
    except OSError as error:
        missing.append(f"namespaces: {error.strerror}")
    zygote = os.fork()
    if not zygote:
        sandbox.die_with_parent()
        sandbox.first_to_go()
        return missing
    os.close(control)
    signal.signal(signal.SIGTERM, lambda *_: _kill(zygote, signal.SIGKILL))
    while os.wait()[0] != zygote:
        pass
    _sweep(uid)
    os._exit(0)


def _sweep(uid: int) -> None:
    """End whatever the model's processes left to the keeper, faster than they fork. Root ends all of their user at
    once; others stop them all first: what is stopped keeps its place below the limit, so that no new one can begin."""
    while left := _descendants():
        if os.geteuid() == 0:
            _end_all_of(uid)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                _kill(pid, number)
            if not _descendants() <= left:
                break
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_all_of(uid: int) -> None:
    child = os.fork()
    if not child:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _descendants() -> set[int]:
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                parents[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: set[int] = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}
