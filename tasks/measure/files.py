"""What stage `evaluate` measured, read for the gate and refused where two models cannot be compared.

reads   reports/evaluation.json, reports/evaluation.npz

Inside the two files an optional golden set has the same shape: under key `golden` of the JSON, and with `golden.` before the
name of every array.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.common.errors import EvaluationError
from tasks.common.paths import EVALUATION, STATISTICS
from tasks.common.stage import read_json
from tasks.measure.evaluation import Detections, Evaluation, Model, Targets

REPEAT = "Run `dvc repro evaluate`."
KEYS = {"task": str, "split": Mapping, "names": list, "reference": str, "models": Mapping}
KINDS = {"segment": ("box", "mask"), "detect": ("box",)}
METRICS = ("mAP50", "mAP50-95", "precision", "recall")
META = "meta."
GOLDEN = "golden"


def read(evaluation: Path = EVALUATION, statistics: Path = STATISTICS) -> tuple[Evaluation, Evaluation | None]:
    """The evaluation and, where there is one, that of the golden set.

    Raises:
        EvaluationError: something is missing, empty, NaN or of a wrong shape, or the models were measured differently.
    """
    return judged(*load(evaluation, statistics))


def load(evaluation: Path = EVALUATION, statistics: Path = STATISTICS) -> tuple[Mapping[str, Any], dict[str, NDArray[Any]]]:
    """The two files as they are.

    Raises:
        WorkspaceError: evaluation.json is missing or broken.
        EvaluationError: the arrays are, or evaluation.json is not a result of stage `evaluate`.
    """
    content = read_json(evaluation, "evaluate", EvaluationError)
    _check_keys(content, str(evaluation))
    return content, _read_arrays(statistics)


def judged(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> tuple[Evaluation, Evaluation | None]:
    """What the two files hold; raises EvaluationError as `read` does."""
    main = parse(content, arrays)
    golden = content.get(GOLDEN)
    if golden is None:
        return main, None
    inner = {name.removeprefix(f"{GOLDEN}."): a for name, a in arrays.items() if name.startswith(f"{GOLDEN}.")}
    return main, parse(golden, inner, part=GOLDEN)


def parse(content: Any, arrays: Mapping[str, NDArray[Any]], part: str = "") -> Evaluation:
    """The evaluation that `content` (JSON) and `arrays` (npz) hold; raises EvaluationError as `read` does."""
    where = f"{EVALUATION} {part}".strip()
    _check_keys(content, where)
    kinds = KINDS[content["task"]]
    pair = content["reference"], "candidate"
    for name in pair:
        _check_facts(name, content["models"].get(name), kinds, where)
    _check_same_harness(content["models"]["candidate"], content["models"][content["reference"]], content, where)
    images = tuple(str(path) for path in _array(arrays, "images", (-1,)))
    if len(images) != content["split"].get("images"):
        raise EvaluationError(
            f"{len(images)} images, but {where} counts {content['split'].get('images')}", where=str(STATISTICS), fix=REPEAT
        )
    names = tuple(str(name) for name in content["names"])
    targets = _targets(arrays, len(images), len(names))
    models = [Model(name, content["models"][name], _detections(arrays, name, kinds, len(images))) for name in pair]
    return Evaluation(content["split"], names, kinds, images, _metadata(arrays, len(images)), targets, *models)


def _check_keys(content: Any, where: str) -> None:
    if not isinstance(content, Mapping):
        raise EvaluationError("expected the result of stage evaluate", where=where, fix=REPEAT)
    for key, kind in KEYS.items():
        if not isinstance(content.get(key), kind):
            raise EvaluationError(f"`{key}` is missing", where=where, fix=REPEAT)
    if content["task"] not in KINDS:
        raise EvaluationError(f"task {content['task']!r} is neither segment nor detect", where=where, fix=REPEAT)


def _metadata(arrays: Mapping[str, NDArray[Any]], num_images: int) -> dict[str, tuple[str, ...]]:
    columns = {name.removeprefix(META): _array(arrays, name, (num_images,)) for name in arrays if name.startswith(META)}
    return {name: tuple(str(text) for text in texts) for name, texts in columns.items()}


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise EvaluationError("no such file", where=str(path), fix=REPEAT) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise EvaluationError(f"not a .npz of plain arrays: {error}", where=str(path), fix=REPEAT) from None


def _check_facts(name: str, facts: Any, kinds: tuple[str, ...], where: str) -> None:
    if not isinstance(facts, Mapping):
        raise EvaluationError(f"the {name} was not measured", where=where, fix=REPEAT)
    for kind in kinds:
        for metric in METRICS:
            value = (facts.get(kind) or {}).get(metric)
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                raise EvaluationError(f"{kind}.{metric} of the {name} is {value}, not a number", where=where, fix=REPEAT)
            if not 0 <= value <= 1:
                raise EvaluationError(f"{kind}.{metric} of the {name} is {value}, not within 0 to 1", where=where, fix=REPEAT)


def _check_same_harness(candidate: Mapping[str, Any], reference: Mapping[str, Any], content: Any, where: str) -> None:
    for key in ("split_sha256", "settings", "versions"):
        own, other = candidate.get(key), reference.get(key)
        if not own or own != other:
            raise EvaluationError(
                f"candidate and {content['reference']} were measured with different {key}: {_difference(own, other)}",
                where=where,
                fix=f"{REPEAT} One run of it measures all models alike.",
            )
    if candidate["split_sha256"] != content["split"].get("sha256"):
        raise EvaluationError("the models were measured on another split than the one named", where=where, fix=REPEAT)


def _difference(own: Any, other: Any) -> str:
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        keys = sorted(key for key in {*own, *other} if own.get(key) != other.get(key))
        return ", ".join(f"{key} {own.get(key)} and {other.get(key)}" for key in keys)
    return f"{own or 'none'} and {other or 'none'}"


def _array(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array of that name; -1 in `shape` stands for any length."""
    if name not in arrays:
        raise EvaluationError(f"array `{name}` is missing", where=str(STATISTICS), fix=REPEAT)
    found = arrays[name].shape
    if len(found) != len(shape) or any(want not in (-1, have) for want, have in zip(shape, found, strict=True)):
        raise EvaluationError(f"array `{name}` has shape {found}, expected {shape}", where=str(STATISTICS), fix=REPEAT)
    if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
        raise EvaluationError(f"array `{name}` holds NaN or infinity", where=str(STATISTICS), fix=REPEAT)
    return arrays[name]


