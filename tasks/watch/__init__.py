"""Look at the champion on data that came since: is it worse, or does it see other images than those it was judged on?

reads   watch.path, the champion's weights, and reports/evaluation.{json,npz} of its registered version
writes  runs/watch/watch.json, watch.md; watch.html with pictures, and some of these as watch.svg

`python -m tasks.watch`; the flow `watch` runs it on a schedule. It is no stage of dvc.yaml: it judges what is in production,
and changes nothing. An image without a label file is unlabelled, and counts for its image and detections alone; an empty file
means background.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks import registry
from tasks.common.accepted import unchanged
from tasks.common.dataset import Dataset, label_file, read_dataset
from tasks.common.errors import DatasetError, EvaluationError, RegistryError
from tasks.common.page.document import Panel, Shot
from tasks.common.page.montage import montage
from tasks.common.params import Params
from tasks.common.paths import EVALUATION, RUNS, WATCH, WATCH_GALLERY, WATCH_PAGE, WATCH_PICTURES
from tasks.common.replace import replace_files
from tasks.common.stage import as_json
from tasks.measure.evaluation import Evaluation
from tasks.watch import drift, drop, pictures
from tasks.watch.finding import Finding, Watch
from tasks.watch.page import MISSED_MOST, page, pictured
from tasks.watch.pictures import Seen
from tasks.watch.registered import registered

log = logging.getLogger(__name__)
NUM_USUAL = 3
"""Usual images of registration on the page, and images of a kind in watch.svg."""
MAX_GALLERY_BYTES = 330_000
"""Of watch.svg, which becomes part of an artifact in Prefect's database."""


def run(params: Params) -> Watch:
    """Measure the champion on the new data and compare.

    Raises:
        RegistryError: there is no champion, or its version stores no evaluation.
        DatasetError: watch.path is not set or not a dataset.
        EvaluationError: it was measured with other settings when it was registered.
    """
    if params.watch.path is None:
        raise DatasetError("nothing to watch", where="watch.path", fix="Name the folder of the new data in params.yaml.")
    version = registry.champion(params)
    if version is None:
        fix = "Promote a version first: `python -m tasks.registry promote VERSION --approver NAME --reason WHY`."
        raise RegistryError("there is no champion to watch", where=params.registry.name, fix=fix)
    dataset = read_dataset(Path(params.watch.path))
    if params.watch.split not in dataset.splits:
        raise DatasetError(f"no split `{params.watch.split}`", where=f"{dataset.root}/data.yaml", fix="Correct watch.split.")
    then = registered(params, version)
    weights = registry.fetch(params, version)
    with unchanged(dataset, params.watch.split):
        now = measure(params, weights, dataset, then)
        found = judge(params, version, then, now)
    look(params, found, then, Seen(dataset.root, now, params.report.conf))
    log.info("watch: %s -> %s", found.summary(), WATCH_PICTURES)
    return found


