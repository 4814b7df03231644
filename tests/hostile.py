"""The hostile corpus: an FMU for each fault of data/hostile/hostile.c, what must come of a run of it, and how to see
that nothing else came of it. Longer than other files: the table of faults and what reads it read better whole.
As a script it goes through all faults and prints what was wrong as JSON:

    python tests/hostile.py <folder> [--without namespaces] [--together <count> | --in-a-row <count>]
"""

import asyncio
import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fmpy

from gateway.domain.runs import RunPlan
from gateway.errors import MemoryLimit, ModelCrashed, ModelError, RunFailed, SimulationTimeout
from gateway.simulation import description, intake, run_process, sandbox, seccomp
from gateway.simulation.forkservers import START_SECONDS, NoProcess
from gateway.simulation.library import trial
from gateway.simulation.runner import Outcome, Runner

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "tests" / "data" / "hostile" / "hostile.c"
SOURCES = sorted(SOURCE.parent.glob("*.c"))
BALL = ROOT / "gateway" / "simulation" / "shipped" / "msl" / "BouncingBall.fmu"
HEADERS = Path(fmpy.__file__).parent / "c-code"
BAKED = b"FAULT=" + b" " * 33

HARMLESS = "harmless"  # the run succeeds, and what it tried was not possible
CRASH, TIMEOUT, MEMORY, ERROR = ModelCrashed, SimulationTimeout, MemoryLimit, ModelError
WHERE = r"refused the step from 0\.4 s to 0\.5 s"

