"""Zygote: a confined process with one FMU loaded that forks one child per run. forkserver.py forks it.

Three processes: the one that was forked stays outside as the keeper, which only waits and cleans up; the zygote proper
is process 1 of its own namespaces, so that every run ends with it; each run is its child. Order matters throughout:
confinement comes before the FMU's library, whose constructors run on loading.
"""

import gc
import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from typing import Any, NoReturn

from fmpy import fmi2, fmi3, read_model_description

from gateway.simulation import frame, keeper, loops, passage, progress, sandbox, seccomp, title
from gateway.simulation.intake import binary_folder
from gateway.simulation.stepper import FMI2, FMI3, Stepper

MODEL_TEXT = 1000  # bytes kept of what a model says of its failure; the gateway shows less


class Log:
    """What the model says of its errors: the first text, which is mostly the cause."""

    text = ""

    def fmi2(self, _environment: Any, _instance: bytes, status: int, _category: bytes, message: bytes) -> None:
        self.fmi3(None, status, b"", message)

    def fmi3(self, _environment: Any, status: int, _category: bytes, message: bytes) -> None:
        if status > 1 and message and not self.text:  # above a warning
            self.text = message[:MODEL_TEXT].decode(errors="replace")


class Loaded:
    """The FMU as every run inherits it: description read, library loaded, functions bound, nothing instantiated."""

    def __init__(self, directory: str, kind: str) -> None:
        self.directory, self.kind, self.log = directory, kind, Log()
        self.system_calls = seccomp.program(zygote=False)
        self.description = read_model_description(directory, validate=False)
        co_simulation = kind == "co_simulation"
        self.is_fmi2 = self.description.fmiVersion == "2.0"
        slave, model = (fmi2.FMU2Slave, fmi2.FMU2Model) if self.is_fmi2 else (fmi3.FMU3Slave, fmi3.FMU3Model)
        interface: Any = self.description.coSimulation if co_simulation else self.description.modelExchange
        folder = f"{directory}/{binary_folder(self.description.fmiVersion)}"
        self.fmu = (slave if co_simulation else model)(
            guid=self.description.guid,
            modelIdentifier=interface.modelIdentifier,
            unzipDirectory=directory,
            libraryPath=f"{folder}/{interface.modelIdentifier}.so",
            instanceName=interface.modelIdentifier,
        )
        categories = {category.name for category in self.description.logCategories}
        self.categories = sorted(categories & {"logStatusError", "logStatusFatal"})
        if self.is_fmi2:
            self.callbacks = _callbacks(self.log)
        self.rehearse()

    def rehearse(self) -> None:
        """What every run would do first; no call reaches the FMU. In the zygote numpy and ctypes remember it for all
        runs; in a run's process it makes the memory its own that it will change, before anybody waits for that."""
        if self.kind != "co_simulation":
            return
        kinds = FMI2 if self.is_fmi2 else FMI3
        names = [v.name for v in self.description.modelVariables if v.causality == "output" and v.type in kinds]
        nothing = {"start_time": 0.0, "stop_time": 1.0, "step": 0.5, "rows": 3, "signals": [], "record": names[:1]}
        Stepper(self.fmu, self.description, nothing)

    def run(self, job: dict[str, Any]) -> tuple[Any, list[Any]]:
        """Times and columns. Any exception is the model's failure."""
        fmu = self.fmu
        fmu.instantiate(**({"callbacks": self.callbacks} if self.is_fmi2 else {"logMessage": self.log.fmi3}))
        if self.categories:
            fmu.setDebugLogging(True, self.categories)
        if self.kind == "co_simulation":
            return Stepper(fmu, self.description, job).run()
        from gateway.simulation.exchange import exchange

        return exchange(fmu, self.description, self.directory, job)


def _callbacks(log: Log) -> Any:
    from ctypes import byref

    from fmpy import calloc, free

    callbacks = fmi2.fmi2CallbackFunctions()
    callbacks.logger = fmi2.fmi2CallbackLoggerTYPE(log.fmi2)
    callbacks.allocateMemory = fmi2.fmi2CallbackAllocateMemoryTYPE(calloc)
    callbacks.freeMemory = fmi2.fmi2CallbackFreeMemoryTYPE(free)
    fmi2.addLoggerProxy(byref(callbacks))  # formats the message's % arguments, which Python cannot take
    return callbacks


