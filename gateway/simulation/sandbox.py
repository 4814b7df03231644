"""What confines a process that runs foreign code: namespaces, landlock, limits, privileges, seccomp; by ctypes only.

Used by zygote.py, in the order that stands there. Every function raises OSError if its layer cannot be had here.
Sources: man 7 landlock, man 7 user_namespaces, man 7 capabilities, man 2 prctl, man 2 seccomp.
"""

import contextlib
import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Callable, Sequence

from gateway.simulation import seccomp

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 8, 22, 36, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
SYS_LANDLOCK = 444  # create_ruleset; add_rule and restrict_self follow. The same number on every architecture
LANDLOCK_READ_FILE, LANDLOCK_READ_DIR = 1 << 2, 1 << 3
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_READ_SEARCH = 2

PROCESSES = 256  # and threads, of one zygote and all its runs: a fork or thread bomb ends here
FEW_PROCESSES = 64  # more than the user has when a zygote begins, where the operator's own processes count as well
OPEN_FILES = 64
# A constructor may leave a spinning thread behind; after this the next use starts a new zygote. No run may take longer.
ZYGOTE_CPU_SECONDS = 3600

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc, name)(*wide)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Follows the thread that forked; cleared by every change of user or capabilities, so say it again after one."""
    _call("prctl", PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def adopt_orphans() -> None:
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def first_to_go() -> None:
    """Where the machine runs out of memory the kernel ends this process, and what it forks, before any other: a
    model's processes may take more together than each may alone, and must not cost the gateway its life."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def namespaces() -> None:
    """Own network (empty), IPC and process ids from the next fork on. Works with one thread only."""
    own = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID
    _call("unshare", own if os.geteuid() == 0 else own | CLONE_NEWUSER)


def readable_libraries() -> list[str]:
    """Where shared libraries and Python's own modules stand: what any model may need, and no data of anybody."""
    places = [f"{sys.prefix}/lib", f"{sys.base_prefix}/lib", "/lib", "/lib64", "/usr/lib", "/usr/lib64"]
    packages = [path for path in sys.path if path.endswith("-packages")]  # FMPy's schemas, wherever it is installed
    return [*dict.fromkeys([*places, *packages, "/usr/local/lib", "/etc/ld.so.cache"])]


def landlock(readable: list[str]) -> None:
    """From here on this process opens nothing but files below `readable`, for reading."""
    version = _landlock_version()
    rights = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):  # refer, truncate, ioctl on devices
        rights |= (version >= since) << bit
    attributes = struct.pack("<QQQ", rights, 3, 3)  # files; binding and connecting; abstract sockets and signals
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call("syscall", SYS_LANDLOCK, attributes, size, 0)
    for path in readable:
        with contextlib.suppress(FileNotFoundError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            directory = stat.S_ISDIR(os.fstat(place).st_mode)
            allowed = LANDLOCK_READ_FILE | (LANDLOCK_READ_DIR if directory else 0)
            _call("syscall", SYS_LANDLOCK + 1, ruleset, 1, struct.pack("<Qi", allowed, place), 0)
            os.close(place)
    _call("syscall", SYS_LANDLOCK + 2, ruleset, 0)
    os.close(ruleset)


def has_landlock() -> bool:
    try:
        return bool(_landlock_version())
    except OSError:
        return False


def _landlock_version() -> int:
    return _call("syscall", SYS_LANDLOCK, None, 0, 1)


def no_new_privileges() -> None:
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def drop_privileges(uid: int, *, may_read: bool) -> None:
    """root becomes `uid`; whoever it was, no capability is left but one.

    With `may_read` root's keep CAP_DAC_READ_SEARCH: landlock already names every readable file, and a Python or a
    workspace below a 0700 home could not be read afterwards without it.
    """
    keep = 0
    if os.geteuid() == 0:
        _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        keep = 1 << CAP_DAC_READ_SEARCH if may_read else 0
    keep &= _permitted()  # a container's root may lack it
    _call("capset", _capabilities_of_this_thread(), struct.pack("<6I", keep, keep, 0, 0, 0, 0))


def may_read_everything() -> bool:
    """Whether there is a CAP_DAC_READ_SEARCH to keep."""
    return bool(_permitted() & 1 << CAP_DAC_READ_SEARCH)


def _permitted() -> int:
    now = ctypes.create_string_buffer(24)  # effective, permitted, inheritable, of 32 capabilities and of the next 32
    _call("capget", _capabilities_of_this_thread(), now)
    permitted: int = struct.unpack("<6I", now.raw)[1]
    return permitted


def _capabilities_of_this_thread() -> bytes:
    return struct.pack("<Ii", CAPABILITY_VERSION_3, 0)


def filter_system_calls(program: bytes | None) -> None:
    """`program` as seccomp.program() gives it. It can only be tightened afterwards."""
    if program is None:
        raise OSError(f"no table of system calls for {os.uname().machine}")
    code = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointer, 0, 0)


def limit(**limits: int) -> None:
    """RLIMIT_<name> by name, soft and hard; one that is already lower stays."""
    for name, value in limits.items():
        which = getattr(resource, f"RLIMIT_{name.upper()}")
        hard = resource.getrlimit(which)[1]
        new = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (new, new))


def tasks_of_user() -> int:
    """Processes and threads of this user now; 0 if /proc does not tell."""
    count = 0
    for entry in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{entry}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry}/task"))
    return count


def silence() -> None:
    """Standard input, output and error become /dev/null."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)


def only_descriptor(keep: int) -> None:
    """Closes every other descriptor above the standard three."""
    os.closerange(3, keep)
    os.closerange(keep + 1, 2**31 - 1)  # one close_range call


def confine_zygote(directory: str, uid: int, *, own_user_namespace: bool, also: Sequence[str] = ()) -> list[str]:
    """Everything that lasts for the zygote and all its runs; returns what could not be had, as sentences. `also` names
    files that can be read beside those in `directory`."""
    missing = []
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    if threads > 1:
        missing.append(f"confinement covers one thread, and {threads} were running")
    limit(core=0, nofile=OPEN_FILES, cpu=ZYGOTE_CPU_SECONDS)
    alone = os.geteuid() == 0 or own_user_namespace
    limit(
        nproc=PROCESSES if alone else FEW_PROCESSES + tasks_of_user()
    )  # it counts per user: the operator's own as well
    no_new_privileges()
    layers: dict[str, Callable[[], None]] = {
        "landlock": lambda: landlock([*readable_libraries(), directory, *also]),
        "privileges": lambda: drop_privileges(uid, may_read=not any(m.startswith("landlock") for m in missing)),
        "seccomp": lambda: filter_system_calls(seccomp.program(zygote=True)),
    }
    for name, layer in layers.items():
        try:
            layer()
            if name == "privileges":
                die_with_parent()
        except OSError as error:
            missing.append(f"{name}: {error.strerror or error}")
    return missing
