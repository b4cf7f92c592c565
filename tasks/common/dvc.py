"""Run DVC as the program that it is: its output line by line, its locks waited for, its processes ended with ours.

reads   dvc.yaml, dvc.lock
runs    `python -m dvc` of this interpreter (the Python API is unsafe in threads and swallows the output of stages)
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import dvcfiles, dvclock, dvcpipeline, dvcremote, dvcrestore, dvcstale, dvcstate, git, isolation, redact
from tasks.common.errors import LockError, PipelineError, WorkspaceError
from tasks.common.output import Held, error_block, lines
from tasks.common.process import started
from tasks.common.stage import disk_full, refusal_of_the_system
from tasks.common.text import first

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)
OnLine = Callable[[str], None]

NOT_STORED = "ERROR: failed to transfer"
"""DVC ends with 0 after these words: `dvc add` and `dvc repro` with a full cache disk would name files that are nowhere."""
NO_CAUSE = "Having any troubles?"
"""What DVC adds to an error that it did not expect, such as a remote's: where to find its makers."""
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
ERRNO = re.compile(r"\[Errno (\d+)\] ([^:\n]+)(?:: '([^'\n]+)')?")
NO_DATABASE = re.compile(r"attempt to write a readonly database|unable to open database file")
GIT_LOCK = re.compile(r"\[Errno 17\] File exists: '([^']+\.lock)'")
"""With core.autostage DVC writes to git's index."""
INVALID = re.compile(r"'(.+(?:dvc\.yaml|\.dvc))' is invalid")
"""A file somewhere in the repository: most commands of DVC read them all."""
KILLED = re.compile(r"exited with (-9|137)\b")
MAX_MENDED = 2
"""Times that broken databases of DVC are made anew in one call: where they break again, the disk does it."""
WRITERS = ("add", "checkout", "pull", "repro")
"""Commands that link files from the cache into the workspace."""
TRANSFERS = ("push", "pull", "fetch")
NUM_TAIL_LINES = 10
"""Last lines of output that an error carries."""


@dataclass
class _Attempt:
    """What one `dvc` process left behind."""

    returncode: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=NUM_TAIL_LINES))
    error: str = ""

    @property
    def words(self) -> str:
        """Everything that is known of what went wrong."""
        return "\n".join([self.error, *self.tail])


def run(args: Sequence[str], *, lock_wait_s: float, on_line: OnLine = log.info) -> None:
    """Run `dvc ARGS`; each line that it or its stage prints goes to `on_line` as it comes.

    Raises:
        LockError: another process held DVC's lock for longer than `lock_wait_s`.
        PipelineError: the stage stopped with an error block; it is raised again here and was not given to `on_line`.
        WorkspaceError: DVC failed otherwise, with its own words and the last lines; or its cache cannot be linked to.
    """
    if any(verb in args for verb in WRITERS):
        dvcfiles.require_links([Path(), *(Path(arg.removesuffix(".dvc")) for arg in args)])
    _until_unlocked(lambda: _attempt(args, on_line), args, lock_wait_s, on_line)


def query(args: Sequence[str], *, lock_wait_s: float) -> str:
    """The standard output of `dvc ARGS`. Raises what `run` raises."""
    out: list[str] = []
    _until_unlocked(lambda: _attempt(args, log.info, out), args, lock_wait_s, log.info)
    return out[-1]


def repository() -> Repo:
    """DVC's own view of this checkout, for what no command tells: a context that closes it."""
    import sqlite3

    from dvc.repo import Repo

    try:
        return Repo(".")
    except sqlite3.DatabaseError:
        if not dvcstate.drop_broken_databases(_site_cache()):
            raise
        return Repo(".")


def reproduce(stage: str, *, lock_wait_s: float, on_line: OnLine = log.info, is_stale: bool = False) -> None:
    """Bring one stage of dvc.yaml up to date; after a failure its previous outputs are back in place.

    One of which the caller knows that it `is_stale` is run without being compared and looked for in DVC's run cache: for a
    stage that depends on a large folder DVC would walk through it seven times more.

    `--wait-for-lock`: without it a `dvc push` elsewhere at the moment the stage ends would throw its result away
    (DVC waits 3 s only, https://github.com/iterative/dvc/issues/10752).

    Raises:
        PipelineError: see `run`.
    """
    wait = dvclock.Wait(lock_wait_s, on_line)
    while dvclock.is_held():
        wait.step()
    try:
        with _outputs_kept(stage):
            options = ["--force"] if is_stale else []
            run(["--wait-for-lock", "repro", *options, "--single-item", stage], lock_wait_s=lock_wait_s, on_line=on_line)
    except LockError:
        raise
    except BaseException:
        with suppress(PipelineError):
            restore(stage)
        raise
    dvcrestore.keep()


def restore(stage: str, *, lock_wait_s: float = 0) -> None:
    """Put back the outputs of `stage` that dvc.lock names; a stage that never ran has none."""
    if any(out.stage == stage for out in dvcfiles.locked_outputs().values()):
        run(["checkout", "--force", stage], lock_wait_s=lock_wait_s, on_line=log.debug)


