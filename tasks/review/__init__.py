"""Rank the labels that a trained model disagrees with, for a person to look at. A warning at most: it never stops a run.

reads   reports/dataset.json, splits train and val, the champion's weights (champion.yaml) or models/baseline/best.pt
writes  reports/review.csv    a row a doubtful label or overlooked object, the most doubtful first
        reports/review.json   counts, settings, and the images by rank
        reports/review.html   the first of them drawn, self-contained

A stage of its own after the baseline, so that checking labels needs no torch. The model has seen these labels in training, and
agrees with some wrong ones because it has learned them by heart: a spurious label in split train hides better than one in val. A
model of few epochs learns what is common to many images, so most mistakes still stand out. Images are ranked within their split
before the splits are put together, and a label that the model confirms is never listed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tasks.common import stage
from tasks.common.accepted import accepted_dataset
from tasks.common.champion import pinned_weights
from tasks.common.classes import class_ids, require_explained
from tasks.common.dataset import Dataset, label_file, shown
from tasks.common.page.wording import wording
from tasks.common.params import Params
from tasks.common.paths import BASELINE, REVIEW, REVIEW_LIST, REVIEW_PAGE, RUNS
from tasks.common.replace import replace_files
from tasks.common.rows import lines_of
from tasks.review import doubts
from tasks.review.doubts import ReviewedImage

log = logging.getLogger(__name__)
SPLITS = ("train", "val")
WEAK_SHARE = 0.57
"""A model that agrees with a smaller share of the labels is too weak to judge them: its doubts are wrong labels less than twice
as often as any label is (docs/review.md)."""
WEAK_SHARE_BY_MASKS = 0.44
"""The same where masks are compared and doubts are weighed: the weakest judge that was measured agrees with 44.6 % of the labels,
and 36 of its first 50 doubts are wrong labels (docs/review.md)."""
MIN_CONF = 0.01
"""Detections of lower confidence are left out; they do not even support a label."""


def run(params: Params) -> None:
    """Review the labels of splits train and val.

    Raises:
        DatasetError: the dataset is not the one that was validated.
        WeightsError: the model's weights are missing or broken.
        EvaluationError: nothing says what became of a class that the model knows.
    """
    from tasks.review.page import page

    review_params, words = params.review, wording(params.report.language)
    if not review_params.enabled:
        write({"enabled": False}, doubts.table([]), page(params.data.path, None, [], 0, review_params, words=words))
        log.info("review: switched off (review.enabled)")
        return
    champion = pinned_weights()
    weights, model = champion or BASELINE / "best.pt", "champion" if champion else "baseline"
    with accepted_dataset(params, *SPLITS) as accepted:
        reviewed = review_images(accepted.dataset, weights, params)
        ranked = doubts.ranked(reviewed)
        agreed = doubts.agreed_share(reviewed)
        least = WEAK_SHARE_BY_MASKS if (by_masks := doubts.by_masks(reviewed)) else WEAK_SHARE
        is_weak = agreed < least
        ranked = [] if is_weak else ranked
        content = doubts.summary(params.data.path, model, weights.as_posix(), ranked, reviewed, review_params)
        html = page(
            params.data.path,
            model,
            ranked,
            len(reviewed),
            review_params,
            agreed if is_weak else None,
            words,
            by_masks=by_masks,
        )
    write(content | {"too_weak": is_weak}, doubts.table(ranked), html)
    if is_weak:
        text = "review: the %s agrees with %.0f%% of the labels: below %.0f%% it is too weak to judge them, so none is listed"
        log.warning(text, model, 100 * agreed, 100 * least)
        return
    worst = f", first {ranked[0].place()}" if ranked else ""
    log.info("review: the %s doubts %d labels in %d images%s -> %s", model, len(ranked), content["images"], worst, REVIEW_PAGE)


def write(content: dict[str, Any], table: str, html: str) -> None:
    """Write the three files of the stage together."""
    replace_files({REVIEW_LIST: table.encode(), REVIEW_PAGE: html.encode(), REVIEW: stage.as_json(content)})


def review_images(dataset: Dataset, weights: Path, params: Params, splits: tuple[str, ...] = SPLITS) -> list[ReviewedImage]:
    """Every image of `splits` with the findings about its labels from the model of `weights`."""
    from tasks.measure import view, yolo
    from tasks.measure.predict import evaluation_settings, predict

    yolo.prepare()
    model, work = yolo.load(weights), RUNS / "review"
    require_explained("reviewing model", known := yolo.class_names(model), dataset, params.data)
    ids = class_ids(known, dataset.names, params.data.renamed_classes or {})
    settings, reviewed = evaluation_settings(params) | {"conf": MIN_CONF}, []
    mask_conf = params.review.conf if model.task == "segment" and has_outlines(dataset, splits) else None
    with view.removed_afterwards(work):
        data = yolo.write_data_yaml(dataset, work)
        for split in splits:
            files = {file.relative_to(dataset.root).as_posix(): file for file in dataset.splits[split]}
            for image in predict(model, ids, data, dataset, settings, split, work, mask_conf, params.compute):
                file = files[image.path]
                names = shown(file, dataset.root), shown(label_file(file), dataset.root)
                reviewed.append(doubts.review_image(image, file, names, split, dataset.names, set(ids), params.review))
    return reviewed if mask_conf is None else doubts.weighed(reviewed, set(ids), params.review)


def has_outlines(dataset: Dataset, splits: tuple[str, ...]) -> bool:
    """Whether a label is more than a box."""
    files = (label_file(file) for split in splits for file in dataset.splits[split])
    return any(len(line.split()) > 5 for file in files for line in lines_of(file))
