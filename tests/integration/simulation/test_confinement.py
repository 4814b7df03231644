"""What a model may do: nearly nothing. Tried by Python code in the place of a model's, as root and as an ordinary user,
with namespaces and without."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from simulation_bench import ROOT

# The first lines of every script: a machine without namespaces or landlock, where that is asked for.
START = """
import json, os, socket, sys
sys.path.append({root!r})
from gateway.simulation import keeper, sandbox, seccomp
if {without!r}:
    sandbox.no_new_privileges()
    numbers = {{"namespaces": {{"x86_64": 272, "aarch64": 97}}[os.uname().machine], "landlock": 444}}
    i = seccomp._instruction
    program = i(seccomp.LD, 0) + i(seccomp.JEQ, numbers[{without!r}], 0, 1)
    program += i(seccomp.RET, seccomp.ERRNO | seccomp.EPERM) + i(seccomp.RET, seccomp.ALLOW)
    sandbox.filter_system_calls(program)
"""

ATTEMPTS = """
import ctypes, errno, threading
outside = os.getppid() if {without!r} else 1
control, ours = socket.socketpair()
missing = keeper.keep(control.fileno(), 61000)
secret, mine = {secret!r}, {mine!r}
missing += sandbox.confine_zygote(mine, 61000, own_user_namespace=not missing)
if {role!r} == "run":
    sandbox.filter_system_calls(seccomp.program(zygote=False))
libc = ctypes.CDLL(None, use_errno=True)

