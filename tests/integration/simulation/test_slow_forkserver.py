"""A forkserver that is slow at the wrong moment, as on a busy machine: what it forked may have ended by then."""

import json
import select
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SLOW = """
import os, socket, sys, time
sys.path.insert(0, sys.argv[2])
from gateway.simulation import forkserver
forkserver.become = lambda *_, **__: os._exit(0)
pidfd_open = os.pidfd_open
def late(pid):
    time.sleep(0.05)
    return pidfd_open(pid)
os.pidfd_open = late
forkserver.serve(socket.socket(fileno=int(sys.argv[1])))
"""


def test_what_ends_before_it_is_looked_at_has_been_there_and_leaves_nothing() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", SLOW, str(theirs.fileno()), str(ROOT)]
    forkserver = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    ours.settimeout(20)
    try:
        for number in range(3):
            socket.send_fds(ours, [json.dumps({"id": number}).encode()], [theirs.fileno()])
            message, handles, *_ = socket.recv_fds(ours, 4096, 1)
            said = json.loads(message)
            assert said.keys() == {"id", "pid"}, said
            with open(handles[0]) as handle:
                assert select.select([handle], [], [], 20)[0], "it did not end"
        assert Path(f"/proc/{forkserver.pid}/task/{forkserver.pid}/children").read_text() == ""
    finally:
        forkserver.kill()
        forkserver.wait()
        ours.close()
        theirs.close()
