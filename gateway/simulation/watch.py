"""Watch: what a zygote does when nobody asks it to, as the kernel tells it, so that no model's code can lie about it.

A library's constructors run in the zygote. What they may leave there, a process, a thread, a timer, would go on for as
long as the zygote lives and slow down whatever runs beside it.
"""

import os
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
LOADING_SECONDS = 0.05  # between two looks while a library is loaded: time to touch 100 MB with two cores
STARTS_PROCESSES = "its library starts processes when it is loaded"
IDLE_CPU_SECONDS = 0.3  # between two looks, a second apart, of a zygote that had nothing to do


@dataclass(frozen=True, slots=True)
class Sight:
    """`others`: processes of the keeper beside the zygote; `children`, `threads`: of the zygote; `cpu` (seconds):
    of it and its children."""

    others: int
    children: int
    threads: int
    cpu: float


def look(keeper: int) -> Sight | None:
    """None if it is gone or /proc does not tell. About 0.1 ms."""
    try:
        children = _children(keeper)
        if not children:
            return None
        zygote = children[0]  # the oldest: the keeper forks it before anything else can be there
        runs = _children(zygote)
        stat = _stat(zygote)
        ticks = sum(int(each[11]) + int(each[12]) for each in (stat, *map(_stat, runs)))
        return Sight(len(children) - 1, len(runs), int(stat[17]), ticks / TICKS)
    except (OSError, ValueError, LookupError):
        return None


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
        return [int(child) for child in file.read().split()]


def _stat(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def has_others(now: Sight | None) -> bool:
    """Whether a zygote that still loads its library is not alone. Each process may take as much memory as a zygote."""
    return now is not None and bool(now.others or now.children)


def judge(now: Sight | None, before: Sight | None, *, runs: int) -> str | None:
    """Why it must end, or None. `before` is an earlier sight if it had nothing to do in between."""
    if now is None:
        return None
    if now.threads > 1:
        return "its library starts threads when it is loaded, before anything is asked of it"
    if now.others or now.children > runs:
        return STARTS_PROCESSES
    if before is not None and now.cpu - before.cpu > IDLE_CPU_SECONDS:
        return "its library goes on working while nothing is asked of it"
    return None
