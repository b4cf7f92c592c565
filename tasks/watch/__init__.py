"""Watch the champion on data that came after its registration: is it worse, or are the images unlike those it was judged on?

reads   watch.path, the champion's weights, and reports/evaluation.{json,npz} of its registered version
writes  runs/watch/watch.json, watch.md, unlike.csv; watch.html with pictures, and some of these as watch.svg

`python -m tasks.watch` runs it by hand, and the flow `watch` on a schedule. It is no stage of dvc.yaml: it judges the model in
production, and changes nothing. An image without a label file is unlabelled: its pixels and detections count, the metric leaves
it out. An empty label file means background.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.common.accepted import unchanged
from tasks.common.classes import class_ids, difference, require_explained
from tasks.common.dataset import Dataset, label_file, read_dataset
from tasks.common.errors import DatasetError, EvaluationError, RegistryError
from tasks.common.page.document import Panel, Shot
from tasks.common.page.montage import montage
from tasks.common.params import Params
from tasks.common.paths import EVALUATION, RUNS, WATCH, WATCH_GALLERY, WATCH_PAGE, WATCH_PICTURES, WATCH_UNLIKE
from tasks.common.replace import replace_files
from tasks.common.stage import as_json
from tasks.measure.evaluation import CLASSES, Evaluation, Split
from tasks.measure.splits import describe_split
from tasks.registry import Registry
from tasks.watch import drift, drop, pictures, unlike
from tasks.watch.finding import Finding, Watch
from tasks.watch.page import MISSED_MOST, odd_images, page, pictured
from tasks.watch.pictures import Seen

log = logging.getLogger(__name__)
NUM_USUAL = 3
"""Number of usual images of registration on the page, and of images from each gallery in watch.svg."""
MAX_GALLERY_BYTES = 330_000
"""Size of watch.svg, which becomes part of an artifact in Prefect's database."""


def run(params: Params) -> Watch:
    """Measure the champion on the new data and compare.

    Raises:
        RegistryError: there is no champion, or its version stores no evaluation.
        DatasetError: watch.path is not set or not a dataset.
        EvaluationError: the champion was measured with other settings when it was registered, or nothing says what became of a
            class that it knows.
    """
    if params.watch.path is None:
        raise DatasetError("nothing to watch", where="watch.path", fix="Name the folder of the new data in params.yaml.")
    registry = Registry(params)
    version = registry.champion()
    if version is None:
        fix = "Promote a version first: `python -m tasks.registry promote VERSION --approver NAME --reason WHY`."
        raise RegistryError("there is no champion to watch", where=registry.name, fix=fix)
    dataset = read_dataset(Path(params.watch.path))
    if params.watch.split not in dataset.splits:
        raise DatasetError(f"no split `{params.watch.split}`", where=f"{dataset.root}/data.yaml", fix="Correct watch.split.")
    then = registry.evaluation(registry.show(version))
    weights = registry.fetch(version)
    with unchanged(dataset, params.watch.split) as sha256:
        now = measure(params, weights, dataset, describe_split(dataset, params.watch.split, sha256), then)
        then, now = on_shared_classes(then, now, params.data.renamed_classes or {})
        watch = judge(params, version, then, now)
    write(params, watch, then, Seen(dataset.root, now, params.watch.conf))
    if odd := odd_images(watch):
        log.info("%s", odd)
    log.info("watch: %s -> %s", watch.summary(), WATCH_PICTURES)
    return watch


def write(params: Params, watch: Watch, then: Evaluation, seen: Seen) -> None:
    """Write the five files of the watch: the finding, the images that are unlike, and its pages with pictures."""
    drifts, shows_images = sorted(watch.drifts, key=lambda d: -d.psi), params.watch.page_images > 0
    before, after = (drift.features(evaluation, seen.min_conf) for evaluation in (then, seen.evaluation))
    histograms = {d.feature: pictures.histogram(d.feature, before[d.feature], after[d.feature]) for d in drifts}
    drifted = {d.feature: after[d.feature] for d in drifts if d.is_real}
    medians = {d.feature: d.median_then for d in drifts}
    galleries: list[tuple[str, list[Shot]]] = []
    if watch.drops and shows_images:
        chosen = pictures.most_missed(seen, params.watch.page_images)
        galleries.append((MISSED_MOST, pictures.shots(seen, chosen, drifted, medians, True)))
    if drifted and shows_images:
        unlike_now, unlike_then = (unlike.unlikeness(before, values, drifts) for values in (after, before))
        chosen = [int(i) for i in np.argsort(-unlike_now, kind="stable")][: params.watch.page_images]
        galleries.append(("Least like registration", pictures.shots(seen, chosen, drifted, medians, False)))
        at_registration = Seen(Path(then.split.get("dataset", "")), then, seen.min_conf)
        usual = [int(i) for i in np.argsort(unlike_then, kind="stable")][:NUM_USUAL]
        usual_features = {name: before[name] for name in drifted}
        galleries.append(("Usual at registration", pictures.shots(at_registration, usual, usual_features, {}, False)))
    histogram_shots = [
        Shot(f"{d.feature}, grey then, blue now, PSI {d.psi:.2f}", "", "", (Panel("", histograms[d.feature]),)) for d in drifts
    ]
    sample_shots = [
        replace(shot, name=f"{title}: {shot.name.rpartition('/')[2]}") for title, shots in galleries for shot in shots[:NUM_USUAL]
    ]
    gallery = montage([*histogram_shots, *sample_shots], MAX_GALLERY_BYTES)
    texts = {WATCH_PAGE: page(watch), WATCH_PICTURES: pictured(watch, histograms, galleries), WATCH_GALLERY: gallery}
    texts[WATCH_UNLIKE] = unlike.table(seen.evaluation.images, before, after, drifts)
    replace_files({WATCH: as_json(asdict(watch))} | {path: text.encode() for path, text in texts.items()})


