"""Make, measure, judge and publish every artifact of one candidate. Imports ultralytics and torch."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.common.accepted import Accepted, accepted_dataset
from tasks.common.params import Params
from tasks.common.paths import CANDIDATE, EXPORT, RUNS
from tasks.common.stage import write_json, write_text
from tasks.common.text import gain
from tasks.common.weights import require_weights
from tasks.export import accuracy, convert, measure, operating
from tasks.export.card import KEYS, card, markdown
from tasks.export.decode import Thresholds
from tasks.export.formats import FORMATS, PT, unavailable
from tasks.export.judge import reasons
from tasks.export.types import Artifact, Run
from tasks.measure import yolo
from tasks.measure.decision import Verdict
from tasks.measure.evaluation import CLASSES
from tasks.measure.exported import Exported
from tasks.measure.files import Scores
from tasks.measure.operating import Operated, OperatingPoint, encode
from tasks.measure.splits import gate_split

log = logging.getLogger(__name__)
WORK = RUNS / "export"


@dataclass(frozen=True)
class Result:
    """What the stage writes beside models/export/."""

    exported: Exported
    speed: dict[str, Any]
    """The content of export_speed.json."""
    operating: bytes
    """The content of operating.npz."""


def export(params: Params, verdict: Verdict, reason: str, folder: Path) -> Result:
    """Find where reference and candidate operate, and export the candidate unless a `reason` speaks against it.

    What is kept is in `folder`, which becomes models/export/.
    """
    takes_train = not reason and any(FORMATS[name].is_int8 for name in params.export.formats)
    splits = ("val", params.evaluate.split, *(("train",) if takes_train else ()))
    with accepted_dataset(params, *splits, with_metadata=True) as accepted:
        return _export(params, accepted, verdict, reason, folder)


def _export(params: Params, accepted: Accepted, verdict: Verdict, reason: str, folder: Path) -> Result:
    yolo.prepare()
    shutil.rmtree(WORK, ignore_errors=True)
    run = gather(params, accepted)
    images = {file.relative_to(run.dataset.root).as_posix(): file for file in run.images}
    paths = tuple(sorted(images))  # as evaluate has them
    points, operated = dict[str, OperatingPoint](), dict[str, Operated]()
    for name in (run.scores.reference, "candidate"):  # whose thresholds the export needs, so it comes last
        operator = operating.opened(run, name)
        chosen, chosen_on, on_val = operating.thresholds_of(run, operator, WORK / "val")
        points[name] = operating.point_of(run, operator, chosen, chosen_on)
        operated[name] = operating.operate(operator, chosen, [images[path] for path in paths], run.imgsz)
        log.info("export: %s", operating.line(name, points[name], operated[name], len(paths)))
    stored = encode(paths, operated)
    if reason:
        shutil.rmtree(WORK, ignore_errors=True)
        log.info("export: nothing, %s", reason)
        return Result(Exported(verdict=verdict, exported=False, reason=reason, formats={}, points=points), {}, stored)
    exported, speed = judge(run, chosen, on_val, verdict, folder)
    return Result(replace(exported, points=points), speed, stored)


def judge(
    run: Run, chosen: Thresholds, on_val: dict[str, Any], verdict: Verdict, folder: Path
) -> tuple[Exported, dict[str, Any]]:
    """Make, measure and publish every artifact; `chosen` are the candidate's thresholds, `on_val` what they give there."""
    params, started = run.params, time.monotonic()
    model, artifacts = Artifact(PT, CANDIDATE), make(run)
    content = describe(run, chosen) | {"chosen_on": on_val}
    write_json(WORK / "card.json", content)
    converted = [artifact for artifact in artifacts if artifact.status == "kept"]
    measure.accuracies(run, [model, *converted], chosen)
    speed = measure.processes(run, [model, *converted], WORK / "card.json")
    for artifact in [artifact for artifact in converted if artifact.status == "kept"]:
        for reason in reasons(artifact.facts, speed.get(artifact.name), params.export, params.gate.metric):
            artifact.exclude("refused", reason)
    cards = publish(content, model, artifacts, folder)
    for artifact in artifacts:
        log.info("export %s: %s", artifact.name, line(artifact, speed, params.gate.metric))
    kept = sum(artifact.status == "kept" for artifact in artifacts)
    log.info("export: %d of %d kept in %.0f s -> %s", kept, len(artifacts), time.monotonic() - started, EXPORT)
    shutil.rmtree(WORK, ignore_errors=True)
    result = {"verdict": verdict, "exported": True, "reason": "", "card": content, "card_files": cards, PT: model.facts}
    formats = {
        artifact.name: {"status": artifact.status, "reasons": artifact.reasons, **artifact.facts} for artifact in artifacts
    }
    return Exported.of(result | {"formats": formats}), speed


