"""reports/evaluation.json and reports/evaluation.npz as one `Evaluation`, written by one function and read by one.

The JSON holds split, settings, versions and the figures of each model; the arrays hold images, labelled objects and, with the
model's name before theirs, detections. An optional golden set has the same shape inside: under key `golden` of the JSON, and
with `golden.` before the name of every array.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import EvaluationError
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.common.stored import Stored
from tasks.measure.evaluation import Detections, Evaluation, Model, Split, Targets

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
REPEAT = "Run `dvc repro evaluate`."
KINDS: dict[str, tuple[str, ...]] = {"segment": ("box", "mask"), "detect": ("box",)}
METRICS = ("mAP50", "mAP50-95", "precision", "recall")
META = "meta."
GOLDEN = "golden"


@dataclass(frozen=True, kw_only=True)
class Scores(Stored):
    """The content of evaluation.json: everything but the detections and objects of single images."""

    FILE = EVALUATION
    STAGE = "evaluate"
    REFUSAL = EvaluationError

    task: Literal["segment", "detect"]
    reference: str
    """The model that the candidate must beat."""
    split: Split
    names: tuple[str, ...]
    """Class names."""
    models: Mapping[str, Any]
    """Where each model comes from, its size, and its metrics for boxes and masks, by its name."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    golden: Scores | None = None

    @property
    def candidate(self) -> Mapping[str, Any]:
        """The candidate's entry among the models."""
        if not isinstance(entry := self.models.get("candidate"), Mapping):
            raise EvaluationError("the candidate was not measured", where=str(EVALUATION), fix=REPEAT)
        return entry


def read(evaluation: Path = EVALUATION, statistics: Path = STATISTICS) -> Evaluation:
    """The evaluation that the two files hold.

    Raises:
        WorkspaceError: evaluation.json is missing or broken.
        EvaluationError: something is missing, NaN or of a wrong shape.
    """
    return decode(Scores.read(evaluation), read_arrays(statistics))


def write(evaluation: Evaluation, beside: Mapping[Path, bytes]) -> None:
    """Write the two files, and those `beside` them, in one step."""
    scores, statistics = encode(evaluation)
    scores.write({STATISTICS: statistics, **beside})


def decode(scores: Scores, arrays: Mapping[str, NDArray[Any]], part: str = "") -> Evaluation:
    """The evaluation that both files hold; raises EvaluationError as `read` does."""
    where = f"{EVALUATION} {part}".strip()
    kinds = KINDS[scores.task]
    images = tuple(str(path) for path in _array(arrays, "images", (-1,)))
    if len(images) != scores.split["images"]:
        what = f"{len(images)} images, but {where} counts {scores.split['images']}"
        raise EvaluationError(what, where=str(STATISTICS), fix=REPEAT)
    inner = {name.removeprefix(f"{GOLDEN}."): a for name, a in arrays.items() if name.startswith(f"{GOLDEN}.")}
    return Evaluation(
        split=scores.split,
        names=scores.names,
        kinds=kinds,
        images=images,
        metadata=_metadata(arrays, len(images)),
        targets=_targets(arrays, len(images), len(scores.names)),
        models={
            name: Model(name, facts, _detections(arrays, name, kinds, len(images)))
            for name, facts in scores.models.items()
            if isinstance(facts, Mapping)
        },
        reference_name=scores.reference,
        settings=scores.settings,
        versions=scores.versions,
        size_wh=_array(arrays, "size_wh", (len(images), 2)),
        brightness=_array(arrays, "brightness", (len(images),)) if "brightness" in arrays else None,
        content=_content(arrays, len(images)),
        golden=None if scores.golden is None else decode(scores.golden, inner, part=GOLDEN),
    )


def encode(evaluation: Evaluation) -> tuple[Scores, bytes]:
    """The content of evaluation.json, and the bytes of evaluation.npz."""
    arrays = _arrays(evaluation)
    if evaluation.golden is not None:
        arrays |= {f"{GOLDEN}.{name}": array for name, array in _arrays(evaluation.golden).items()}
    statistics = io.BytesIO()
    np.savez_compressed(statistics, **arrays)  # type: ignore[arg-type]
    return _scores(evaluation), statistics.getvalue()


def _scores(evaluation: Evaluation) -> Scores:
    return Scores(
        task=evaluation.task,
        reference=evaluation.reference_name,
        split=evaluation.split,
        settings=evaluation.settings,
        versions=evaluation.versions,
        names=evaluation.names,
        models={name: model.facts for name, model in evaluation.models.items()},
        golden=None if evaluation.golden is None else _scores(evaluation.golden),
    )