def run(stream: int, shared: int, model: Loaded, address_space: int) -> NoReturn:
    """In the child: confine it further, take one job, answer it, end; who has delivered waits to be ended."""
    sandbox.die_with_parent()
    os.setsid()
    title.show(f"fmu-gateway run {model.directory} {model.kind}")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reached = progress.attach(shared)
    sandbox.only_descriptor(stream)
    if model.system_calls:
        sandbox.filter_system_calls(model.system_calls)
    model.rehearse()
    os.write(stream, frame.HELLO)
    job = frame.read_job(stream) | {"reached": reached}
    sandbox.limit(fsize=0, cpu=job["cpu_seconds"], **{"as": address_space + job["memory_bytes"]})
    try:
        times, columns = model.run(job)
        frame.write(stream, {"rows": len(times)}, [times, *_as_asked(columns, job["dtypes"])])
    except MemoryError:
        frame.write(stream, {"error": "", "memory": True})
    except Exception as error:
        text = f"{model.log.text} ({error})" if model.log.text else str(error)
        frame.write(stream, {"error": text[:MODEL_TEXT]})
    else:
        os.read(stream, 1)  # nothing comes
    os._exit(0)


def _as_asked(columns: list[Any], dtypes: list[str]) -> list[Any]:
    return [c if c.dtype.str == d else c.astype(d) for c, d in zip(columns, dtypes[1:], strict=True)]


def serve(control: Any, model: Loaded, address_space: int) -> NoReturn:
    """One child for each {"id"}, stream and progress that come in; its {"id", "status", "cpu", "rss"} goes back."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(woken, select.POLLIN)
    running: dict[int, int] = {}
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
            for pid, status, usage in _ended():
                if (run_id := running.pop(pid, None)) is not None:
                    cpu = usage.ru_utime + usage.ru_stime
                    ended = {"id": run_id, "status": status, "cpu": cpu, "rss": usage.ru_maxrss * 1024}
                    control.send(json.dumps(ended).encode())
        if control.fileno() in ready:
            message, streams, *_ = socket.recv_fds(control, 4096, 2)
            if not message:
                os._exit(0)  # the gateway let go
            run_id = json.loads(message)["id"]
            try:
                pid = os.fork()
                if not pid:
                    try:
                        run(streams[0], streams[1], model, address_space)
                    finally:
                        os._exit(70)
                running[pid] = run_id
            except OSError:  # the other runs of it go on
                control.send(json.dumps({"id": run_id, "status": None, "cpu": 0, "rss": 0}).encode())
            for stream in streams:
                os.close(stream)


def _ended() -> Iterator[tuple[int, int, Any]]:
    """Children that ended, and whatever else process 1 of a namespace has to reap."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status, usage


def _address_space(statm: int) -> int:
    """Bytes that this process has mapped."""
    return int(os.pread(statm, 100, 0).split()[0]) * os.sysconf("SC_PAGE_SIZE")


def main(descriptor: int, directory: str, kind: str, uid: int, memory: int) -> NoReturn:
    """A zygote of the FMU unpacked in `directory`, of none for "-". `uid` is for root to become; `memory` in bytes."""
    missing = keeper.keep(descriptor, uid)
    title.show(f"fmu-gateway zygote {directory} {kind}")
    alone = not missing
    control = socket.socket(fileno=descriptor)
    if directory == "-":  # only to see what confinement this machine gives
        missing += sandbox.confine_zygote("/usr/lib", uid, own_user_namespace=alone)
        control.send(json.dumps({"missing": missing, "closed": None}).encode())
        os._exit(0)
    if kind == "model_exchange":  # while its files can still be found
        import fmpy.sundials  # noqa: F401

        from gateway.simulation import exchange  # noqa: F401

    build = loops.find() if kind == "co_simulation" else None
    above = passage.closed(os.path.dirname(directory))
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    sandbox.limit(**{"as": _address_space(statm) + 2 * memory})  # the library, and on top of it a run
    missing += sandbox.confine_zygote(directory, uid, own_user_namespace=alone, also=[str(loops.BUILD)])
    closed = passage.unreadable(directory, above, missing)
    # Of what is said later any word may be the library's.
    control.send(json.dumps({"missing": missing, "closed": closed}).encode())
    if closed:
        os._exit(0)
    try:
        loops.library = loops.load(build)
        model = Loaded(directory, kind)
    except Exception as error:
        control.send(json.dumps({"failed": str(error)[:MODEL_TEXT]}).encode())
        os._exit(0)
    address_space = _address_space(statm)
    os.close(statm)
    sandbox.limit(**{"as": address_space + memory})  # also of a run's process that has no job yet
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    control.send(json.dumps({"failed": None}).encode())
    serve(control, model, address_space)
