"""What the finished run offers: whether it may become a version, and what that version pins.

reads   reports/decision.json, reports/evaluation.json, dvc.lock, champion.yaml, the version's commit
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tasks.common import dvc, dvcfiles, git
from tasks.common.champion import read_pin
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.common.paths import CANDIDATE, CHAMPION, DECISION, LINEAGE, LOOKS, PARAMS, REPORT, REPORTS
from tasks.measure.decision import Decision
from tasks.measure.files import Scores
from tasks.registry.record import Record

LIBRARIES = ("ultralytics", "torch", "torchvision", "numpy", "opencv-python", "dvc", "gto", "yolo-ratchet")
EVIDENCE = (PARAMS, dvcfiles.DVC_YAML, dvcfiles.DVC_LOCK, CHAMPION, LINEAGE, LOOKS, REPORTS)


def candidate_md5(settings: dvcfiles.Settings) -> str:
    """The hash of the candidate's weights in dvc.lock, whose bytes are in the DVC cache."""
    if not any(CANDIDATE.is_relative_to(out) for out in dvcfiles.locked_outputs()):
        raise RegistryError("there is no candidate yet", where=str(CANDIDATE), fix="Run `dvc repro`.")
    md5 = dvcfiles.file_md5(settings.cache, CANDIDATE)
    if md5 is None or not dvcfiles.cache_object(settings.cache, md5).is_file():
        fix = "Run `dvc commit finetune` if the weights are here, `dvc pull finetune` if they are on the remote."
        if other_caches := dvcfiles.caches()[1:]:
            fix += f" Another worktree may have them: `dvc cache dir --local {other_caches[0]}`, then `dvc checkout finetune`."
        raise RegistryError("the candidate's weights are not in the DVC cache", where=str(CANDIDATE), fix=fix)
    return md5


def require_verdict(verdict: str, allow_inconclusive: bool) -> None:
    """Refuse a candidate that the gate did not let through."""
    if verdict == "PROMOTE" or (verdict == "INCONCLUSIVE" and allow_inconclusive):
        return
    fix = "Improve the data or the training and run again; the champion stays."
    if verdict == "INCONCLUSIVE":
        fix = "Label more images for the gate split, or register it all the same with --allow-inconclusive."
    raise RegistryError(f"the verdict is {verdict}", where=str(DECISION), fix=fix)


def require_up_to_date(lock_wait_s: float) -> None:
    """Refuse to pin code, parameters or data other than those that made the decision."""
    outs = dvcfiles.locked_outputs()
    makers = {outs[path.as_posix()].stage for path in (DECISION, REPORT) if path.as_posix() in outs}
    if not makers:
        raise RegistryError("dvc.lock has no decision", where=str(dvcfiles.DVC_LOCK), fix="Run `dvc repro`.")
    if stale := dvc.stale_stages(sorted(makers), lock_wait_s=lock_wait_s):
        rows = "\n".join(f"{name}: {', '.join(reasons)}" for name, reasons in stale.items())
        raise RegistryError(f"the run is not up to date\n{rows}", where=str(dvcfiles.DVC_LOCK), fix="Run `dvc repro`.")


def describe(params: Params, md5: str) -> Record:
    """The record of the candidate, from the files of the run."""
    decision, scores = Decision.read(), Scores.read()
    figures = scores.candidate
    data_version = dvcfiles.data_version(Path(params.data.path))
    if data_version is None:
        fix = "Run `python -m tasks.snapshot`."
        raise RegistryError("the dataset is not under DVC", where=params.data.path, fix=fix)
    return Record(
        weights=CANDIDATE.as_posix(),
        md5=md5,
        data=params.data.path,
        data_version=data_version,
        verdict=decision.verdict.value,
        metric=decision.metric,
        reference=decision.reference,
        candidate=decision.candidate,
        gain=decision.gain,
        parent=read_pin()["version"] if CHAMPION.is_file() else None,
        task=scores.task,
        names=scores.names,
        metrics={kind: _numbers(figures[kind]) for kind in ("box", "mask") if kind in figures},
        libraries=_library_versions(),
        tensors=str(figures.get("tensors_sha256", "")),
        lower_bound=decision.level.lower_bound if decision.level else None,
        new_names=tuple(decision.classes.new) if decision.classes else (),
    )


def evidence(params: Params) -> list[Path]:
    """The files that a version's commit holds even where git ignores them or does not know them yet.

    Outputs in the DVC cache are left out: DVC refuses to run a stage whose cached output git tracks, so nobody could
    repeat a run from its tag. dvc.lock pins them.
    """
    cached = set(dvcfiles.cached_outputs())
    # A hidden file is half written, by a run that was killed.
    finished = (file for file in REPORTS.rglob("*") if not file.name.startswith("."))
    reports = [file for file in finished if file not in cached and not cached & set(file.parents)]
    code = git.untracked(["*.dvc", *(str(path) for path in dvcfiles.locked_dependencies())])
    return [
        *(PARAMS, CHAMPION, LINEAGE, LOOKS, dvcfiles.DVC_YAML, dvcfiles.DVC_LOCK, dvcfiles.dvc_file(Path(params.data.path))),
        *reports,
        *code,
    ]


def files_of(commit: str) -> dict[str, str]:
    """{path: SHA-256} of the files in `commit` that a verdict rests on: params.yaml, dvc.lock, champion.yaml and reports."""
    paths = [path.as_posix() for path in EVIDENCE]
    listing = git.git("ls-tree", "-r", "-z", "--name-only", commit, "--", *paths)
    return {path: hashlib.sha256(git.blob(f"{commit}:./{path}")).hexdigest() for path in listing.split("\0") if path}


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions
