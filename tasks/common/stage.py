"""Run one stage as a program: parameters in, one result line out, errors as a block.

`python -m tasks.NAME [--set section.key=value ...]` ends here. A stage dies with the process that started it, so that
killing a flow or `dvc repro` leaves nothing behind.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.common import isolation, params, root, text
from tasks.common.errors import PipelineError, WorkspaceError
from tasks.common.replace import replace_files

PR_SET_PDEATHSIG = 1
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = "Give this user the right to read and write there (`ls -ld` shows who has it), or work in another checkout."
IN_THE_WAY = "Move it away, and run again."
FAULTS = {
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EROFS: "The file system is read-only: mount it for writing, or work in another checkout.",
    errno.EISDIR: IN_THE_WAY,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EMFILE: "Allow this process more open files: `ulimit -n 1024`.",
    errno.ENFILE: "End programs that hold many open files, and run again.",
    errno.EIO: "The disk fails: look at the system's log, and restore from a backup.",
}
"""What an operating system refuses through no fault of ours, and the next step."""


def main(
    run: Callable[..., Any], argv: list[str] | None = None, choices: tuple[str, ...] = (), flags: Mapping[str, str] | None = None
) -> None:
    """Run a stage's `run(params)`, or `run(params, choice)` where it has `choices`; exits 1 on a user's error.

    Each of `flags` (its name and its help) is a switch, handed to `run` as a keyword.
    """
    module = sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(
        prog=f"python -m {module.name.removesuffix('.__main__')}" if module else None,
        description=(sys.modules[run.__module__].__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter for this run"
    )
    if choices:
        parser.add_argument("stage", choices=choices)
    for name, words in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    args = parser.parse_args(argv)
    log_to_terminal()
    root.enter()
    isolation.apply()
    die_with_parent()
    with user_errors():
        switches = {name: getattr(args, name) for name in flags or {}}
        run(params.load(overrides=args.set), *([args.stage] if choices else []), **switches)


def log_to_terminal() -> None:
    """Show our log messages on standard error as they are, but for control characters, which names may hold."""
    handler = logging.StreamHandler()
    handler.setFormatter(Shown("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for name in ("tasks", "__main__"):  # under `python -m` a module's own logger is called __main__
        logging.getLogger(name).setLevel(logging.INFO)


class Shown(logging.Formatter):
    """Escapes the control characters of a message; line feeds stay."""

    def format(self, record: logging.LogRecord) -> str:
        return text.lines(super().format(record))


class user_errors:  # noqa: N801 - reads as `with user_errors():`
    """Context in which a PipelineError, or a refusal of the operating system, ends the program with a block and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BrokenPipeError) or (error is None and _nobody_reads()):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains when it ends
            sys.exit(1)
        error = refusal_of_the_system(error) or error
        if isinstance(error, PipelineError):
            sys.stderr.write(error.block() + "\n")
            sys.exit(1)


def refusal_of_the_system(error: BaseException | None) -> WorkspaceError | None:
    """A full disk, a missing right or the like as an error for the user; None for anything else."""
    if not isinstance(error, OSError):
        return None
    if error.errno in DISK_FULL:
        return disk_full(error)
    if error.errno not in FAULTS:
        return None
    return WorkspaceError((error.strerror or "refused").lower(), where=str(error.filename or Path.cwd()), fix=FAULTS[error.errno])


def _nobody_reads() -> bool:
    """Whether the program that read our standard output is gone, as after `| head -1`."""
    try:
        if sys.stdout and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


def disk_full(error: OSError) -> WorkspaceError:
    """The error of a full disk, with the file that could not be written."""
    return WorkspaceError(
        "no space left on the disk",
        where=str(error.filename or Path.cwd()),
        fix="Free some space (`dvc gc --workspace --all-tags` drops what no version needs) and run again; "
        "finished stages are kept.",
    )


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as sorted, indented JSON in one step: readers see the old file or the new one.

    Raises:
        ValueError: `content` holds NaN or infinity.
    """
    write_bytes(path, as_json(content))


def as_json(content: Any) -> bytes:
    """`content` as sorted, indented JSON in UTF-8.

    Raises:
        ValueError: `content` holds NaN or infinity.
    """
    return f"{json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)}\n".encode()


def write_text(path: Path, text: str) -> None:
    """Write `text` in one step: readers see the old file or the new one."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` in one step: readers see the old file or the new one."""
    replace_files({path: content})


class Result(dict[str, Any]):
    """A JSON object in a stage's result. A key that it lacks is no bug of ours: the error names the stage to run."""

    where = ""
    fix = ""

    def __missing__(self, key: str) -> Any:
        raise WorkspaceError(f"`{key}` is missing", where=self.where, fix=self.fix)


def read_json(path: Path, made_by: str, refusal: type[PipelineError] = WorkspaceError) -> Result:
    """The content of a stage's result, an object.

    Raises:
        PipelineError: the file is missing or not a JSON object; the message names the stage that writes it. So does the
            look-up of a key that the object, or one inside it, lacks. Another JSON value is a `refusal`.
    """
    fix = f"Run `dvc repro {made_by}`."
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise WorkspaceError("no such file", where=str(path), fix=fix) from None
    return parse_json(text, made_by, str(path), fix, refusal)


def parse_json(text: bytes, made_by: str, where: str, fix: str, refusal: type[PipelineError] = WorkspaceError) -> Result:
    """What `read_json` gives, for the bytes of a file; its errors name the place `where` and the next step `fix`."""

    def placed(values: dict[str, Any]) -> Result:
        result = Result(values)
        result.where, result.fix = where, fix
        return result

    try:
        content = json.loads(text.decode(), object_hook=placed)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WorkspaceError(f"not JSON: {error}", where=where, fix=fix) from None
    if not isinstance(content, Result):
        raise refusal(f"expected the result of stage {made_by}", where=where, fix=fix)
    return content