def stale_stages(targets: Sequence[str] = (), *, lock_wait_s: float) -> dict[str, tuple[str, ...]]:
    """The stages and .dvc files that are not up to date, each with its reasons in words; empty when all is.

    Those of dvc.yaml and what they are built from count, not other pipelines in the repository; with `targets` only those
    stages and what they are built from. DVC looks at each file of a dataset once, not again for the .dvc file that names it.
    """
    pipeline = dvcpipeline.Pipeline.read()
    chosen = pipeline.built_from(targets)
    if not chosen:
        return {}
    tracked = pipeline.compared_by_stages(chosen)
    compared = {file: (path, md5s) for file, path in tracked.items() if (md5s := dvcfiles.locked_md5s(path))}
    asked = [name for name in chosen if name not in compared]
    stale = dvcstale.reasons_by_stage(json.loads(query(["status", "--json", *asked], lock_wait_s=lock_wait_s)))
    for file, (path, md5s) in compared.items():
        out = dvcfiles.tracked(path)
        if out is None or md5s != {out.md5}:
            stale[file] = (f"it names another version of {path} than dvc.lock",)
        elif dvcfiles.whole_object(out.md5) is None:
            stale[file] = (f"its result {path} is not in the cache",)
    return stale


def _until_unlocked(attempt: Callable[[], _Attempt], args: Sequence[str], lock_wait_s: float, on_line: OnLine) -> None:
    wait, num_mended = dvclock.Wait(lock_wait_s, on_line), 0
    _mend()
    while (result := attempt()).returncode != 0:
        if dvclock.LOCKED.search(result.error):
            wait.step(result.error)
        elif num_mended == MAX_MENDED or not _mend_databases(result):
            raise _failure(args, result)
        else:
            num_mended += 1
        _mend()


def _mend() -> None:
    """Free stale locks and bring back a broken dvc.lock before DVC starts: either would stop it."""
    dvcstate.free_locks()
    dvcrestore.restore(dvcrestore.LOCK)


def _mend_databases(result: _Attempt) -> bool:
    return bool(dvcstate.BROKEN_DATABASE.search(result.words)) and dvcstate.drop_broken_databases(_site_cache())


def _attempt(args: Sequence[str], on_line: OnLine, out: list[str] | None = None) -> _Attempt:
    """Run DVC once. With `out`, standard output is appended to it as one string instead of being passed on."""
    result, held_back, lost, secrets = _Attempt(), Held(), "", dvcfiles.secrets()
    with ExitStack() as stack:
        file = None if out is None else stack.enter_context(tempfile.TemporaryFile())
        process = stack.enter_context(started([sys.executable, "-m", "dvc", *args], _environment(), file))
        stream = process.stderr if file else process.stdout
        assert stream is not None
        for raw_line in lines(io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")):
            line = redact.words(raw_line, secrets)
            if line.startswith(NO_CAUSE):
                continue
            result.tail.append(line)
            for text in held_back.take(line):
                on_line(text)
            lost = lost or (line if line.startswith(NOT_STORED) else "")
        result.returncode = process.wait() or int(bool(lost))
        if file is not None and out is not None:
            file.seek(0)
            out.append(file.read().decode())
    if result.returncode == 0:
        for text in held_back.release():
            on_line(text)
    result.error = "\n".join([lost, *held_back.release()])
    return result


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**isolation.completed(os.environ, Path.cwd()), "PATH": path, "PYTHONUNBUFFERED": "1"}


def _site_cache() -> Path:
    """Where DVC keeps what it knows of files and links."""
    return Path(_environment()["DVC_SITE_CACHE_DIR"])


def _failure(args: Sequence[str], result: _Attempt) -> PipelineError:
    tail = "\n".join(result.tail)
    if block := error_block(result.error):
        return block
    if DISK_FULL.search(result.words):
        return disk_full(OSError(28, "No space left on device"))
    if (system_error := ERRNO.search(result.words)) and (
        refusal := refusal_of_the_system(OSError(int(system_error[1]), *system_error.groups()[1:]))
    ):
        return WorkspaceError(f"{refusal.what} (dvc {args[0]})", where=refusal.where, fix=refusal.fix)
    if lock := GIT_LOCK.search(result.words):
        return git.locked(lock[1])
    if NO_DATABASE.search(result.words):
        fix = "Give this user the right to write there, or name another folder in the variable DVC_SITE_CACHE_DIR."
        return WorkspaceError("DVC's memory of files cannot be written", where=str(_site_cache()), fix=fix)
    said = list(dict.fromkeys(result.error.replace("ERROR: ", "").replace("unexpected error - ", "").strip().splitlines()))
    words = "\n".join([*filter(None, [first(said[:-1])]), *said[-1:]])  # a push has a line for each file, and then how many
    fix = "The lines above say why; finished stages are kept."
    if args[0] in TRANSFERS:
        fix = dvcremote.next_step(result.words, fix)
    if invalid := INVALID.search(result.words):
        fix = f"Mend {invalid[1]}. If it is not Ratchet's, .dvcignore can hide its folder from DVC."
    if KILLED.search(tail):
        fix = "Run again: a training goes on after its last epoch. If it lacked memory, lower train.batch or train.imgsz first."
    if not words or "failed to run" in words:
        words = f"{words or f'exit code {result.returncode}'}\n{tail}"
    return WorkspaceError(words, where=f"dvc {' '.join(args)}", fix=fix)


@contextmanager
def _outputs_kept(stage: str) -> Iterator[None]:
    """Copy aside what `restore` could not bring back: outputs with `cache: false`, and dvc.lock's entry for the stage."""
    before = dvcfiles.locked_stage(stage)
    with tempfile.TemporaryDirectory() as folder:
        files = [path for path in (*dvcfiles.uncached_outputs(stage), dvcfiles.DVC_LOCK) if path.is_file()]
        kept = {path: Path(folder) / str(i) for i, path in enumerate(files)}
        for path, copy in kept.items():
            shutil.copy2(path, copy)
        try:
            yield
        except LockError:
            raise
        except BaseException:
            if dvcfiles.locked_stage(stage) == before:
                kept.pop(dvcfiles.DVC_LOCK, None)  # another process may have written another stage's entry meanwhile
            for path, copy in kept.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(copy, path)
            raise