def _targets(arrays: Mapping[str, NDArray[Any]], num_images: int, num_classes: int) -> Targets:
    img = _array(arrays, "target_img", (-1,))
    targets = Targets(
        img,
        _array(arrays, "target_cls", (len(img),)),
        _array(arrays, "target_box_xyxy", (len(img), 4)),
        _array(arrays, "target_area_px2", (len(img),)),
    )
    if not num_images or not len(img):
        raise EvaluationError("the split has no labelled object", where=str(STATISTICS), fix="Label it, or choose another split.")
    _check_range(targets.img, num_images, "target_img")
    _check_range(targets.cls, num_classes, "target_cls")
    return targets


def _detections(arrays: Mapping[str, NDArray[Any]], name: str, kinds: tuple[str, ...], num_images: int) -> Detections:
    img = _array(arrays, f"{name}.pred_img", (-1,))
    num_thresholds = len(_array(arrays, "iou_thresholds", (10,)))
    tp = {kind: _array(arrays, f"{name}.tp_{kind}", (len(img), num_thresholds)).astype(bool) for kind in kinds}
    _check_range(img, num_images, f"{name}.pred_img")
    if (np.diff(img) < 0).any():
        raise EvaluationError(f"array `{name}.pred_img` is not in the order of the images", where=str(STATISTICS), fix=REPEAT)
    return Detections(
        img,
        _array(arrays, f"{name}.pred_cls", (len(img),)),
        _array(arrays, f"{name}.conf", (len(img),)),
        _array(arrays, f"{name}.box_xyxy", (len(img), 4)),
        tp,
    )


def _check_range(index: NDArray[Any], size: int, name: str) -> None:
    if len(index) and not (index.min() >= 0 and index.max() < size):
        raise EvaluationError(f"array `{name}` is not within 0 to {size - 1}", where=str(STATISTICS), fix=REPEAT)
