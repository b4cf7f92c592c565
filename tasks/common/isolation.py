"""Keep every tool's state in this checkout, its telemetry off, and nothing downloaded behind the user's back.

It also mends what differs between machines: a proxy, an account without a name, an odd path of the checkout.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that are this machine: no proxy reaches our servers on them."""
OTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Set in git's hooks; they would let us read and tag another repository than the one of the current folder."""
NOBODY = "nobody"
"""The name of a user whom the system does not know: DVC, Prefect and torch all want one."""
DATABASE_URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
CHOSEN = re.compile(r"PREFECT_(SERVER|API)_DATABASE_(CONNECTION_URL|DRIVER|NAME)")
"""With one of these the user has chosen a database."""
MISREAD = re.compile(r"\?|:memory:|mode=memory")
"""What Prefect and SQLAlchemy take for a part of an address of their own in the path of a database."""


def environment(root: Path) -> dict[str, str]:
    """The variables that do so for the checkout `root`. A variable the user has set wins, see `completed`."""
    return {
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # the first start writes 113 migrations
        # Prefect's default forgets at a restart of the server who holds a slot: the run at work crashed minutes later.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "DVC_SITE_CACHE_DIR": str(root / ".site-cache"),
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where `--json` puts the result
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is away is said in seconds; MLflow's own 7 take minutes
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # it would wait between those as long as the server says
        "YOLO_CONFIG_DIR": str(root / ".ultralytics"),
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "YOLO_VERBOSE": "false",
        "ULTRALYTICS_SAFE_LOAD": "true",  # torch's weights_only, and no eval of a network's description
        "MPLBACKEND": "Agg",
        # Waiting threads of torch must not spin: forward and backward have a team each. With 2 threads on two shared cores
        # an epoch of the sample took 250 s (once), and 13 s with this.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def completed(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """`environ` with the variables of `environment` that it lacks, and with what this machine needs."""
    values = {name: value for name, value in {**environment(root), **environ}.items() if name not in OTHER_REPOSITORY}
    return {**values, **_database(values), **_account(values, root), **_width(values), **without_proxy(values)}


def without_proxy(environ: Mapping[str, str], hosts: tuple[str, ...] = LOOPBACK) -> dict[str, str]:
    """NO_PROXY in both spellings: the entries of both in `environ`, and `hosts`. `*` stays alone, else nobody understands it."""
    named = [entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environ.get(name, "").split(",")]
    entries = list(dict.fromkeys(re.sub(r"^\[(.*)\]$", r"\1", entry) for entry in (*named, *hosts) if entry))
    value = "*" if "*" in entries else ",".join(entries)
    return {"NO_PROXY": value, "no_proxy": value}


def _width(values: Mapping[str, str]) -> dict[str, str]:
    """A usable COLUMNS where it is 0 or no number: Prefect's log would lose its lines."""
    columns = values.get("COLUMNS", "80")
    return {} if columns.isdecimal() and int(columns) > 0 else {"COLUMNS": "80"}


def _account(values: Mapping[str, str], root: Path) -> dict[str, str]:
    """A name and a home for a user whom the system does not know, or whose environment was emptied."""
    user, login, home = values.get("USER"), values.get("LOGNAME"), values.get("HOME")
    if not ((user or login) and home):
        name, folder = _known_account(root)
        user, home = user or login or name, home or folder
    return {"USER": user or login or "", "LOGNAME": login or user or "", "HOME": home}


def _known_account(root: Path) -> tuple[str, str]:
    """Name and home of this process's user, from the system's list of users where it has them."""
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        return NOBODY, str(root / ".home")
    return entry.pw_name, entry.pw_dir


def _database(values: Mapping[str, str]) -> dict[str, str]:
    """The address of Prefect's database where Prefect's own would name another file; empty elsewhere."""
    path = Path(values["PREFECT_HOME"]).absolute() / "prefect.db"
    if not MISREAD.search(str(path)) or any(map(CHOSEN.fullmatch, values)):
        return {}
    return {DATABASE_URL: f"sqlite+aiosqlite:///file:{quote(str(path))}?uri=true"}


def apply(root: Path | None = None) -> None:
    """Set the variables for this process and its children, and drop those of git's hooks.

    Call it before prefect or ultralytics is imported.
    """
    os.environ.update(completed(os.environ, root or Path.cwd()))
    for name in OTHER_REPOSITORY:
        os.environ.pop(name, None)
    # nncf and openvino know no variable for it: they report every conversion, and write to ~/intel, unless this import fails.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
