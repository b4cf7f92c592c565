"""The variables that a program of a test is started with: those of this process, less what would lead it elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DVC_", "YOLO_", "PYTHONPATH"))},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "SHELL": "/bin/sh",  # as where nobody is logged in: DVC runs stages with it, and dash replaces itself only at `exec`
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
}
