"""The system calls that a model may make: an allow-list as a small BPF program, assembled here.

Source: kernel documentation, "Seccomp BPF (SECure COMPuting with filters)"; in struct seccomp_data the number stands at
byte 0, the architecture at 4 and six arguments of 8 bytes from 16. docs/decisions/0002 says why without libseccomp.
"""

import platform
import struct

LD, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of NUMBERS, AUDIT_ARCH_…

# (x86_64, aarch64), from asm/unistd_64.h and asm-generic/unistd.h; a test compares them with libseccomp's.
# fmt: off
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "lseek": (8, 62),
    "close": (3, 57), "close_range": (436, 436), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "fcntl": (72, 25), "openat": (257, 56), "open": (2, None), "stat": (4, None), "fstat": (5, 80),
    "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "statfs": (137, 43), "fstatfs": (138, 44), "mmap": (9, 222),
    "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233), "brk": (12, 214),
    "membarrier": (324, 283), "rseq": (334, 293), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
    "set_tid_address": (218, 96), "arch_prctl": (158, None), "futex": (202, 98), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "getcpu": (309, 168), "gettid": (186, 178), "getpid": (39, 172), "getppid": (110, 173), "getpgrp": (111, None),
    "getpgid": (121, 155), "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getresuid": (118, 148), "getresgid": (120, 150), "getgroups": (115, 158),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getrusage": (98, 165),
    "getrlimit": (97, 163), "uname": (63, 160), "sysinfo": (99, 179), "getrandom": (318, 278),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "pause": (34, None), "alarm": (37, None), "setitimer": (38, 103),
    "getitimer": (36, 102), "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22),
    "eventfd2": (290, 19), "pipe": (22, None), "pipe2": (293, 59), "exit": (60, 93), "exit_group": (231, 94),
    "wait4": (61, 260), "ioctl": (16, 29), "prctl": (157, 167), "prlimit64": (302, 261),
    "clone": (56, 220), "clone3": (435, 435), "recvmsg": (47, 212), "recvfrom": (45, 207), "sendmsg": (46, 211),
    "sendto": (44, 206), "setsid": (112, 157),
}
# fmt: on

ZYGOTE_ONLY = frozenset({"recvmsg", "recvfrom", "sendmsg", "sendto", "setsid"})

CLONE_THREAD, CLONE_NAMESPACES = 0x00010000, 0x7E020000
PR_SET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 15, 16, 22, 38
PR_SET_VMA = 0x53564D41  # glibc names its anonymous mappings
TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX = 0x5401, 0x541B, 0x5421, 0x5450, 0x5451
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; not F_SETOWN, which sends signals to whoever one names
FCNTL = (0, 1, 2, 3, 4, 1030)
SIGKILL = 9

Test = tuple[int, str, int]  # argument, "is" | "has" | "lacks", value or bits; the low 32 bits of the argument count
Rule = list[list[Test]]  # allowed if every test of any alternative holds


def _rules(zygote: bool) -> dict[str, Rule]:
    names = [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA]
    clone: list[Test] = [(0, "lacks", CLONE_NAMESPACES)]
    prctl: Rule = [[(0, "is", name)] for name in names]
    if zygote:  # what a child does to confine itself further; the death signal can be set there, never unset
        prctl += [[(0, "is", PR_SET_PDEATHSIG), (1, "is", SIGKILL)]]
        prctl += [[(0, "is", PR_SET_SECCOMP)], [(0, "is", PR_SET_NO_NEW_PRIVS)]]
    else:
        clone += [(0, "has", CLONE_THREAD)]
    return {
        "clone": [clone],
        "prctl": prctl,
        "prlimit64": [[(0, "is", 0)]],
        "fcntl": [[(1, "is", command)] for command in FCNTL],
        "ioctl": [[(1, "is", request)] for request in (TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX)],
    }


def _instruction(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, true, false, value)


def _conditional(number: int, rule: Rule) -> bytes:
    body = b""
    for alternative in rule:
        for left, (argument, test, value) in zip(range(len(alternative) - 1, -1, -1), alternative, strict=True):
            skip = 2 * left + 1  # to the next alternative: the tests that are left, and the RET
            body += _instruction(LD, 16 + 8 * argument)
            body += _instruction(JEQ if test == "is" else JSET, value, *((skip, 0) if test == "lacks" else (0, skip)))
        body += _instruction(RET, ALLOW)
    body += _instruction(RET, ERRNO | EPERM)
    return _instruction(JEQ, number, 0, len(body) // 8) + body


def program(*, zygote: bool, machine: str | None = None) -> bytes | None:
    """The filter for a zygote or for a run, in 8-byte instructions; None on an architecture without a table.

    A run may start threads but no process, signal nobody, open no socket and execute nothing. A zygote may also fork
    and confine its children further; it cannot kill them: the gateway ends runs itself. abort() cannot signal either
    and falls back to an illegal instruction, which is a crash as well.
    """
    known = ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    out = _instruction(LD, 4) + _instruction(JEQ, architecture, 1, 0) + _instruction(RET, KILL_PROCESS)
    out += _instruction(LD, 0)
    if column == 0:  # the x32 numbers reach the same calls by another door
        out += _instruction(JGE, 0x40000000, 0, 1) + _instruction(RET, ERRNO | ENOSYS)
    rules = _rules(zygote)
    for name, numbers in NUMBERS.items():
        number = numbers[column]
        if number is None or (name in ZYGOTE_ONLY and not zygote):
            continue
        if name == "clone3":  # its flags stand in memory, where no filter can read them: glibc then calls clone
            out += _instruction(JEQ, number, 0, 1) + _instruction(RET, ERRNO | ENOSYS)
        elif name in rules:
            out += _conditional(number, rules[name])
        else:
            out += _instruction(JEQ, number, 0, 1) + _instruction(RET, ALLOW)
    return out + _instruction(RET, ERRNO | EPERM)
