"""Keep every tool's state in this checkout, its telemetry off, and nothing downloaded behind the user's back."""

import os
from pathlib import Path


def environment(root: Path) -> dict[str, str]:
    """The variables that do so for the checkout `root`. A variable the user has set wins, see `apply`."""
    return {
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # the first start writes 113 migrations
        # Prefect's default forgets at a restart of the server who holds a slot: the run at work crashed minutes later.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".site-cache"),
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where `--json` puts the result
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is away is said in seconds; MLflow's own 7 take minutes
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


def apply(root: Path | None = None) -> None:
    """Set the variables for this process and its children. Call it before prefect or ultralytics is imported."""
    for name, value in environment(root or Path.cwd()).items():
        os.environ.setdefault(name, value)