def native(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def fork():
    if os.fork() == 0:
        os._exit(0)

attempts = {{
    "read its own files": lambda: open(mine + "/modelDescription.xml").read(),
    "start a thread": lambda: threading.Thread(target=int).start(),
    "read a secret": lambda: open(secret).read(),
    "read root's secret": lambda: open(secret + "-of-root").read(),
    "read passwd": lambda: open("/etc/passwd").read(),
    "list the root": lambda: os.listdir("/"),
    "list its workspace": lambda: os.listdir(os.path.dirname(mine)),
    "read another's environment": lambda: open("/proc/self/environ").read(),
    "write beside itself": lambda: open(mine + "/new", "w"),
    "write to /tmp": lambda: open("/tmp/new-from-a-model", "w"),
    "write to shared memory": lambda: open("/dev/shm/new-from-a-model", "w"),
    "make memory a file": lambda: os.memfd_create("x"),
    "open an internet socket": lambda: socket.socket(socket.AF_INET),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "kill everybody": lambda: os.kill(-1, 0),
    "kill its parent": lambda: os.kill(outside, 0),
    "trace": lambda: native("ptrace", 0, 0, 0, 0),
    "read another's memory": lambda: native("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "make namespaces": lambda: native("unshare", 0x10000000),
    "become root": lambda: os.setuid(0),
    "mount": lambda: native("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "use io_uring": lambda: native("syscall", 425, 1, ctypes.create_string_buffer(200)),
    "outlive its parent": lambda: sandbox._call("prctl", 1, 0, 0, 0, 0),
    "open by handle": lambda: native("open_by_handle_at", -1, ctypes.create_string_buffer(200), 0),
    "fork": fork,
}}
done = {{}}
for name, attempt in attempts.items():
    try:
        attempt()
        done[name] = "done"
    except OSError as error:
        done[name] = errno.errorcode.get(error.errno, str(error))
print(json.dumps({{"missing": missing, "uid": os.getuid(), "done": done}}), flush=True)
"""

RUNS = """
import asyncio, dataclasses, pathlib
from gateway.errors import RunFailed
from gateway.simulation import library
from gateway.simulation.runner import Runner

async def main():
    runner = Runner(parallel=2, queued=8, timeout_seconds=60, memory_mb=256)
    await runner.start()
    found = await library.Library.open(pathlib.Path({models!r}), pathlib.Path({workspace!r}), runner)
    crashes = found.models["test:Crashes"]
    plan = dataclasses.replace(library.trial(crashes), start_values={{"crash_at": 0.5}})
    try:
        with runner.reserve(paid=True) as place:
            await runner.run(plan, found.directory_of(crashes), place)
    except RunFailed as failure:
        crash = failure.detail
    await runner.close()
    ball = found.reference(found.models["test:BouncingBall"]).sha256
    return {{"level": runner.level, "missing": runner.missing, "ball": ball, "crash": crash, "refused": found.refused}}

print(json.dumps(asyncio.run(main())))
"""

SERVES = """
import asyncio, contextlib, io, os, pathlib, signal
sys.path.append({root!r} + "/tests")
import hostile
from gateway.app import open_services
from gateway.settings import Settings
from gateway.simulation.forkservers import NoProcess
from gateway.simulation.library import trial

async def main():
    settings = {{"fmu_gateway_db_path": {database!r}, "models_dir": {models!r}, "stripe_enabled": False}}
    async with open_services(Settings(**settings)) as s:
        if {later!r}:
            hostile.take_away("landlock")
            os.kill(s.runner.forkserver._running.process.pid, signal.SIGKILL)
        for _ in range(3):  # the first may still find what is dying
            with s.runner.reserve(paid=True) as place, contextlib.suppress(NoProcess):
                ball = s.library.models["test:BouncingBall"]
                await s.runner.run(trial(ball), s.library.directory_of(ball), place)

with contextlib.redirect_stderr(io.StringIO()) as log:
    asyncio.run(main())
lines = map(json.loads, log.getvalue().splitlines())
print(json.dumps([line for line in lines if line["event"] == "sandbox_missing"]))
"""


def execute(user, script: str, **values) -> dict[str, object]:
    python, how = user
    script = (START + script).format(root=str(ROOT), **values)
    command = [python, "-I", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd="/", **how)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


ALLOWED = {"read its own files", "start a thread"}


@pytest.mark.parametrize("without", ["", "namespaces"])
@pytest.mark.parametrize("role", ["zygote", "run"])
def test_a_model_reaches_nothing_but_its_own_files(user, place, role, without):
    values = {"secret": str(place / "secret"), "mine": str(place / "unpacked" / "mine")}
    said = execute(user, ATTEMPTS, without=without, role=role, **values)
    assert [m.split(":")[0] for m in said["missing"]] == ([without] if without else [])
    assert said["uid"] != 0
    allowed = ALLOWED | ({"fork"} if role == "zygote" else set())
    assert {name for name, outcome in said["done"].items() if outcome == "done"} == allowed


def test_without_landlock_a_model_of_root_reads_no_more_than_anybody(user, place):
    values = {"secret": str(place / "secret"), "mine": str(place / "unpacked" / "mine")}
    done = execute(user, ATTEMPTS, without="landlock", role="run", **values)["done"]
    assert done["read a secret"] == "done"
    assert done["read root's secret"] == ("EACCES" if os.getuid() == 0 else "done")


@pytest.mark.parametrize("without", ["", "namespaces", "landlock"])
def test_models_run_and_crash_alike_for_every_user(user, place, without):
    workspace = Path(tempfile.mkdtemp(dir=place))
    workspace.chmod(0o777)
    said = execute(user, RUNS, without=without, models=str(place / "models"), workspace=str(workspace))
    assert said["level"] == {"": "full", "namespaces": "no-namespaces", "landlock": "none"}[without]
    assert [m.split(":")[0] for m in said["missing"]] == ([without] if without else [])
    assert "by signal 11" in said["crash"]
    assert said["refused"] == {}
    kept = place / "ball"
    if kept.exists():
        assert kept.read_text() == said["ball"]
    kept.write_text(said["ball"])


@pytest.mark.parametrize("later", [False, True], ids=["at the start", "later"])
def test_what_the_sandbox_lacks_is_logged_once_when_it_is_found(place, later):
    data = Path(tempfile.mkdtemp(dir=place))
    data.chmod(0o755)
    values = {"models": str(place / "models"), "database": str(data / "gateway.sqlite3"), "later": later}
    (line,) = execute((sys.executable, {}), SERVES, without="" if later else "landlock", **values)
    assert (line["level"], line["sandbox"]) == ("warning", "none")
    assert [m.split(":")[0] for m in line["missing"]] == ["landlock"]
