"""Thin helpers over the `git` program, and a commit that leaves branch, index and working tree alone."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.common import gitwords, redact
from tasks.common.errors import WorkspaceError

log = logging.getLogger(__name__)

MAX_FORCED_BYTES = 4 * 2**20
"""A larger file is not put into a commit by force: git keeps every byte for ever, and DVC has the large ones."""
FALLBACK = {"NAME": "ratchet", "EMAIL": "ratchet@localhost"}
"""Who commits where git knows no user."""


def git(*args: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of `git ARGS`, without the final newline; messages are English and nothing is asked.

    Raises:
        WorkspaceError: git is missing or failed; the message holds its last words.
    """
    result = attempt(*args, stdin=stdin, env=env)
    if result.returncode != 0:
        if "not a git repository" in result.stderr:
            require_repository()
        if lock := gitwords.LOCKED.search(result.stderr):
            raise locked(lock["file"])
        raise WorkspaceError(
            result.stderr.strip() or f"exit code {result.returncode}",
            where=" ".join(["git", *args])[:80],
            fix=gitwords.fix_here(result.stderr),
        )
    return result.stdout.removesuffix("\n")


def locked(lock: str) -> WorkspaceError:
    """The error of a git that finds the file `lock`."""
    fix = f"If no git is at work (`ps -C git` lists none), a git that was killed has left the file: delete {lock} and run again."
    return WorkspaceError("git's lock is held by another process, or was left by one", where=lock, fix=fix)


def attempt(*args: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`git ARGS`, whatever its exit code; passwords in addresses are taken out of what it says on standard error."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "GIT_TERMINAL_PROMPT": "0", **(env or {})}
    try:
        result = subprocess.run(
            ["git", *args],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise WorkspaceError("the program git is missing", where="PATH", fix="Install git.") from None
    result.stderr = redact.urls(result.stderr)
    return result


def blob(name: str) -> bytes:
    """The bytes of a file in git's store, named by its hash or, from the current folder, as COMMIT:./PATH.

    Raises:
        WorkspaceError: there is no such file, or git cannot read it.
    """
    result = subprocess.run(["git", "cat-file", "blob", name], capture_output=True, check=False)
    if result.returncode != 0:
        words = result.stderr.decode(errors="replace").strip()
        raise WorkspaceError(words, where=name, fix="Fetch it again from the git remote.")
    return result.stdout


def require_repository() -> None:
    """Refuse to work where the current folder is neither the root of a git repository nor a folder that one tracks.

    Raises:
        WorkspaceError: there is no repository here, or it lies around this folder and tracks no dvc.yaml in it.
    """
    result = attempt("rev-parse", "--show-toplevel")
    here = Path.cwd()
    if result.returncode != 0:
        if "not a git repository" in result.stderr:
            fix = "Run `git init`, then commit. A downloaded archive has no history: clone the repository instead."
            raise WorkspaceError("not a git repository", where=str(here), fix=fix)
        raise WorkspaceError(result.stderr.strip(), where=str(here), fix="Mend what git says, and run again.")
    root = Path(result.stdout.removesuffix("\n"))
    if root.resolve() != here.resolve() and not attempt("ls-files", "--", "dvc.yaml").stdout:
        raise WorkspaceError(
            f"not the root of a git repository; that is {root}, which does not track this folder",
            where=str(here),
            fix="Run there, or run `git init` here, or keep it in that one: dvc init --subdir && git add . && git commit",
        )


def prefix() -> str:
    """The current folder as seen from the root of its git repository, such as `models/bolts/`; empty in the root."""
    return attempt("rev-parse", "--show-prefix").stdout.removesuffix("\n")


def head() -> str:
    """The commit that is checked out.

    Raises:
        WorkspaceError: nothing has been committed yet.
    """
    result = attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if result.returncode != 0:
        raise WorkspaceError(
            "the repository has no commit yet", where=str(Path.cwd()), fix="Commit your code: git add -A && git commit"
        )
    return result.stdout.strip()


def has_remote(name: str) -> bool:
    """Whether a git remote `name` is configured."""
    return attempt("remote", "get-url", name).returncode == 0


def worktrees() -> tuple[Path, ...]:
    """The current folder in each worktree of its repository, in the main one first; none where there is no repository."""
    lines = attempt("worktree", "list", "--porcelain").stdout.splitlines()
    folder = prefix()
    return tuple(Path(line.removeprefix("worktree "), folder) for line in lines if line.startswith("worktree "))


def untracked(paths: Iterable[str]) -> tuple[Path, ...]:
    """The untracked files that match `paths` (git's pathspecs) and are not ignored."""
    listing = git("ls-files", "-z", "--others", "--exclude-standard", "--", *paths)
    return tuple(Path(path) for path in listing.split("\0") if path)


def identity() -> dict[str, str]:
    """Environment variables that name author and committer, only where the user has configured none."""
    env = {}
    for key, value in FALLBACK.items():
        is_set = attempt("config", f"user.{key.lower()}").stdout.strip()
        for role in ("AUTHOR", "COMMITTER"):
            if not is_set and not os.environ.get(f"GIT_{role}_{key}"):
                env[f"GIT_{role}_{key}"] = value
    return env


def commit_workspace(forced: Iterable[Path], message: str) -> str:
    """A new commit on top of HEAD with the tracked files as they are on the disk, and `forced` even if git ignores them.

    Where this folder is one of a larger repository, the files outside it are those of HEAD. The commit is made with an index of
    its own: branch, index and working tree stay as they are. Links in `forced` are stored as the file they point to. Files over
    MAX_FORCED_BYTES are left out, with a line in the log.

    Raises:
        WorkspaceError: there is no repository or no commit, or git failed.
    """
    require_repository()
    parent = head()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        env = {"GIT_INDEX_FILE": str(index)}
        _copy_index(index, env)
        plain = ("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false")
        if prefix():
            git(*plain, "reset", "--quiet", "HEAD", "--", ":/", ":(exclude).", env=env)
        git(*plain, "add", "--update", "--", ".", env=env)
        git("update-index", "-z", "--index-info", stdin=_entries(_small(forced)), env=env)
        tree = git("write-tree", env=env)
    return git("commit-tree", tree, "-p", parent, "-m", message, env=identity())


def _copy_index(index: Path, env: Mapping[str, str]) -> None:
    """Start from the user's index: files that were added count as tracked, and unchanged ones need not be read again."""
    user_index = Path(git("rev-parse", "--git-path", "index"))
    if user_index.is_file():
        shutil.copyfile(user_index, index)
    else:
        git("read-tree", "HEAD", env=env)


def _small(files: Iterable[Path]) -> list[Path]:
    chosen = []
    for file in sorted({file for file in files if file.is_file()}):
        if file.stat().st_size > MAX_FORCED_BYTES:
            log.warning("%s is left out of the commit: %.1f MB", file, file.stat().st_size / 1e6)
        else:
            chosen.append(file)
    return chosen


def _entries(files: list[Path]) -> str:
    """Lines for `git update-index --index-info`; the contents go into git's object store unfiltered."""
    if not files:
        return ""
    blobs = git("hash-object", "-w", "--no-filters", "--", *map(str, files)).split("\n")
    modes = ["100755" if os.access(file, os.X_OK) else "100644" for file in files]
    folder = prefix()
    return "".join(f"{mode} {blob}\t{folder}{file.as_posix()}\0" for mode, blob, file in zip(modes, blobs, files, strict=True))