# Fault → what its run ends as, and what the sentence about it contains. "_load" runs in the library's constructor.
FAULTS: dict[str, tuple[Any, str]] = {
    # crashes, and ends that look like success
    "segfault": (CRASH, "signal 11"), "aborts": (CRASH, "signal"), "illegal": (CRASH, "signal"),
    "overflow": (CRASH, "signal 11"), "jump": (CRASH, "signal 11"), "scribble": (CRASH, "signal"),
    "crash_in_thread": (CRASH, "signal 11"), "exit0": (CRASH, "exit code 0"), "exit0_at_once": (CRASH, "exit code 0"),
    "exit0_instantiate": (CRASH, "exit code 0"), "exit0_init": (CRASH, "exit code 0"),
    "segfault_instantiate": (CRASH, "signal 11"), "segfault_get": (CRASH, "signal 11"),
    "null_instantiate": (ERROR, "instantiate"), "segfault_load": (CRASH, "loaded"), "aborts_load": (CRASH, "loaded"),
    "exit0_load": (CRASH, "loaded"), "exit0_at_once_load": (CRASH, "loaded"), "segfault_free": (HARMLESS, ""),
    # hangs
    "loop": (TIMEOUT, "did not end"), "sleeps": (TIMEOUT, "did not end"), "deaf": (TIMEOUT, "did not end"),
    "deadlock": (TIMEOUT, "did not end"), "loop_instantiate": (TIMEOUT, "did not end"),
    "loop_get": (TIMEOUT, "did not end"), "loop_terminate": (HARMLESS, ""), "loop_free": (HARMLESS, ""),
    "loop_unload": (HARMLESS, ""), "loop_load": (TIMEOUT, "Loading"), "sleeps_load": (TIMEOUT, "Loading"),
    "deaf_load": (TIMEOUT, "Loading"), "timer": (HARMLESS, ""), "spin_in_thread": (HARMLESS, ""),
    "spin_in_thread_load": (CRASH, "starts threads"), "timer_load": (HARMLESS, ""), "spin_later_load": (HARMLESS, ""),
    "spin_in_child_load": (HARMLESS, ""),
    # memory
    "eat": (MEMORY, ""), "eat_and_crash": (MEMORY, ""), "eat_instantiate": (MEMORY, ""),
    "eat_for_ever": (TIMEOUT, ""), "map_100gb": (HARMLESS, ""), "malloc_100gb": (HARMLESS, ""),
    "eat_load": (HARMLESS, ""), "eat_for_ever_load": (TIMEOUT, "Loading"),
    # processes and threads
    "fork_bomb": (HARMLESS, ""), "daemonize": (HARMLESS, ""), "raw_vfork": (HARMLESS, ""), "raw_clone3": (HARMLESS, ""),
    "executes": (HARMLESS, ""), "thread_bomb": (HARMLESS, ""), "daemonize_load": (CRASH, "starts processes"),
    "executes_load": (HARMLESS, ""), "fork_bomb_load": (CRASH, "starts processes"),
    "fork_and_eat_load": (CRASH, "starts processes"),
    # floods, log messages, forged frames
    "flood_stdout": (HARMLESS, ""), "flood_stderr": (HARMLESS, ""), "flood_logger": (HARMLESS, ""),
    "long_message": (ERROR, "xxx"), "percent_n": (CRASH, "signal"), "percent_in_error": (ERROR, "100%"),
    "controls": (ERROR, WHERE), "null_message": (ERROR, WHERE), "flood_channel": (CRASH, ""),
    "forge_few_rows": (HARMLESS, ""),  # of the right form: the model's numbers are its own
    "forge_and_go_on": (HARMLESS, ""), "forge_many_rows": (CRASH, ""), "forge_no_rows": (CRASH, ""),
    "forge_no_json": (CRASH, ""), "forge_deep_json": (CRASH, ""), "forge_surrogate": (ERROR, "half a letter"),
    "forge_error_number": (ERROR, ""), "forge_error_and_stay": (ERROR, "forged"), "half_frame": (CRASH, "exit code 0"),
    "half_frame_and_hang": (TIMEOUT, "did not end"), "long_header": (CRASH, ""),
    "hello_again": (CRASH, ""), "close_all": (CRASH, ""),
    # Python, patched through its own C API
    "patch_frames": (CRASH, ""), "patch_values": (CRASH, ""), "patch_exit": (HARMLESS, ""),
    "patch_exit_and_hang": (HARMLESS, ""), "patch_zygote_silent": (TIMEOUT, ""),
    "patch_zygote_dead": (CRASH, ""), "patch_zygote_liar": (CRASH, "took the process"),
    "patch_zygote_full": (NoProcess, "could not fork"), "patch_zygote_filter": (HARMLESS, ""),
    "patch_zygote_flood": (CRASH, ""), "patch_zygote_cheap": (HARMLESS, ""), "patch_zygote_dear": (HARMLESS, ""),
    "patch_zygote_mute": (HARMLESS, ""),
    # forged words of the zygote
    "forge_hello": (TIMEOUT, ""), "forge_hello_and_die": (CRASH, ""), "forge_hello_shape": (CRASH, "loaded"),
    "forge_hello_junk": (CRASH, "loaded"), "forge_hello_types": (CRASH, "loaded"),
    "forge_hello_missing": (CRASH, "loaded"), "flood_control": (CRASH, "loaded"),
    # numbers and statuses
    "not_a_number": (HARMLESS, ""), "infinite": (HARMLESS, ""), "tiny": (HARMLESS, ""), "warning": (HARMLESS, ""),
    "warning_get": (HARMLESS, ""), "discard": (ERROR, WHERE), "error": (ERROR, WHERE), "fatal": (ERROR, WHERE),
    "pending": (ERROR, WHERE), "unknown_status": (ERROR, WHERE), "negative_status": (ERROR, WHERE),
    "error_setup": (ERROR, "SetupExperiment"), "error_enter": (ERROR, "EnterInit"), "error_init": (ERROR, "ExitInit"),
    "fatal_get": (ERROR, "outputs"), "discard_get": (ERROR, "outputs"),
    # FMI 3.0, and model exchange of both
    "segfault_3": (CRASH, "signal 11"), "loop_3": (TIMEOUT, "did not end"), "exit0_3": (CRASH, "exit code 0"),
    "overrun_3": (CRASH, "signal"), "unknown_status_3": (ERROR, WHERE), "early_3": (ERROR, "early"),
    "ends_nowhere_3": (HARMLESS, ""),
    "segfault_exchange": (CRASH, "signal 11"), "exit0_exchange": (CRASH, "exit code 0"),
    "overrun_exchange": (CRASH, "signal"), "no_derivative_exchange": (ERROR, ""), "error_exchange": (ERROR, ""),
    "again_exchange": (TIMEOUT, "did not end"), "soon_exchange": (ERROR, "too many events"),
    "never_exchange": (HARMLESS, ""),
    "again_exchange3": (TIMEOUT, "did not end"), "no_derivative_exchange3": (ERROR, ""),
}  # fmt: skip
ATTEMPTS = (
    # files
    "write_beside write_itself truncate_itself remove_itself open_itself_to_all fill_tmp fill_shm make_memfd make_shm "
    "link_out make_pipe make_folder read_passwd read_database list_workspace list_root path_only read_environ "
    "read_memory read_memory_directly open_many "
    # network
    "tcp_loopback udp_socket abstract_socket netlink_socket raw_socket "
    # the kernel and other processes
    "trace trace_parent kill_parent kill_all kill_itself unshares io_uring become_root mounts changes_root load_bpf "
    "keyring perf_events userfault open_by_handle outlive raise_limits more_than_nice real_time type_for_others "
    "signal_by_fcntl set_hostname set_clock x32_abi"
).split()
FAULTS |= dict.fromkeys(ATTEMPTS, (HARMLESS, ""))
FAULTS |= {"other_abi": (CRASH, "signal 31") if os.uname().machine == "x86_64" else (CRASH, "signal 11")}

