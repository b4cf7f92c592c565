"""Whatever is missing, NaN, empty or mismatched is an error with its cause, never a promotion."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.common.errors import EvaluationError, WorkspaceError
from tasks.measure.files import Scores, decode, encode, read
from tests.gate_data import parse, random_files, write_files

FILES = random_files(num_images=6)


def damaged(damage: Callable[[dict[str, Any], dict[str, np.ndarray]], Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    content, arrays = copy.deepcopy(FILES)
    damage(content, arrays)
    return content, arrays


def setting(content: dict[str, Any], *path: str, value: Any) -> None:
    for key in path[:-1]:
        content[key] = dict(content[key])
        content = content[key]
    content[path[-1]] = value


CANDIDATE = "models", "candidate"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda c, a: c.pop("models"), "`models` is missing", id="no models"),
        pytest.param(
            lambda c, a: c.update(task="pose"), "`task`: input should be 'segment' or 'detect', got 'pose'", id="another task"
        ),
        pytest.param(lambda c, a: c["models"].pop("candidate"), "the candidate was not measured", id="no candidate"),
        pytest.param(lambda c, a: c.update(reference="champion"), "the champion was not measured", id="no champion"),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "box", "mAP50", value=float("nan")),
            "box.mAP50 of the candidate is nan, not a number",
            id="NaN metric",
        ),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "box", "mAP50", value=1.5),
            "box.mAP50 of the candidate is 1.5, not within 0 to 1",
            id="impossible metric",
        ),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "mask", value={}), "mask.mAP50 of the candidate is None", id="no mask metrics"
        ),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "split_sha256", value="cd"), "different split_sha256: cd and abab", id="split"
        ),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "settings", "imgsz", value=640),
            "different settings: imgsz 640 and 128",
            id="settings",
        ),
        pytest.param(
            lambda c, a: setting(c, *CANDIDATE, "versions", "torch", value="2.0"),
            "different versions: torch 2.0 and 2.14.1",
            id="versions",
        ),
        pytest.param(
            lambda c, a: [m.pop("settings") for m in c["models"].values()], "different settings: none and none", id="no settings"
        ),
        pytest.param(
            lambda c, a: setting(c, "split", "sha256", value="cd"),
            "measured on another split than the one named",
            id="other split",
        ),
        pytest.param(lambda c, a: setting(c, "split", "images", value=7), "6 images, but", id="other number of images"),
        pytest.param(lambda c, a: a.pop("candidate.conf"), "array `candidate.conf` is missing", id="no confidences"),
        pytest.param(
            lambda c, a: a.update({"candidate.conf": a["candidate.conf"][1:]}), "array `candidate.conf` has shape", id="shape"
        ),
        pytest.param(
            lambda c, a: a["candidate.conf"].__setitem__(0, np.nan), "array `candidate.conf` holds NaN", id="NaN confidence"
        ),
        pytest.param(
            lambda c, a: a["candidate.pred_img"].__setitem__(0, 9), "array `candidate.pred_img` is not within 0 to 5", id="image"
        ),
        pytest.param(
            lambda c, a: a.update({"candidate.pred_img": a["candidate.pred_img"][::-1].copy()}),
            "array `candidate.pred_img` is not in the order of the images",
            id="order",
        ),
        pytest.param(lambda c, a: a["target_cls"].__setitem__(0, 3), "array `target_cls` is not within 0 to 2", id="class"),
        pytest.param(
            lambda c, a: a.update({name: a[name][:0] for name in a if name.startswith("target_")}),
            "the split has no labelled object",
            id="no objects",
        ),
        pytest.param(
            lambda c, a: a.update({"meta.site": a["meta.site"][1:]}),
            "array `meta.site` has shape (5,), expected (6,)",
            id="metadata",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_cause(damage, message):
    with pytest.raises(EvaluationError, match=re.escape(message)):
        parse(*damaged(damage))


def test_a_model_that_detects_nothing_can_be_read():
    content, arrays = damaged(
        lambda c, a: a.update({name: array[:0] for name, array in a.items() if name.startswith("candidate.")})
    )

    assert len(parse(content, arrays).candidate.detections.img) == 0


@pytest.mark.parametrize(
    ("name", "damage", "error", "message"),
    [
        ("evaluation.json", lambda path: path.unlink(), WorkspaceError, "no such file"),
        ("evaluation.json", lambda path: path.write_text("{"), WorkspaceError, "not JSON"),
        ("evaluation.json", lambda path: path.write_text("[]"), EvaluationError, "expected the result of stage evaluate"),
        ("evaluation.npz", lambda path: path.unlink(), EvaluationError, "no such file"),
        ("evaluation.npz", lambda path: path.write_bytes(b"PK"), EvaluationError, "not a .npz of plain arrays"),
        ("evaluation.npz", lambda path: path.write_bytes(path.read_bytes()[:900]), EvaluationError, "not a .npz of plain arrays"),
    ],
    ids=["no json", "broken json", "another json", "no npz", "not an npz", "half an npz"],
)
def test_broken_files_are_refused_by_name(tmp_path, name, damage, error, message):
    write_files(tmp_path, *FILES)
    damage(tmp_path / "reports" / name)

    with pytest.raises(error, match=message) as caught:
        read(tmp_path / "reports/evaluation.json", tmp_path / "reports/evaluation.npz")

    assert name in caught.value.where


def test_arrays_that_would_run_code_are_refused(tmp_path):
    content, arrays = copy.deepcopy(FILES)
    arrays["images"] = np.array([object()], dtype=object)
    write_files(tmp_path, content, arrays)

    with pytest.raises(EvaluationError, match=r"not a \.npz of plain arrays"):
        read(tmp_path / "reports/evaluation.json", tmp_path / "reports/evaluation.npz")


def test_the_golden_set_is_read_from_the_same_files(tmp_path):
    content, arrays = copy.deepcopy(FILES)
    older, older_arrays = random_files(num_images=4, seed=9)
    content["golden"] = older
    write_files(tmp_path, content, arrays | {f"golden.{name}": array for name, array in older_arrays.items()})

    main = read(tmp_path / "reports/evaluation.json", tmp_path / "reports/evaluation.npz")

    assert main.golden is not None
    assert (len(main.images), len(main.golden.images)) == (6, 4)


@pytest.mark.parametrize("is_golden", [False, True])
def test_what_is_written_is_what_was_read(is_golden: bool) -> None:
    first = parse(*random_files(num_images=6))
    if is_golden:
        first = replace(first, golden=parse(*random_files(num_images=4, seed=9)))

    scores, statistics = encode(first)
    content = json.loads(scores.encode())
    again = decode(Scores.of(content), dict(np.load(io.BytesIO(statistics))))

    assert content["format"] == Scores.FORMAT
    assert ("golden" in content) == is_golden
    assert encode(again)[0].encode() == scores.encode()
    assert encode(again)[1] == statistics
    assert (again.golden is not None) == is_golden


def test_a_file_of_an_earlier_release_is_read_and_one_of_a_later_release_is_refused() -> None:
    content, arrays = random_files(num_images=6)
    assert "format" not in content

    assert decode(Scores.of(content), arrays).brightness is None
    with pytest.raises(EvaluationError, match="format 2, which a later release of Ratchet wrote"):
        Scores.of(content | {"format": Scores.FORMAT + 1})


def test_a_part_of_the_images_has_what_is_on_them() -> None:
    whole = parse(*random_files(num_images=6))
    kept = np.array([True, False, True, True, False, False])

    part = whole.where(kept)

    assert part.images == tuple(path for path, keep in zip(whole.images, kept, strict=True) if keep)
    for before, after in ((whole.targets, part.targets), (whole.candidate.detections, part.candidate.detections)):
        assert after.cls.tolist() == before.cls[kept[before.img]].tolist()
        assert [part.images[i] for i in after.img] == [whole.images[i] for i in before.img if kept[i]]
    assert part.metadata["site"] == tuple(np.array(whole.metadata["site"])[kept])
    assert part.size_wh is not None
    assert len(part.size_wh) == 3
