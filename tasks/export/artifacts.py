"""Every artifact of one candidate: made, measured, judged and published. Imports ultralytics and torch."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.common.accepted import Accepted, accepted_dataset
from tasks.common.params import Params
from tasks.common.paths import CANDIDATE, EXPORT, RUNS
from tasks.common.stage import write_json, write_text
from tasks.common.weights import require_weights
from tasks.export import accuracy, convert, measure, thresholds
from tasks.export.card import KEYS, card, markdown
from tasks.export.decode import Thresholds
from tasks.export.formats import FORMATS, PT, opener, unavailable
from tasks.export.judge import reasons
from tasks.export.run import Artifact, Run
from tasks.export.thresholds import Model
from tasks.measure import yolo
from tasks.measure.decision import Verdict
from tasks.measure.exported import Exported
from tasks.measure.files import Scores
from tasks.measure.splits import gate_split

log = logging.getLogger(__name__)
WORK = RUNS / "export"


def export(params: Params, verdict: Verdict, folder: Path) -> tuple[Exported, dict[str, Any]]:
    """The contents of export.json and export_speed.json, with what is kept in `folder`, which becomes models/export/."""
    takes_train = any(FORMATS[name].is_int8 for name in params.export.formats)
    splits = ("val", params.evaluate.split, *(("train",) if takes_train else ()))
    with accepted_dataset(params, *splits, with_metadata=True) as accepted:
        return judge(params, accepted, verdict, folder)


def judge(params: Params, accepted: Accepted, verdict: Verdict, folder: Path) -> tuple[Exported, dict[str, Any]]:
    """Make, measure and publish every artifact."""
    started = time.monotonic()
    yolo.prepare()
    shutil.rmtree(WORK, ignore_errors=True)
    run = gather(params, accepted)
    model, artifacts = Artifact(PT, CANDIDATE), make(run)
    chosen, on_val = choose(run, opener(PT)(CANDIDATE, run.imgsz, run.max_rows))
    content = describe(run, chosen) | {"chosen_on": on_val}
    write_json(WORK / "card.json", content)
    made = [one for one in artifacts if one.status == "kept"]
    measure.accuracies(run, [model, *made], chosen)
    speed = measure.processes(run, [model, *made], WORK / "card.json")
    for one in made:
        for reason in reasons(one.facts, speed.get(one.name), params.export, params.gate.metric) if one.status == "kept" else ():
            one.leave("refused", reason)
    cards = publish(content, model, artifacts, folder)
    for one in artifacts:
        log.info("export %s: %s", one.name, line(one, speed, params.gate.metric))
    kept = sum(one.status == "kept" for one in artifacts)
    log.info("export: %d of %d kept in %.0f s -> %s", kept, len(artifacts), time.monotonic() - started, EXPORT)
    shutil.rmtree(WORK, ignore_errors=True)
    result = {"verdict": verdict, "exported": True, "reason": "", "card": content, "card_files": cards, PT: model.facts}
    formats = {one.name: {"status": one.status, "reasons": one.reasons, **one.facts} for one in artifacts}
    return Exported.of(result | {"formats": formats}), speed


def gather(params: Params, accepted: Accepted) -> Run:
    """The inputs of the stage."""
    scores = Scores.read()
    require_weights(CANDIDATE)
    dataset, manifest = accepted.dataset, accepted.manifest
    split = gate_split(params, dataset, manifest)
    end2end = not params.evaluate.nms and accuracy.has_nms_free_head(CANDIDATE)
    return Run(params, manifest, scores, dataset, split, yolo.write_data_yaml(dataset, WORK / "data"), end2end)


def make(run: Run) -> list[Artifact]:
    """The candidate in every format that this machine can make."""
    rule, made = run.params.export, []
    data = convert.calibration(run.dataset, rule.calibration_images, WORK / "calibration")
    for name in rule.formats:
        one = Artifact(name, Path())
        made.append(one)
        if reason := unavailable(name):
            one.leave("skipped", reason)
            continue
        started = time.monotonic()
        try:
            one.file = convert.convert(name, CANDIDATE, WORK, run.imgsz, data, run.max_rows)
        except Exception as error:  # a dozen libraries raise what they like for a layer that they cannot express
            log.warning("export %s: it cannot be made", name, exc_info=error)
            one.leave("refused", f"it cannot be made: {str(error).strip().partition(chr(10))[0] or type(error).__name__}")
            continue
        log.info("export %s: made in %.1f s", name, time.monotonic() - started)
    return made


def choose(run: Run, network: Model) -> tuple[Thresholds, dict[str, Any]]:
    """The thresholds, and what they give on split val, from one pass over it."""
    names, rule = run.dataset.names, run.params.evaluate
    stored = thresholds.store(network, run.dataset.splits["val"], len(names), run.imgsz, run.end2end, WORK / "val")
    require = requirement(run.params)
    chosen = thresholds.choose(stored, require, rule.max_det, rule.iou)
    found = thresholds.figures(stored, chosen, names)
    for name, own in found["per_class"].items():
        if require is not None and own[require[0]] < require[1]:
            log.warning("export: no confidence gives %s a %s of %g; %.4f is the nearest", name, *require, own[require[0]])
    return chosen, found


def requirement(params: Params) -> tuple[str, float] | None:
    """The metric that each class must reach, and how much of it."""
    return next(iter(params.export.require.items()), None) if params.export.require else None


def describe(run: Run, chosen: Thresholds) -> dict[str, Any]:
    """The card, without what is measured."""
    require = requirement(run.params)
    facts = {
        "task": run.scores.task,
        "names": list(run.dataset.names),
        "imgsz": run.imgsz,
        "data": {"path": run.manifest.path, "sha256": run.manifest.sha256},
        "split": dict(run.split),
        "weights": {"path": CANDIDATE.as_posix(), "tensors_sha256": run.scores.candidate["tensors_sha256"]},
        "chosen_for": "the best mean F1" if require is None else f"a {require[0]} of at least {require[1]:g}",
        "libraries": yolo.library_versions(),
    }
    return card(facts, chosen, run.end2end)


def publish(content: dict[str, Any], model: Artifact, artifacts: list[Artifact], folder: Path) -> dict[str, Any]:
    """Move what is kept to `folder`, and finish the card with what was measured; size and hash of its files."""
    kept = [one for one in artifacts if one.status == "kept"]
    content["verified"] = model.facts["verified"]
    content["metrics"] = {one.name: one.facts["metrics"] for one in (model, *kept)}
    content["at_thresholds"] = {one.name: {key: one.facts["verified"][key] for key in KEYS} for one in (model, *kept)}
    content["files"] = {}
    for one in kept:
        name = one.file.parent.name
        shutil.move(one.file.parent, folder / name)
        one.facts["path"] = (EXPORT / name / one.file.name).as_posix()
        one.facts["files"] = _described((folder / name).iterdir(), folder)
        content["files"] |= one.facts["files"]
    write_json(folder / "card.json", content)
    write_text(folder / "card.md", markdown(content))
    return _described(folder.glob("card.*"), folder)


def _described(files: Iterable[Path], folder: Path) -> dict[str, Any]:
    """{path below `folder`: its size and SHA-256}."""
    found: dict[str, Any] = {}
    for file in sorted(files):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        found[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    return found


def line(one: Artifact, speed: Mapping[str, Any], metric: str) -> str:
    """What was found, in one line."""
    if "changes" not in one.facts:
        return f"{one.status}: {'; '.join(one.reasons)}"
    change = one.facts["changes"][metric]
    text = f"{one.status}, {metric} {change['candidate']:.4f} ({change['gain'] or 0.0:+.2%}), {one.facts['bytes'] / 1e6:.2f} MB"
    latency, reference = (speed.get(name, {}).get("batch_1") for name in (one.name, PT))
    if latency and reference:
        text += f", {latency['p50_ms']:.2f} ms, {reference['p50_ms'] / latency['p50_ms']:.1f} x .pt"
    return text + (f": {'; '.join(one.reasons)}" if one.reasons else "")