LOADING = [name for name in FAULTS if name.endswith("_load") or name.startswith(("patch_zygote", "forge_hello"))]
LOADING += ["flood_control"]
# The parameter comes too late for these.
OWN = LOADING + [name for name in FAULTS if name.endswith(("_instantiate", "_setup", "_3", "_exchange", "_exchange3"))]
# Those that something has to wait for; together, so that all wait at once.
SLOW = [name for name, (kind, _) in FAULTS.items() if kind is TIMEOUT]
BOMBS = ["fork_bomb_load"]  # alone: without namespaces others of the same user would find no place

DESCRIPTION = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="hostile" guid="h">
  <CoSimulation modelIdentifier="hostile" canHandleVariableCommunicationStepSize="true"/>
  <DefaultExperiment startTime="0" stopTime="1" stepSize="0.1"/>
  <ModelVariables>
    <ScalarVariable name="y" valueReference="0" causality="output" variability="continuous"><Real/></ScalarVariable>
    <ScalarVariable name="got" valueReference="1" causality="output" variability="continuous"><Real/></ScalarVariable>
    <ScalarVariable name="fault" valueReference="2" causality="parameter" variability="fixed" initial="exact">
      <String start=""/>
    </ScalarVariable>
  </ModelVariables>
  <ModelStructure><Outputs><Unknown index="1"/><Unknown index="2"/></Outputs></ModelStructure>
</fmiModelDescription>
"""
# By the end of a fault's name, longest first; the others are of FMI 2.0 co-simulation.
EXCHANGE = (
    DESCRIPTION.replace('CoSimulation modelIdentifier="hostile" canHandleVariableCommunicationStepSize="true"',
                        'ModelExchange modelIdentifier="hostile"')
    .replace('"continuous"><Real/>', '"continuous" initial="calculated"><Real/>', 1)
    .replace("</ModelVariables>", '<ScalarVariable name="dy" valueReference="3"><Real derivative="1"/></ScalarVariable>'
                                  "</ModelVariables>")
    .replace("</Outputs>", '</Outputs><Derivatives><Unknown index="4"/></Derivatives>')
)  # fmt: skip
DESCRIPTION3 = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="3.0" modelName="hostile" instantiationToken="h">
  <CoSimulation modelIdentifier="hostile" canHandleVariableCommunicationStepSize="true"/>
  <DefaultExperiment startTime="0" stopTime="1" stepSize="0.1"/>
  <ModelVariables>
    <Float64 name="y" valueReference="0" causality="output"/>
    <Float64 name="got" valueReference="1" causality="output"/>
    <Float64 name="dy" valueReference="3" derivative="0"/>
  </ModelVariables>
  <ModelStructure><Output valueReference="0"/><Output valueReference="1"/></ModelStructure>
</fmiModelDescription>
"""
EXCHANGE3 = DESCRIPTION3.replace(
    'CoSimulation modelIdentifier="hostile" canHandleVariableCommunicationStepSize="true"',
    'ModelExchange modelIdentifier="hostile"',
).replace("</ModelStructure>", '<ContinuousStateDerivative valueReference="3"/></ModelStructure>')
DESCRIPTIONS = {"_exchange3": EXCHANGE3, "_exchange": EXCHANGE, "_3": DESCRIPTION3, "": DESCRIPTION}


@functools.cache
def library() -> bytes:
    """The compiled library, without a fault. HOSTILE_LIBRARY: compiled before, by somebody who may use the compiler."""
    if ready := os.environ.get("HOSTILE_LIBRARY"):
        return Path(ready).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "hostile.so"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{os.uname().machine}-linux-gnu.2.17"]
        command += ["-std=gnu11", "-O1", "-fPIC", "-shared", "-s", "-fno-sanitize=all", "-Wno-infinite-recursion"]
        command += ["-I", str(HEADERS), "-o", str(out), *map(str, SOURCES), "-lm", "-lpthread", "-ldl"]
        environment = {"ZIG_GLOBAL_CACHE_DIR": os.path.join(sys.prefix, "zig-cache"), **os.environ}
        subprocess.run(command, env=environment, check=True)
        return out.read_bytes()


