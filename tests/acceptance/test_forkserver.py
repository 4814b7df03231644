"""The forkserver of a gateway that serves has nothing of the gateway: it began before that had anything."""

import os
from pathlib import Path

from processes import descendants

from gateway.simulation.forkservers import ENVIRONMENT


def test_it_has_no_setting_and_nothing_open_but_its_end_of_one_socket(serve):
    gateway = serve().wait_until_ready()
    processes = [Path(f"/proc/{pid}") for pid in descendants(gateway.process.pid)]
    (forkserver,) = [process for process in processes if b"forkserver.py" in (process / "cmdline").read_bytes()]
    settings = (forkserver / "environ").read_text().rstrip("\0").split("\0")
    assert dict(setting.split("=", 1) for setting in settings) == ENVIRONMENT
    open_there = [os.readlink(descriptor) for descriptor in sorted((forkserver / "fd").iterdir())]
    tables = [Path("/proc/self/net", name).read_text() for name in ("tcp", "tcp6")]
    nothing, nowhere, errors, control = open_there
    assert nothing == nowhere == "/dev/null"
    assert errors.startswith("pipe:")
    assert control.startswith("socket:")
    assert not any(f" {control[8:-1]} " in table for table in tables)  # nor is it the door that buyers come to
