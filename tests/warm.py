"""Fork programs from a process that has imported their libraries: they start in hundredths of a second instead of seconds.

`python -m tests.warm NAME FOLDER PID` is that process. It listens at FOLDER/NAME and ends with the process PID. Each program gets
its arguments, environment, folder, umask and standard streams from whoever asks. When that one ends, it is killed with what it
started. It runs the code of this repository. Only Linux has what this needs; elsewhere programs are started as always.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import logging
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.environment import ENVIRONMENT

ROOT = Path(__file__).parents[1]
FOLDER = "RATCHET_TESTS_WARM"
"""Variable with the folder of the sockets, which the processes of one run of pytest share, and the process that it ends with."""
IS_POSSIBLE = hasattr(os, "pidfd_open")
DVC = """
    dvc.cli.parser dvc.commands.repro dvc.fs dvc.repo.push dvc.repo.reproduce dvc.repo.status dvc.stage.run dvc_data.hashfile
    dvc_render dulwich.repo flufl.lock gto networkx numpy psutil pydantic.dataclasses pygit2 ruamel.yaml scmrepo.git zc.lockfile
"""
OURS = """tasks.common.bounded tasks.common.champion tasks.common.checkpoint tasks.measure.decision tasks.measure.files
    tasks.measure.operating tasks.registry tasks.registry.in_git tasks.registry.verify"""
LIBRARIES = {
    "dvc": f"{DVC} {OURS}",
    "stages": f"""{DVC} great_expectations matplotlib.pyplot onnxruntime polars thop torch._inductor torchvision
        ultralytics.utils.plotting tasks.evaluate tasks.export tasks.gate tasks.measure.kernel tasks.registry tasks.report
        tasks.review tasks.train.trainer tasks.validate tasks.watch""",
    "flows": f"""gto numpy prefect.artifacts prefect.cli.worker prefect.deployments.flow_runs prefect.flow_engine prefect.runner
        prefect.server.api.server prefect.workers.process psutil ruamel.yaml {OURS} tasks.gate tasks.preflight tasks.snapshot
        tasks.summary""",
}
"""What takes long to import, and starts no thread before it is used."""
START_S = 300
CLIENT = r"""#!{python} -IS
import sys
option, module = [*sys.argv[1:3], "", ""][:2]
name = (
    "dvc" if option == "stage.py" or module in ("dvc", "tasks.registry")
    else "stages" if module.startswith("tasks.")
    else "flows" if module.startswith("flows.") or module.partition(".")[0] == "prefect" and "server" not in sys.argv
    else ""  # a server too: who starts one looks whether that very process listens
)
try:
    if option not in ("-m", "stage.py") or not name or module == "tasks.export.worker":  # whose memory is measured
        raise OSError
    import _socket, marshal, os, signal
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect("{folder}/" + name)
except OSError:
    import os
    os.execv("{python}", ["{python}", *sys.argv[1:]])
