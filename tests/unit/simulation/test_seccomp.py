"""The filter allows what it means to: the numbers are the kernel's, and the program is read as the kernel reads it."""

import struct

import pytest

from gateway.simulation import seccomp

MACHINES = sorted(seccomp.ARCHITECTURES)


def decide(machine, *, zygote, call, arguments=(), architecture=None, number=None):
    """What the kernel would answer: "allow", "kill" or an errno."""
    column, arch = seccomp.ARCHITECTURES[machine]
    number = seccomp.NUMBERS[call][column] if number is None else number
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture or arch, 0, *(w & (2**64 - 1) for w in words))
    program = seccomp.program(zygote=zygote, machine=machine)
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    register, at = 0, 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation == seccomp.LD:
            (register,) = struct.unpack_from("<I", data, value)
        elif operation == seccomp.RET:
            return {seccomp.ALLOW: "allow", seccomp.KILL_PROCESS: "kill"}.get(value, value & 0xFFFF)
        else:
            test = {
                seccomp.JEQ: register == value,
                seccomp.JGE: register >= value,
                seccomp.JSET: bool(register & value),
            }[operation]
            at += true if test else false


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_libseccomp(machine):
    pyseccomp = pytest.importorskip("pyseccomp", reason="needs libseccomp2", exc_type=Exception)
    arch = getattr(pyseccomp.Arch, machine.upper())
    column, _ = seccomp.ARCHITECTURES[machine]
    for name, numbers in seccomp.NUMBERS.items():
        known = pyseccomp.resolve_syscall(arch, name)
        assert numbers[column] == (known if known >= 0 else None), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("zygote", [True, False])
def test_everything_that_is_not_named_is_refused(machine, zygote):
    column, _ = seccomp.ARCHITECTURES[machine]
    named = {numbers[column] for numbers in seccomp.NUMBERS.values()}
    for number in set(range(600)) - named:
        assert decide(machine, zygote=zygote, call=None, number=number) == seccomp.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_dangerous_calls_are_not_named(machine):
    dangerous = {
        "socket",
        "connect",
        "execve",
        "execveat",
        "ptrace",
        "kill",
        "tkill",
        "unshare",
        "setns",
        "mount",
        "bpf",
    }
    dangerous |= {"io_uring_setup", "process_vm_readv", "open_by_handle_at", "keyctl", "memfd_create", "fork", "vfork"}
    assert not dangerous & set(seccomp.NUMBERS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "of_zygote", "of_run"),
    [
        ("read", (), "allow", "allow"),
        ("recvmsg", (), "allow", 1),
        ("sendto", (), "allow", 1),
        ("clone", (0x11,), "allow", 1),  # fork
        ("clone", (0x10F00,), "allow", "allow"),  # a thread
        ("clone", (0x10000000 | 0x10000,), 1, 1),  # a user namespace
        ("clone3", (), seccomp.ENOSYS, seccomp.ENOSYS),
        ("prctl", (seccomp.PR_SET_NAME,), "allow", "allow"),
        ("prctl", (seccomp.PR_SET_PDEATHSIG, 9), "allow", 1),
        ("prctl", (seccomp.PR_SET_PDEATHSIG, 0), 1, 1),
        ("prctl", (seccomp.PR_SET_SECCOMP, 2), "allow", 1),
        ("prctl", (4, 1), 1, 1),  # PR_SET_DUMPABLE
        ("prlimit64", (0, 7), "allow", "allow"),
        ("prlimit64", (1, 7), 1, 1),
        ("fcntl", (0, 4), "allow", "allow"),  # F_SETFL
        ("fcntl", (0, 8), 1, 1),  # F_SETOWN
        ("ioctl", (0, seccomp.TCGETS), "allow", "allow"),
        ("ioctl", (0, 0x5412), 1, 1),  # TIOCSTI
    ],
)
def test_arguments_count(machine, call, arguments, of_zygote, of_run):
    assert decide(machine, zygote=True, call=call, arguments=arguments) == of_zygote
    assert decide(machine, zygote=False, call=call, arguments=arguments) == of_run


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architectures_calls_end_the_process(machine):
    assert decide(machine, zygote=False, call="read", architecture=0x40000003) == "kill"


def test_the_second_set_of_numbers_of_x86_64_is_refused():
    assert decide("x86_64", zygote=False, call=None, number=0x40000000) == seccomp.ENOSYS


def test_an_unknown_machine_has_no_filter():
    assert seccomp.program(zygote=True, machine="vax") is None
