"""How a version was measured when it was registered, from its own commit."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import registry
from tasks.common import dvc, git
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import EVALUATION, STATISTICS


@dataclass(frozen=True)
class Registered:
    """The evaluation that a version was registered with; the version is its model `candidate`."""

    settings: Mapping[str, Any]
    """Image size, thresholds and so on, see `tasks.evaluate.evaluation_settings`."""
    arrays: Mapping[str, NDArray[Any]]
    """The content of its evaluation.npz."""


def registered(params: Params, version: str) -> Registered:
    """The evaluation of `version`, from git and the DVC cache or remote.

    Raises:
        RegistryError: the version's commit has none, or its arrays are nowhere to be found.
    """
    found = registry.show(params.registry.name, version)
    shown = git.attempt("show", f"{found.commit}:{EVALUATION.as_posix()}")
    if shown.returncode != 0:
        fix = "Watch a version that the flow improve registered."
        raise RegistryError(f"its commit holds no {EVALUATION}", where=found.tag, fix=fix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / STATISTICS.name
        try:
            dvc.run(
                ["get", ".", STATISTICS.as_posix(), "--rev", found.tag, "--out", str(path)],
                lock_wait_s=params.flow.lock_wait_s,
                on_line=lambda _: None,
            )
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (WorkspaceError, ValueError, OSError, zipfile.BadZipFile) as error:
            fix = "Run `dvc push` where it was registered, or configure the DVC remote here (`dvc remote list`)."
            raise RegistryError(f"its {STATISTICS} cannot be read: {error}", where=found.tag, fix=fix) from None
    return Registered(json.loads(shown.stdout)["settings"], arrays)
