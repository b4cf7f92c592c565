"""What models detect where they operate: written and read alike, and refused where it is about something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.common.errors import EvaluationError
from tasks.common.paths import OPERATING
from tasks.common.replace import replace_files
from tasks.measure import files
from tasks.measure.evaluation import Detections, Evaluation
from tasks.measure.operating import Operated, OperatingPoint, encode, read
from tests import gate_data

RING = np.array([[1, 2], [3, 4], [5, 6.5]], np.float32)


@pytest.fixture
def evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    monkeypatch.chdir(tmp_path)
    gate_data.write_files(tmp_path, *gate_data.random_files(num_images=30))
    return files.read()


def points_of(evaluation: Evaluation) -> dict[str, OperatingPoint]:
    settings = {"iou": 0.3, "mask": 0.5, "max_det": 300, "end2end": False, "imgsz": 128}
    return {
        model.name: OperatingPoint(
            conf=dict.fromkeys(evaluation.names, 0.3), chosen_on="val", tensors_sha256=model.facts["tensors_sha256"], **settings
        )
        for model in evaluation.pair
    }


def operated(*img: int) -> Operated:
    """One detection in each of the images `img`; the first has two outlines, the others have none."""
    detections = Detections(
        np.array(img, np.int32),
        np.arange(len(img), dtype=np.int32),
        np.linspace(0.9, 0.5, len(img), dtype=np.float32),
        np.arange(4 * len(img), dtype=np.float32).reshape(-1, 4),
        {},
    )
    return Operated(detections, ((RING, RING[::-1].copy()), *[()] * (len(img) - 1))[: len(img)])


def write(evaluation: Evaluation, **models: Operated) -> None:
    replace_files({OPERATING: encode(evaluation.images, models)})


def test_detections_and_outlines_come_back_as_they_were(evaluation: Evaluation) -> None:
    write(evaluation, baseline=operated(), candidate=operated(0, 0, 7))

    found = read(evaluation, points_of(evaluation))

    expected = operated(0, 0, 7)
    assert len(found["baseline"].detections.img) == 0
    for key in ("img", "cls", "conf", "box_xyxy"):
        assert np.array_equal(getattr(found["candidate"].detections, key), getattr(expected.detections, key))
    assert [[ring.tolist() for ring in outline] for outline in found["candidate"].outlines] == [
        [RING.tolist(), RING[::-1].tolist()],
        [],
        [],
    ]


def test_an_outline_stays_with_its_detection() -> None:
    kept = operated(0, 3).where(np.array([True, False]))

    assert (kept.detections.img.tolist(), len(kept.outlines), len(kept.outlines[0])) == ([0], 1, 2)


def test_the_same_detections_are_the_same_bytes(evaluation: Evaluation) -> None:
    models = {"baseline": operated(1), "candidate": operated(2, 3)}

    assert encode(evaluation.images, models) == encode(evaluation.images, models)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("images", "not the images that were evaluated"),
        ("model", "it has no operating point of the candidate that was evaluated"),
        ("range", "the arrays of the candidate do not fit together"),
        ("absent", "array 'candidate.pred_img' is missing"),
        ("file", "no such file"),
    ],
)
def test_what_is_about_something_else_is_refused(evaluation: Evaluation, spoil: str, what: str) -> None:
    points, candidate = points_of(evaluation), operated(len(evaluation.images) if spoil == "range" else 1)
    write(evaluation, baseline=operated(1), **({} if spoil == "absent" else {"candidate": candidate}))
    if spoil == "images":
        evaluation = replace(evaluation, images=("other.jpg", *evaluation.images[1:]))
    if spoil == "model":
        points["candidate"] = replace(points["candidate"], tensors_sha256="of another model")
    if spoil == "file":
        OPERATING.unlink()

    with pytest.raises(EvaluationError) as error:
        read(evaluation, points)

    assert (error.value.what, error.value.where, error.value.fix) == (what, str(OPERATING), "Run `dvc repro export`.")