def gather(params: Params, accepted: Accepted) -> Run:
    """What all artifacts of this run share."""
    scores = Scores.read()
    require_weights(CANDIDATE)
    dataset, manifest = accepted.dataset, accepted.manifest
    split = gate_split(params, dataset, manifest)
    end2end = not params.evaluate.nms and accuracy.has_nms_free_head(CANDIDATE)
    return Run(params, manifest, scores, dataset, split, yolo.write_data_yaml(dataset, WORK / "data"), end2end)


def make(run: Run) -> list[Artifact]:
    """The candidate in every format of `export.formats`; a format that cannot be made is skipped or refused."""
    export_params, artifacts = run.params.export, list[Artifact]()
    data = convert.calibration(run.dataset, export_params.calibration_images, WORK / "calibration")
    for name in export_params.formats:
        artifact = Artifact(name, Path())
        artifacts.append(artifact)
        if reason := unavailable(name):
            artifact.exclude("skipped", reason)
            continue
        started = time.monotonic()
        try:
            artifact.file = convert.convert(name, CANDIDATE, WORK, run.imgsz, data, run.max_rows)
        except Exception as error:  # a dozen libraries raise what they like for a layer that they cannot express
            log.warning("export %s: it cannot be made", name, exc_info=error)
            artifact.exclude("refused", f"it cannot be made: {str(error).strip().partition(chr(10))[0] or type(error).__name__}")
            continue
        log.info("export %s: made in %.1f s", name, time.monotonic() - started)
    return artifacts


def describe(run: Run, chosen: Thresholds) -> dict[str, Any]:
    """The model card without the measured figures."""
    require = run.requirement
    facts = {
        "task": run.scores.task,
        "names": list(run.dataset.names),
        "new_classes": run.scores.models[run.scores.reference].get(CLASSES, {}).get("unknown", []),
        "imgsz": run.imgsz,
        "data": {"path": run.manifest.path, "sha256": run.manifest.sha256},
        "split": dict(run.split),
        "weights": {"path": CANDIDATE.as_posix(), "tensors_sha256": run.scores.candidate["tensors_sha256"]},
        "chosen_for": "the best mean F1" if require is None else f"a {require[0]} of at least {require[1]:g}",
        "libraries": yolo.library_versions(),
    }
    return card(facts, chosen, run.end2end)


def publish(content: dict[str, Any], model: Artifact, artifacts: list[Artifact], folder: Path) -> dict[str, Any]:
    """Move what is kept to `folder`, and finish the card with what was measured. Returns size and hash of its files."""
    kept = [artifact for artifact in artifacts if artifact.status == "kept"]
    content["verified"] = model.facts["verified"]
    content["metrics"] = {artifact.name: artifact.facts["metrics"] for artifact in (model, *kept)}
    content["at_thresholds"] = {
        artifact.name: {key: artifact.facts["verified"][key] for key in KEYS} for artifact in (model, *kept)
    }
    content["files"] = {}
    for artifact in kept:
        name = artifact.file.parent.name
        shutil.move(artifact.file.parent, folder / name)
        artifact.facts["path"] = (EXPORT / name / artifact.file.name).as_posix()
        artifact.facts["files"] = _described((folder / name).iterdir(), folder)
        content["files"] |= artifact.facts["files"]
    write_json(folder / "card.json", content)
    write_text(folder / "card.md", markdown(content))
    return _described(folder.glob("card.*"), folder)


def _described(files: Iterable[Path], folder: Path) -> dict[str, Any]:
    """{path below `folder`: its size and SHA-256}."""
    entries: dict[str, Any] = {}
    for file in sorted(files):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        entries[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    return entries


def speed_words(ratio: float) -> str:
    """How many times as fast as the .pt a format is."""
    return f"{ratio:.1f}x faster than .pt" if ratio >= 1 else f"{1 / ratio:.1f}x slower than .pt"


def line(artifact: Artifact, speed: Mapping[str, Any], metric: str) -> str:
    """Status, figures and reasons of an artifact, in one line."""
    if "changes" not in artifact.facts:
        return f"{artifact.status}: {'; '.join(artifact.reasons)}"
    change = artifact.facts["changes"][metric]
    text = f"{artifact.status}, {metric} {change['candidate']:.4f} ({gain(change['gain'] or 0.0)})"
    text += f", {artifact.facts['bytes'] / 1e6:.2f} MB"
    latency, reference = (speed.get(name, {}).get("batch_1") for name in (artifact.name, PT))
    if latency and reference:
        text += f", {latency['p50_ms']:.2f} ms, {speed_words(reference['p50_ms'] / latency['p50_ms'])}"
    return text + (f": {'; '.join(artifact.reasons)}" if artifact.reasons else "")