def measure(params: Params, weights: Path, dataset: Dataset, split: Split, then: Evaluation) -> Evaluation:
    """The evaluation of `weights`, as model `candidate`, on the new images, with the registered settings."""
    from tasks.measure import view, yolo
    from tasks.measure.harness import put_together
    from tasks.measure.predict import evaluation_settings, predict

    settings = evaluation_settings(params)
    registered_settings = {"nms": True} | dict(then.settings)  # versions before 0.2 do not store nms
    if changed := sorted(key for key, value in settings.items() if registered_settings.get(key) != value and key != "device"):
        raise EvaluationError(
            "the champion was registered with other settings: "
            + ", ".join(f"{key} {registered_settings.get(key)}, now {settings[key]}" for key in changed),
            where=str(EVALUATION),
            fix="Set them in params.yaml as they were (evaluate.*, train.imgsz), or promote a version measured with these.",
        )
    yolo.prepare()
    model = yolo.load(weights)
    known, renamed = yolo.class_names(model), params.data.renamed_classes or {}
    require_explained("champion", known, dataset, params.data)
    work = RUNS / "watch" / "data"
    with view.removed_afterwards(work):
        data = yolo.write_data_yaml(yolo.of_split(dataset, params.watch.split), work)
        ids = class_ids(known, dataset.names, renamed)
        images = predict(model, ids, data, dataset, settings, params.watch.split, RUNS / "watch", compute=params.compute)
    classes = asdict(difference(known, dataset.names, renamed))
    return put_together({"candidate": images}, {"candidate": {CLASSES: classes}}, dataset, split, "candidate")


def on_shared_classes(then: Evaluation, now: Evaluation, renamed: Mapping[str, str]) -> tuple[Evaluation, Evaluation]:
    """Both evaluations without the classes that the champion does not know, and without those that the new data does not have."""
    ids = class_ids(then.names, now.names, renamed)
    still_here = [name for name, i in zip(then.names, ids, strict=True) if i >= 0]
    return then.of_classes(still_here), now.of_classes(set(now.names) - now.candidate.unknown)


def judge(params: Params, version: str, then: Evaluation, now: Evaluation) -> Watch:
    """The finding from the new evaluation beside the registered one."""
    watch_params, path = params.watch, params.watch.path
    assert path is not None
    num_images = len(now.images)
    enough = num_images >= watch_params.min_images
    drops: list[drop.Drop] = []
    labelled = have_labels(Path(path), now)
    if labelled.sum() >= watch_params.min_images:
        confidence = params.gate.confidence or 0.95
        reference = drop.sample(then, params.gate)
        parts = {"all": labelled} | {name: part & labelled for name, part in drop.parts(now, params.gate.slices).items()}
        drops = [
            drop.compare(name, reference, drop.sample(now.where(part), params.gate), watch_params.max_drop, confidence)
            for name, part in parts.items()
            if part.any()
        ]
    before, after = (drift.features(evaluation, params.watch.conf) for evaluation in (then, now))
    drifts = drift.compare(before, after, watch_params.max_psi) if enough else ()
    finding = Finding.STEADY if enough else Finding.TOO_FEW
    if any(d.is_real for d in drifts):
        finding = Finding.DRIFT
    if any(d.is_real for d in drops):
        finding = Finding.DROP
    num_labelled = int(labelled.sum())
    return Watch(
        finding=finding,
        champion=version,
        path=path,
        split=watch_params.split,
        images=num_images,
        metric=params.gate.metric,
        drops=tuple(drops),
        drifts=drifts,
        labelled=num_labelled,
        unknown=tuple(name for name in now.names if name in now.candidate.unknown),
        unlike=int((unlike.furthest(before, after) > unlike.level(before)).sum()),
    )


def have_labels(root: Path, evaluation: Evaluation) -> NDArray[np.bool_]:
    """(N,) whether each image has a label file. One without is unlabelled; an empty label file means background."""
    return np.array([label_file(root / path).is_file() for path in evaluation.images], bool)
