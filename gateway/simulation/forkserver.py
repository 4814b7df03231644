"""Forkserver: has everything imported that a model may need, and forks a zygote or a validator whenever it is asked. A
script, started by forkservers.py; it never touches a model.

    python -I forkserver.py <control descriptor> <room for the command lines that its children show>

Why it is there: importing numpy and FMPy takes 0.3 s of a processor, and starting a program holds the event loop of who
starts it until that has begun. Forked from here a zygote costs neither, and shares its memory with the others.
"""

import contextlib
import errno
import gc
import json
import os
import signal
import socket
import sys
from typing import NoReturn

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import fmpy.fmi2  # everything a run may need: a confined process cannot find files any more
import fmpy.fmi3
import fmpy.validation  # noqa: F401
import lxml.etree  # noqa: F401

from gateway.simulation import frame, intake, progress, sandbox, stepper, title, validator, zygote  # noqa: F401


def serve(control: socket.socket) -> NoReturn:
    """For each {"id", "role", "directory", "kind", "uid", "memory"} and one descriptor, a keeper: its {"id", "pid"} and
    pidfd go back; {"id", "errno"} if there can be none."""
    forkserver = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers here; their pidfds tell the gateway
    while True:
        message, descriptors, *_ = socket.recv_fds(control, 65536, 1)
        if not message:
            os._exit(0)  # the gateway let go
        request = json.loads(message)
        keeper, said, handles = 0, {"id": request.pop("id")}, list[int]()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # one that ends at once is there until its pidfd is open
        try:
            if not descriptors:
                raise OSError(errno.EMFILE, "no descriptor is left")
            keeper = os.fork()
            if not keeper:
                try:
                    become(descriptors[0], forkserver, **request)
                finally:
                    os._exit(70)
            said["pid"] = keeper
            handles.append(os.pidfd_open(keeper))
        except OSError as error:  # everybody else's zygotes are its children: it must not end for one
            said["errno"] = error.errno or 0
            if keeper:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(keeper, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with contextlib.suppress(ChildProcessError):  # those that ended meanwhile
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        socket.send_fds(control, [json.dumps(said).encode()], handles)
        for descriptor in (*descriptors, *handles):
            os.close(descriptor)


def become(
    descriptor: int, forkserver: int, *, role: str, directory: str, kind: str, uid: int, memory: int
) -> NoReturn:
    sandbox.die_with_parent()
    if os.getppid() != forkserver:  # it died before that
        os._exit(0)
    sandbox.silence()
    sandbox.only_descriptor(descriptor)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    title.show(f"fmu-gateway keeper {directory} {kind}")
    if role == "validator":
        validator.main(descriptor, directory, uid, memory)
    zygote.main(descriptor, directory, kind, uid, memory)


def prepare() -> None:
    sandbox.die_with_parent()
    title.prepare()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page


if __name__ == "__main__":
    prepare()
    serve(socket.socket(fileno=int(sys.argv[1])))