def write_fmu(path: Path, fault: str = "") -> Path:
    code = library()
    assert code.count(BAKED) == 1
    with zipfile.ZipFile(path, "w") as archive:
        text = next(text for ending, text in DESCRIPTIONS.items() if fault.endswith(ending))
        archive.writestr("modelDescription.xml", text)
        place = intake.binary_folder("3.0" if text in (DESCRIPTION3, EXCHANGE3) else "2.0")
        archive.writestr(f"{place}/hostile.so", code.replace(BAKED, b"FAULT=" + fault.encode().ljust(33)))
    return path


def faults_in_source() -> set[str]:
    text = SOURCE.read_text()
    return set(re.findall(r"(?:AT\([A-Z]+, |\{\")(\w+)(?:\)|\", [A-Z])", text[text.index("FAULTS[] = {") :]))


def processes(folder: Path) -> tuple[set[int], int]:
    """Every process that has this folder in its command line, on the whole machine: zygotes and whatever they left; and
    how many runs' processes there are, which are others after every run."""
    found, runs = set(), 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            title = Path("/proc", entry, "cmdline").read_text(errors="replace")
            if f"{folder}/" in title and title.startswith("fmu-gateway run"):
                runs += 1
            elif f"{folder}/" in title:
                found.add(int(entry))
    return found, runs


async def prepared(runner: Runner) -> None:
    """Returns when in every zygote a process waits for the next run, and none of a run that is over."""
    zygotes = [task.result() for task in runner._zygotes.values()]
    for zygote in zygotes:  # what was answered ends a moment later
        await asyncio.gather(*(zygote.end(run) for run in zygote._open if run.delivered or run.ending))
    spares = [zygote._spare for zygote in zygotes]
    await asyncio.gather(*(spare.process for spare in spares if spare is not None))
    assert None not in spares