os.umask(umask := os.umask(0))
request = marshal.dumps((sys.argv[1:], dict(os.environb), os.getcwd(), umask))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
server.sendmsg([len(request).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(request)
code = int.from_bytes(server.recv(8), "big", signed=True)
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""
"""Stands for `python`: asks for the program, hands on signals, and ends as the program does. What nobody forks it runs itself."""


@cache
def address(name: str) -> str:
    """Where the process with those LIBRARIES listens; the first who asks starts it."""
    folder, _, pid = os.environ[FOLDER].partition(" ")
    return str(once(name, lambda place: _start(place.name, folder, pid)))


def once(name: str, make: Callable[[Path], object]) -> Path:
    """What `make` puts at a place that the processes of this run of pytest share; the first who asks has it made."""
    place = Path(os.environ[FOLDER].partition(" ")[0]) / name
    with place.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            make(place)
    return place


def _start(name: str, folder: str, pid: str) -> None:
    from tasks.common import isolation

    home = Path(folder) / f"{name}.home"
    home.mkdir(exist_ok=True)
    environment = isolation.completed({**ENVIRONMENT, "YOLO_CONFIG_DIR": str(home)}, home)
    log = (Path(folder) / f"{name}.log").open("wb")
    words = [sys.executable, "-m", "tests.warm", name, folder, pid]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    deadline = time.monotonic() + START_S
    while not (Path(folder) / name).exists():
        assert process.poll() is None, Path(log.name).read_text()
        assert time.monotonic() < deadline, Path(log.name).read_text()
        time.sleep(0.02)


@cache
def python(*names: str) -> str:
    """A file to run in the place of `python`, in a folder for PATH: it forks what needs those LIBRARIES, and runs the rest."""
    if not IS_POSSIBLE or FOLDER not in os.environ:  # a program outside pytest uses these fixtures
        return sys.executable
    folder = Path(address(names[0])).parent
    for name in names:
        address(name)
    client = folder / "bin" / "python"
    if not client.exists():
        client.parent.mkdir(exist_ok=True)
        new = client.with_name(f"python.{os.getpid()}")
        new.write_text(CLIENT.format(python=sys.executable, folder=folder))
        new.chmod(0o755)
        new.rename(client)
    return str(client)


def begin() -> None:
    """Choose the folder of this run of pytest; call it before the first test."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = f"{tempfile.mkdtemp(prefix='warm-')} {os.getpid()}"
        atexit.register(_clear, os.environ[FOLDER].partition(" ")[0], os.getpid())


def _clear(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # not in what was forked from it
        shutil.rmtree(folder, ignore_errors=True)


def run(name: str, words: Sequence[str], environ: Mapping[str, str], cwd: Path, output: int, limit_s: float) -> int:
    """Exit code of `python WORDS`; both its streams go to the file descriptor `output`. It is killed after `limit_s`."""
    with socket.socket(socket.AF_UNIX) as server, Path(os.devnull).open() as nothing:
        server.settimeout(limit_s)
        server.connect(address(name))
        values = {os.fsencode(key): os.fsencode(value) for key, value in environ.items()}
        request = marshal.dumps((list(words), values, str(cwd), 0o022))
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [nothing.fileno(), output, output])
        server.sendall(request)
        try:
            answer = server.recv(8)
        except TimeoutError:
            return -signal.SIGKILL
    return int.from_bytes(answer, "big", signed=True)


def serve(name: str, folder: Path, pid: int) -> None:
    """Fork programs until the process `pid` ends."""
    path = sys.path[1:]
    for module in LIBRARIES[name].split():
        importlib.import_module(module)
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / f"{name}.new"))
    listener.listen(64)
    (folder / f"{name}.new").rename(folder / name)
    while Path(f"/proc/{pid}").exists():
        if select.select([listener], [], [], 1)[0]:
            connection = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                _watch(connection, path, folder / "bin/python" if name == "flows" else None)
            connection.close()


def _watch(connection: socket.socket, path: list[str], flow_python: Path | None) -> None:
    """Fork the program that `connection` asks for, hand it the signals that come, and answer how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    size, streams, *_ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(1 << 20)
    program = os.fork()
    os.setpgid(program, program)  # both do it, whoever comes first
    if program == 0:
        connection.close()
        _end(lambda: _become(*marshal.loads(request), streams, path, flow_python))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(program)
    while ended not in (ready := select.select([connection, ended], [], [])[0]):
        assert ready
        number = connection.recv(1)
        os.killpg(program, number[0] if number else signal.SIGKILL)  # with what it started
        if not number:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(code.to_bytes(8, "big", signed=True))
    os._exit(0)


def _become(
    words: list[str],
    environ: dict[bytes, bytes],
    cwd: str,
    umask: int,
    streams: list[int],
    path: list[str],
    flow_python: Path | None,
) -> None:
    """Be `python WORDS`; with `flow_python` in the place of `python` for what it starts, if it is about flows."""
    os.chdir(cwd)
    os.umask(umask)
    os.environ.clear()
    os.environb.update(environ)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path[:] = [cwd, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *path]
    sys.argv[:] = words if words[0] == "stage.py" else [words[0], *words[2:]]
    if flow_python:
        sys.executable = str(flow_python)
        _read_settings(words[1])
        if words[1].startswith("prefect."):
            sys.modules.pop(words[1], None)  # which runpy would warn of
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    if words[0] == "stage.py":
        runpy.run_path(words[0], run_name="__main__")
        return
    assert words[0] == "-c", words
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(words[1], "<string>", "exec"), main.__dict__)


def _read_settings(module: str) -> None:
    """Let Prefect, which does it when it is imported, read its settings from the variables of this program."""
    from prefect.context import refresh_global_settings_context

    if module.startswith("flows."):
        from tasks.common import isolation

        isolation.apply()
    refresh_global_settings_context()


def _end(program: Callable[[], Any]) -> None:
    """Run the program and end the process as Python does."""
    atexit._clear()
    atexit.register(logging.shutdown)
    if util := sys.modules.get("multiprocessing.util"):
        atexit.register(util._exit_function)
    code = 1
    try:
        program()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for text in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                text.flush()
        os._exit(code & 0xFF)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
