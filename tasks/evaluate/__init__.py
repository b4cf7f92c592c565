"""Measure every model in question on one split, with one harness, in one process.

reads   reports/dataset.json, the gate split, models/{baseline,finetune}/best.pt, champion.yaml, lineage.json
writes  reports/evaluation.json   per model: box and mask metrics, in all and per class; split and settings
        reports/evaluation.npz    per image: detections, matches and targets, from which the gate resamples
        reports/metrics.json      the headline figures of every model
        reports/speed.json        measured latency; apart, so that the other files are the same after every repeat

The metrics are Ultralytics' own (`ap_per_class`), over images in the order of their names.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tasks.common.accepted import Accepted, accepted_dataset
from tasks.common.champion import pinned_weights, weights_of
from tasks.common.classes import require_explained
from tasks.common.lineage import Lineage
from tasks.common.params import Params
from tasks.common.paths import BASELINE, CANDIDATE, METRICS, SPEED
from tasks.common.stage import as_json
from tasks.evaluate.golden import golden_set
from tasks.measure import files, yolo
from tasks.measure.evaluation import Evaluation
from tasks.measure.harness import latency, measure, model_facts
from tasks.measure.loaded import require_loaded
from tasks.measure.splits import gate_split

log = logging.getLogger(__name__)


def run(params: Params) -> Evaluation:
    """Evaluate baseline, candidate and champion, and write what the gate needs.

    Raises:
        EvaluationError: the split is missing or empty, or nothing says what became of a class that a model knows.
        DatasetError: the split changed since it was validated.
        WeightsError: a model's weights are missing or broken.
    """
    with accepted_dataset(params, params.evaluate.split, with_metadata=True) as accepted:
        evaluation, speed = compare(params, accepted)
    headline = {name: {kind: evaluation.models[name].facts[kind] for kind in evaluation.kinds} for name in speed}
    files.write(evaluation, {SPEED: as_json(speed), METRICS: as_json(headline)})
    return evaluation


def compare(params: Params, accepted: Accepted) -> tuple[Evaluation, dict[str, dict[str, float]]]:
    """The evaluation of all models, with the golden set where there is one, and their latency."""
    dataset, manifest, lineage = accepted.dataset, accepted.manifest, Lineage.read()
    split = gate_split(params, dataset, manifest)
    weights = {"baseline": BASELINE / "best.pt", "candidate": CANDIDATE}
    if (champion := pinned_weights()) is not None:
        weights["champion"] = champion
    yolo.prepare()
    models = {name: yolo.load(path) for name, path in weights.items()}
    for name, model in models.items():
        if not params.evaluate.nms and not yolo.has_nms_free_head(model.model):
            log.warning("evaluate: evaluate.nms false is without effect for the %s, which has no head without suppression", name)
        require_explained(name, yolo.class_names(model), dataset, params.data)
    in_question = dict(models)
    if lineage.first is not None:
        weights["first"] = weights_of(lineage.first.version, Path(lineage.first.weights), lineage.first.md5)
        first = yolo.load(weights["first"])
        models |= {"first": first} if first.task == models["candidate"].task else {}
    facts = {name: model_facts(weights[name], model) for name, model in models.items()}
    evaluation = measure(models, facts, dataset, split, params)
    loaded = {path: list(evaluation.targets.cls[evaluation.targets.img == i]) for i, path in enumerate(evaluation.images)}
    require_loaded(dataset, split["name"], manifest.splits[split["name"]], loaded, "evaluate")
    with golden_set(params, dataset, lineage) as golden:
        if golden is not None:
            evaluation = replace(evaluation, golden=measure(models, facts, golden.dataset, golden.split, params))
    return evaluation, latency(in_question, params.train.imgsz)