class Corpus:
    """Runs faults, and finds whatever of them is not as it must be."""

    def __init__(self, folder: Path, *, parallel: int, timeout: float, loading: float = START_SECONDS) -> None:
        self.folder, self.models = folder, folder / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        (folder / "secret").write_text("sk_live")
        limits = {"timeout_seconds": timeout, "loading_seconds": loading}
        self.runner = Runner(parallel=parallel, queued=400, memory_mb=256, **limits)
        self.wrong: dict[str, str] = {}

    def plan(self, name: str, fault: str = "") -> tuple[RunPlan, Path]:
        """A run of the FMU with this fault, or of the one without by the parameter. Slow at first: files are made."""
        directory = self.models / (name or "none")
        if not directory.is_dir():
            intake.unpack(BALL if name == "ball" else write_fmu(self.folder / f"{name}.fmu", name), directory)
            (self.folder / f"{name}.fmu").unlink(missing_ok=True)
        plan = trial(description.read(directory, f"test:{name}", directory.name))
        return (replace(plan, start_values={"fault": fault}) if fault else plan), directory

    async def run(self, name: str, fault: str = "") -> Outcome:
        plan, directory = await asyncio.to_thread(self.plan, name, fault)
        with self.runner.reserve(paid=True) as place:
            return await self.runner.run(plan, directory, place)

    async def begin(self) -> None:
        await self.runner.start()
        self.good = {name: (await self.run(name)).result.sha256 for name in ("ball", "")}
        await prepared(self.runner)
        self.descriptors, self.files = len(os.listdir("/proc/self/fd")), self._files()
        self.idle = processes(self.models)
        self.missing = self.runner.missing

    def _files(self) -> set[str]:
        """What the faults want to write, everything in the folder but other faults' FMUs, and temporary files."""
        wanted = {str(path) for path in (Path("/tmp/hostile"), Path("/dev/shm/hostile")) if path.exists()}
        wanted |= set(map(str, Path(tempfile.gettempdir()).iterdir()))
        for model in ("ball", "none"):
            wanted |= {f"{file} {file.lstat().st_mode:o}" for file in (self.models / model).rglob("*")}
        return wanted | {str(file) for file in self.folder.glob("*")}

    async def fault(self, name: str, *, own: bool) -> None:
        """Run it: in an FMU of its own, or by the parameter of the one without a fault."""
        kind, words = FAULTS[name]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        try:
            outcome = await (self.run(name) if own else self.run("", name))
            said: Any = HARMLESS if not outcome.result.arrays[2].any() else "it got what it wanted"
            text = ""
        except (RunFailed, NoProcess) as failure:
            said, text = type(failure), getattr(failure, "detail", str(failure))
        except Exception as error:
            said, text = "no RunFailed", repr(error)
        if said not in kinds or not re.search(words, text):
            self.wrong[name] = f"{said}: {text}"

    async def after(self, names: Iterable[str]) -> None:
        """Everything is as before: the next good runs, the processes, the descriptors, the files."""
        names = list(names)
        label = names[0] if len(names) == 1 else f"after {', '.join(names)}"
        for name, sha256 in self.good.items():
            if (await self.run(name)).result.sha256 != sha256:
                self.wrong[label] = f"the next run of {name or 'the good one'} differs"
        if self.runner.missing != self.missing:
            self.wrong[label] = f"the sandbox is said to lack {self.runner.missing}"
        await self._retire()
        await prepared(self.runner)
        for _ in range(100):
            left = (processes(self.models), len(os.listdir("/proc/self/fd")), self._files())
            if left == (self.idle, self.descriptors, self.files):
                return
            await asyncio.sleep(0.02)
        standing, runs = left[0][0] - self.idle[0], left[0][1] - self.idle[1]
        extra = [*map(self._name, standing), f"{runs} runs"], left[1] - self.descriptors, left[2] ^ self.files
        self.wrong[label] = f"left behind: processes {extra[0]}, descriptors {extra[1]}, files {extra[2]}"
        self.idle, self.descriptors, self.files = left

    @staticmethod
    def _name(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[-80:]
        except OSError:
            return "gone"

    async def _retire(self) -> None:
        """All zygotes but those of the good models end, as they would to make room."""
        for key in list(self.runner._zygotes):
            if key[0] not in {"ball", "none"}:
                self.runner._retire(self.runner._zygotes.pop(key))
        while self.runner._closing:
            await asyncio.gather(*self.runner._closing)

    async def close(self) -> None:
        await self.runner.close()
        for _ in range(100):
            left, runs = processes(self.models)
            if not left and not runs:
                return
            await asyncio.sleep(0.02)
        self.wrong["close"] = f"left behind: {[self._name(p) for p in left]} and {runs} runs"


async def survey(folder: Path, *, together: int = 8) -> dict[str, str]:
    """What is wrong, by fault: each as an FMU of its own, so many at once."""
    wrong = {}
    patience = run_process.REPORT_SECONDS
    for slow in (False, True):
        limits = {"timeout": 1.0, "loading": 3.0} if slow else {"timeout": 30.0}
        corpus = Corpus(folder / f"{slow}", parallel=together, **limits)
        await corpus.begin()
        if slow:
            run_process.REPORT_SECONDS = 2.0
        try:
            names = [name for name in FAULTS if (name in SLOW) is slow and name not in BOMBS]
            batches = [names[i : i + together] for i in range(0, len(names), together)]
            for batch in [*batches, *([name] for name in BOMBS if slow)]:
                await asyncio.gather(*(corpus.fault(name, own=True) for name in batch))
                await corpus.after(batch)
        finally:
            run_process.REPORT_SECONDS = patience
            await corpus.close()
        wrong |= corpus.wrong
    return wrong


async def in_a_row(folder: Path, names: list[str], count: int) -> dict[str, str]:
    """`count` runs that fail, one after the other, and what they left behind together."""
    corpus = Corpus(folder, parallel=2, timeout=30.0)
    await corpus.begin()
    for i in range(count):
        await corpus.fault(names[i % len(names)], own=False)
    await corpus.after([f"{count} in a row"])
    await corpus.close()
    return corpus.wrong


def take_away(layer: str) -> None:
    """From here on this process and what it starts has no namespaces (or no landlock)."""
    sandbox.no_new_privileges()
    column = 0 if os.uname().machine == "x86_64" else 1
    number = {"namespaces": (272, 97), "landlock": (444, 444)}[layer][column]
    i = seccomp._instruction
    program = i(seccomp.LD, 0) + i(seccomp.JEQ, number, 0, 1)
    program += i(seccomp.RET, seccomp.ERRNO | seccomp.EPERM) + i(seccomp.RET, seccomp.ALLOW)
    sandbox.filter_system_calls(program)


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0])
    if "--without" in arguments:
        take_away(arguments[arguments.index("--without") + 1])
    if "--in-a-row" in arguments:
        names = [name for name in FAULTS if name not in OWN + SLOW]
        work = in_a_row(folder, names, int(arguments[-1]))
    else:
        work = survey(folder, together=int(arguments[-1]) if "--together" in arguments else 8)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main(sys.argv[1:])