def _arrays(evaluation: Evaluation) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any] | None] = {
        "images": np.array(evaluation.images),
        "size_wh": evaluation.size_wh,
        "brightness": evaluation.brightness,
        "content": evaluation.content,
        "iou_thresholds": IOU_THRESHOLDS,
    }
    targets = evaluation.targets
    arrays |= {f"target_{key}": getattr(targets, key) for key in ("img", "cls", "box_xyxy", "area_px2")}
    for name, model in evaluation.models.items():
        arrays |= detection_arrays(name, model.detections)
        arrays |= {f"{name}.tp_{kind}": model.detections.tp[kind] for kind in evaluation.kinds}
    arrays |= {f"{META}{name}": np.array(texts) for name, texts in evaluation.metadata.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def detection_arrays(name: str, detections: Detections) -> dict[str, NDArray[Any]]:
    """The detections of the model `name` as arrays of a .npz file, without what they match."""
    return {
        f"{name}.pred_img": detections.img,
        f"{name}.pred_cls": detections.cls,
        f"{name}.conf": detections.conf,
        f"{name}.box_xyxy": detections.box_xyxy,
    }


def require_comparable(evaluation: Evaluation, part: str = "") -> None:
    """Refuse an evaluation in which candidate and reference cannot be compared, the golden set's too.

    Raises:
        EvaluationError: a model was not measured, a figure is no number, the harness differed, or nothing is labelled.
    """
    where = f"{EVALUATION} {part}".strip()
    for name in (evaluation.reference_name, "candidate"):
        if name not in evaluation.models:
            raise EvaluationError(f"the {name} was not measured", where=where, fix=REPEAT)
        _check_facts(evaluation.models[name], evaluation.kinds, where)
    _check_same_harness(evaluation, where)
    if not len(evaluation.targets.cls):
        raise EvaluationError("the split has no labelled object", where=str(STATISTICS), fix="Label it, or choose another split.")
    if evaluation.golden is not None:
        require_comparable(evaluation.golden, GOLDEN)


def _metadata(arrays: Mapping[str, NDArray[Any]], num_images: int) -> dict[str, tuple[str, ...]]:
    columns = {name.removeprefix(META): _array(arrays, name, (num_images,)) for name in arrays if name.startswith(META)}
    return {name: tuple(str(text) for text in texts) for name, texts in columns.items()}


def read_arrays(path: Path, fix: str = REPEAT) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file; raises EvaluationError with the next step `fix` where the file is missing or broken."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise EvaluationError("no such file", where=str(path), fix=fix) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise EvaluationError(f"not a .npz of plain arrays: {error}", where=str(path), fix=fix) from None


def _check_facts(model: Model, kinds: tuple[str, ...], where: str) -> None:
    for kind in kinds:
        for metric in METRICS:
            value = (model.facts.get(kind) or {}).get(metric)
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                raise EvaluationError(f"{kind}.{metric} of the {model.name} is {value}, not a number", where=where, fix=REPEAT)
            if not 0 <= value <= 1:
                raise EvaluationError(
                    f"{kind}.{metric} of the {model.name} is {value}, not within 0 to 1", where=where, fix=REPEAT
                )


def _check_same_harness(evaluation: Evaluation, where: str) -> None:
    reference, candidate = (model.facts for model in evaluation.pair)
    for key in ("split_sha256", "settings", "versions"):
        candidate_value, reference_value = candidate.get(key), reference.get(key)
        if not candidate_value or candidate_value != reference_value:
            raise EvaluationError(
                f"candidate and {evaluation.reference_name} were measured with different {key}: "
                + _difference(candidate_value, reference_value),
                where=where,
                fix=f"{REPEAT} One run of it measures all models alike.",
            )
    if candidate["split_sha256"] != evaluation.split.get("sha256"):
        raise EvaluationError("the models were measured on another split than the one named", where=where, fix=REPEAT)


def _difference(candidate: Any, reference: Any) -> str:
    if isinstance(candidate, Mapping) and isinstance(reference, Mapping):
        keys = sorted(key for key in {*candidate, *reference} if candidate.get(key) != reference.get(key))
        return ", ".join(f"{key} {candidate.get(key)} and {reference.get(key)}" for key in keys)
    return f"{candidate or 'none'} and {reference or 'none'}"


def _array(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array of that name; -1 in `shape` stands for any length."""
    if name not in arrays:
        raise EvaluationError(f"array `{name}` is missing", where=str(STATISTICS), fix=REPEAT)
    actual = arrays[name].shape
    if len(actual) != len(shape) or any(want not in (-1, have) for want, have in zip(shape, actual, strict=True)):
        raise EvaluationError(f"array `{name}` has shape {actual}, expected {shape}", where=str(STATISTICS), fix=REPEAT)
    if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
        raise EvaluationError(f"array `{name}` holds NaN or infinity", where=str(STATISTICS), fix=REPEAT)
    return arrays[name]


def _content(arrays: Mapping[str, NDArray[Any]], num_images: int) -> NDArray[Any] | None:
    if "content" not in arrays:
        return None
    content = _array(arrays, "content", (num_images,))
    _check_range(content, num_images, "content")
    return content


def _targets(arrays: Mapping[str, NDArray[Any]], num_images: int, num_classes: int) -> Targets:
    num = len(_array(arrays, "target_img", (-1,)))
    shapes = {"img": (num,), "cls": (num,), "box_xyxy": (num, 4), "area_px2": (num,)}
    targets = Targets(**{key: _array(arrays, f"target_{key}", shape) for key, shape in shapes.items()})
    _check_range(targets.img, num_images, "target_img")
    _check_range(targets.cls, num_classes, "target_cls")
    return targets


def _detections(arrays: Mapping[str, NDArray[Any]], name: str, kinds: tuple[str, ...], num_images: int) -> Detections:
    img = _array(arrays, f"{name}.pred_img", (-1,))
    _check_range(img, num_images, f"{name}.pred_img")
    if (np.diff(img) < 0).any():
        raise EvaluationError(f"array `{name}.pred_img` is not in the order of the images", where=str(STATISTICS), fix=REPEAT)

    def array(key: str, *shape: int) -> NDArray[Any]:
        return _array(arrays, f"{name}.{key}", (len(img), *shape))

    num_thresholds = len(_array(arrays, "iou_thresholds", (10,)))
    tp = {kind: array(f"tp_{kind}", num_thresholds).astype(bool) for kind in kinds}
    return Detections(img, array("pred_cls"), array("conf"), array("box_xyxy", 4), tp)


def _check_range(index: NDArray[Any], size: int, name: str) -> None:
    if len(index) and not (index.min() >= 0 and index.max() < size):
        raise EvaluationError(f"array `{name}` is not within 0 to {size - 1}", where=str(STATISTICS), fix=REPEAT)