def look(params: Params, found: Watch, then: Evaluation, seen: Seen) -> None:
    """Write the finding, and its pictures."""
    drifts, has_images = sorted(found.drifts, key=lambda d: -d.psi), params.watch.page_images > 0
    before, after = (drift.features(own, seen.min_conf) for own in (then, seen.evaluation))
    histograms = {d.feature: pictures.histogram(d.feature, before[d.feature], after[d.feature]) for d in drifts}
    told = {d.feature: after[d.feature] for d in drifts if d.is_real}
    medians = {d.feature: d.median_then for d in drifts}
    galleries: list[tuple[str, list[Shot]]] = []
    if found.drops and has_images:
        chosen = pictures.most_missed(seen, params.watch.page_images)
        galleries.append((MISSED_MOST, pictures.shots(seen, chosen, told, medians, True)))
    if told and has_images:
        unlike = pictures.unlikeness(before, after, drifts)
        chosen = [int(i) for i in np.argsort(-unlike, kind="stable")][: params.watch.page_images]
        galleries.append(("Least like registration", pictures.shots(seen, chosen, told, medians, False)))
        home = Seen(Path(then.split.get("dataset", "")), then, seen.min_conf)
        usual = [int(i) for i in np.argsort(pictures.unlikeness(before, before, drifts), kind="stable")][:NUM_USUAL]
        own = {name: before[name] for name in told}
        galleries.append(("Usual at registration", pictures.shots(home, usual, own, {}, False)))
    drawn = [
        Shot(f"{d.feature}, grey then, blue now, PSI {d.psi:.2f}", "", "", (Panel("", histograms[d.feature]),)) for d in drifts
    ]
    some = [
        replace(shot, name=f"{title}: {shot.name.rpartition('/')[2]}") for title, shots in galleries for shot in shots[:NUM_USUAL]
    ]
    gallery = montage([*drawn, *some], MAX_GALLERY_BYTES)
    texts = {WATCH_PAGE: page(found), WATCH_PICTURES: pictured(found, histograms, galleries), WATCH_GALLERY: gallery}
    replace_files({WATCH: as_json(asdict(found))} | {path: text.encode() for path, text in texts.items()})


def measure(params: Params, weights: Path, dataset: Dataset, then: Evaluation) -> Evaluation:
    """An evaluation of `weights`, as model `candidate`, on the new images, with the registered settings."""
    from tasks.measure import view, yolo
    from tasks.measure.harness import evaluation_settings, put_together
    from tasks.measure.predict import predict

    settings = evaluation_settings(params)
    before = {"nms": True} | dict(then.settings)  # versions before 0.2 do not say it
    if other := sorted(key for key, value in settings.items() if before.get(key) != value and key != "device"):
        raise EvaluationError(
            "the champion was registered with other settings: "
            + ", ".join(f"{key} {before.get(key)}, now {settings[key]}" for key in other),
            where=str(EVALUATION),
            fix="Set them in params.yaml as they were (evaluate.*, train.imgsz), or promote a version measured with these.",
        )
    yolo.prepare()
    model = yolo.load(weights)
    yolo.require_same_classes("champion", model, dataset)
    work = RUNS / "watch" / "data"
    with view.removed_afterwards(work):
        data = yolo.write_data_yaml(yolo.of_split(dataset, params.watch.split), work)
        images = predict(model, data, dataset, settings, params.watch.split, RUNS / "watch")
    return put_together({"candidate": images}, {}, dataset, {}, "candidate")


def judge(params: Params, version: str, then: Evaluation, now: Evaluation) -> Watch:
    """What the new evaluation says beside the registered one."""
    rule = params.watch
    assert rule.path is not None
    num_images = len(now.images)
    enough = num_images >= rule.min_images
    drops: list[drop.Drop] = []
    labelled = have_labels(Path(rule.path), now)
    if labelled.sum() >= rule.min_images:
        reference = drop.sample(then, params.gate)
        whole = {"all": labelled} | {name: kept & labelled for name, kept in drop.parts(now, params.gate.slices).items()}
        drops = [
            drop.compare(
                part, reference, drop.sample(now.where(kept), params.gate), rule.max_drop, params.gate.confidence or 0.95
            )
            for part, kept in whole.items()
            if kept.any()
        ]
    before, after = (drift.features(own, params.report.conf) for own in (then, now))
    drifts = drift.compare(before, after, rule.max_psi) if enough else ()
    finding = Finding.STEADY if enough else Finding.TOO_FEW
    if any(d.is_real for d in drifts):
        finding = Finding.DRIFT
    if any(d.is_real for d in drops):
        finding = Finding.DROP
    num_labelled = int(labelled.sum())
    return Watch(finding, version, rule.path, rule.split, num_images, params.gate.metric, tuple(drops), drifts, num_labelled)


def have_labels(root: Path, evaluation: Evaluation) -> NDArray[np.bool_]:
    """(N,) which images have a label file: one without is unlabelled, and not background; that is an empty file."""
    return np.array([label_file(root / path).is_file() for path in evaluation.images], bool)
