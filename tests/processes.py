"""Processes of ours, seen from outside: what they say they are, and what the kernel says of them."""

import contextlib
import os
from pathlib import Path


def descendants(parent: int) -> set[int]:
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents[int(entry)] = int(fields[1])
    found = {parent}
    while more := {pid for pid, of in parents.items() if of in found} - found:
        found |= more
    return found - {parent}


def of_kind(kind: str) -> set[int]:
    """Processes of ours, by what they say they are: forkserver, keeper, zygote, or run, also one that only waits."""
    found = set()
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
            of_forkserver = any(word.endswith("forkserver.py") for word in words)
            if words[:2] == ["fmu-gateway", kind] or (kind == "forkserver" and of_forkserver):
                found.add(pid)
    return found


def busy() -> set[int]:
    """Runs' processes that have been told their job: they may write no file from then on."""
    found = set()
    for pid in of_kind("run"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            if limits(pid)["Max file size"] == "0":
                found.add(pid)
    return found


def running(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def limits(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


def descriptors() -> set[tuple[str, ...]]:
    """What this process holds, each told from whatever else has had its number: by what it leads to and, of a pidfd,
    whose it is. So those of before can be taken away, whoever lets go of them meanwhile. Without connections: other
    tests' gateways and buyers make theirs at any time."""
    connections, found = _connections(), set[tuple[str, ...]]()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one with which the folder was read
            target, inode = os.readlink(f"/proc/self/fd/{number}"), os.stat(int(number)).st_ino
            facts = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()
            found.add((number, target, str(inode), *(fact for fact in facts if fact.startswith("Pid:"))))
    connections |= _connections()  # also those that were made or closed while we looked
    return {descriptor for descriptor in found if descriptor[1] not in connections}


def _connections() -> set[str]:
    tables = [Path("/proc/self/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    return {f"socket:[{line.split()[9]}]" for table in tables for line in table}
