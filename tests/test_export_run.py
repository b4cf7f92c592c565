"""Export for real: a small trained network in every format of this machine, and served without torch."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tasks.export.card import read_thresholds
from tasks.export.decode import candidates, detect, letterbox, mask_logits, pixels
from tasks.export.processes import Process, RuntimeEndedError
from tasks.measure import files, operating
from tasks.measure.evaluation import Detections
from tasks.measure.exported import Exported
from tasks.measure.matching import confusion, match, tally
from tests import checkout, exported_model, turn
from tests.exported_model import EASY, stage

pytestmark = pytest.mark.slow
FORMATS = ("torchscript", "onnx", "onnx-int8", "openvino-fp16", "openvino-int8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """A checkout with a small trained network that was exported in every format, whatever it loses."""
    root = turn.first_by_dvc(tmp_path_factory.mktemp("export") / "checkout")
    export = {"formats": list(FORMATS), "max_map_drop": 0.5, "calibration_images": 32}
    checkout.set_params(root, {"gate": EASY, "export": export})
    stage(root, "gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkout.ENVIRONMENT, "HOME", str(home))
        checkout.run(root, sys.executable, "-m", "tasks.export")
    return root


@pytest.fixture(scope="module")
def exported(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "reports/export.json").read_text())
    return content


def test_every_format_is_kept_with_the_hash_of_its_files(root: Path, exported: dict[str, Any]) -> None:
    card = json.loads((root / "models/export/card.json").read_text())
    files = {file for own in exported["formats"].values() for file in own.get("files", {})}

    assert {name: own["status"] for name, own in exported["formats"].items()} == dict.fromkeys(FORMATS, "kept")
    assert set(card["files"]) == files
    for name, own in exported["card_files"].items():
        assert hashlib.sha256((root / "models/export" / name).read_bytes()).hexdigest() == own["sha256"]
    assert set(exported["card_files"]) == {"card.json", "card.md"}
    for name, own in card["files"].items():
        assert hashlib.sha256((root / "models/export" / name).read_bytes()).hexdigest() == own["sha256"]
    assert all((root / own["path"]).is_file() for own in exported["formats"].values())


def test_full_precision_gives_the_outputs_and_the_map_of_the_pt(exported: dict[str, Any]) -> None:
    for name in ("torchscript", "onnx"):
        own = exported["formats"][name]
        assert own["parity"]["boxes_px"]["max"] < 0.01
        assert own["parity"]["scores"]["max"] < 1e-3
        assert own["parity"]["prototypes"]["max"] < 1e-3
        assert abs(own["changes"]["box.mAP50"]["change"]) < 1e-3
        assert own["verified"]["f1"] == pytest.approx(exported["pt"]["verified"]["f1"], abs=0.01)
    assert exported["formats"]["openvino-int8"]["parity"]["scores"]["mean"] > 0


def test_a_clean_process_without_torch_finds_the_same_objects(exported: dict[str, Any]) -> None:
    for name, own in exported["formats"].items():
        serving = own["serving"]
        assert serving["modules"] == [], name
        assert serving["objects"] > 20
        assert serving["matched"] >= 0.99 * max(serving["objects"], serving["expected"])


def test_time_and_memory_are_measured_and_stored_apart(root: Path, exported: dict[str, Any]) -> None:
    speed = json.loads((root / "reports/export_speed.json").read_text())

    assert set(speed) == {"pt", *FORMATS}
    for name, own in speed.items():
        assert 0 < own["batch_1"]["p50_ms"] <= own["batch_1"]["p95_ms"]
        assert own["peak_memory_bytes"] > 20_000_000
        assert own["batch_8"] is not None or name == "torchscript"
    assert speed["onnx"]["peak_memory_bytes"] < speed["pt"]["peak_memory_bytes"] / 2
    assert "_ms" not in json.dumps(exported)


def test_the_errors_of_the_report_are_those_of_the_exported_model_in_a_clean_process(
    root: Path, exported: dict[str, Any]
) -> None:
    stage(root, "report")
    text = (root / "reports/report.md").read_text()
    with chdir(root):
        evaluation = files.read()
        paths = [root / "data/sample" / path for path in evaluation.images]
        with Process("onnx", Path("models/export/onnx/model.onnx"), 128, None, root / "runs/recount.log") as process:
            served = process.ask("detect", images=[str(path) for path in paths], card="models/export/card.json")["found"]
            modules = process.ask("facts")["modules"]
        mine = operating.read(evaluation, Exported.read().points)["candidate"].detections

    boxes = [
        letterbox(pixels(path), 128)[1].to_original(np.array(found["box_xyxy"], np.float32).reshape(-1, 2, 2)).reshape(-1, 4)
        for path, found in zip(paths, served, strict=True)
    ]
    counted = Detections(
        np.repeat(np.arange(len(paths)), [len(found["cls"]) for found in served]).astype(np.int32),
        np.concatenate([found["cls"] for found in served]).astype(np.int32),
        np.concatenate([found["conf"] for found in served]).astype(np.float32),
        np.concatenate(boxes).astype(np.float32),
        {},
    )
    outcome = match(evaluation.targets, counted, len(paths), 0.5)
    sums = tally(evaluation.targets, outcome, len(paths))

    assert {"torch", "ultralytics"} & set(modules) == set()
    rows = [row.split("|")[3].strip() for row in text.splitlines() if re.match(r"\| (labels (found|missed)|false alarms)", row)]
    assert rows == [f"{int(part.sum()):,}" for part in (sums.found, sums.missed, sums.false)]
    assert np.array_equal(counted.img, mine.img)
    assert np.array_equal(counted.cls, mine.cls)
    assert np.abs(counted.conf - mine.conf).max() < 1e-3
    assert np.abs(counted.box_xyxy - mine.box_xyxy).max() < 0.05
    expected = confusion(evaluation.targets, match(evaluation.targets, mine, len(paths), 0.5), len(evaluation.names))
    assert np.array_equal(confusion(evaluation.targets, outcome, len(evaluation.names)), expected)


def test_reference_and_candidate_have_thresholds_of_their_own_from_split_val(root: Path, exported: dict[str, Any]) -> None:
    card = json.loads((root / "models/export/card.json").read_text())["thresholds"]
    points = exported["points"]

    assert set(points) == {"baseline", "candidate"}
    assert {name: point["chosen_on"] for name, point in points.items()} == {"baseline": "val", "candidate": "val"}
    assert {key: points["candidate"][key] for key in ("conf", "iou", "mask", "max_det")} == card
    assert points["baseline"]["tensors_sha256"] != points["candidate"]["tensors_sha256"]


def test_nothing_is_written_to_the_home_folder(root: Path, home: Path) -> None:
    assert not (home / "intel").exists()  # the telemetry of OpenVINO and nncf


def test_the_example_serves_what_ultralytics_finds(root: Path) -> None:
    images = [f"data/sample/images/test/{file.name}" for file in sorted((root / "data/sample/images/test").iterdir())[:12]]
    rows = exported_model.serve(root, images)

    num_same, num_objects = exported_model.agreement(root, images, rows, "segment", 128)
    assert all(float(row[7]) > 10 for row in rows), "every mask has pixels"
    assert num_objects > 10
    assert num_same >= 0.98 * num_objects


def test_letterbox_and_masks_are_ultralytics_own(root: Path) -> None:
    import torch
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import process_mask

    rng = np.random.default_rng(0)
    for height, width in ((128, 128), (100, 77), (300, 511), (64, 33)):
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        expected = LetterBox((128, 128), auto=False)(image=image)
        assert np.array_equal(letterbox(image, 128)[0], expected[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255)

    thresholds, end2end = read_thresholds(root / "models/export/card.json")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(root / "models/export/onnx/model.onnx"))
    shares = []
    for file in sorted((root / "data/sample/images/test").iterdir())[:12]:
        chw, _ = letterbox(np.asarray(cv2.imread(str(file)), np.uint8), 128)
        output, prototypes = session.run(None, {"images": chw[None]})
        kept = detect(candidates(output[0], 4, 0.01, end2end), thresholds)
        own = mask_logits(kept, prototypes[0], 128) > 0
        other = process_mask(
            *(torch.from_numpy(part) for part in (prototypes[0], kept.coefficients, kept.box_xyxy)), (128, 128), upsample=True
        ).numpy()
        shares += [(one & two).sum() / (one | two).sum() for one, two in zip(own, other.astype(bool), strict=True) if two.any()]
    assert len(shares) > 10
    assert np.mean(shares) > 0.9


def test_judged_on_squares_the_candidate_has_the_map_that_export_measures(root: Path, exported: dict[str, Any]) -> None:
    kept = {file: file.read_bytes() for file in (root / "reports").iterdir()}
    other = json.loads(kept[root / "reports/metrics.json"])["candidate"]["box"]["mAP50"]

    stage(root, "evaluate", "--set", "evaluate.rect=false")

    own = json.loads((root / "reports/metrics.json").read_text())["candidate"]["box"]["mAP50"]
    for file, content in kept.items():
        file.write_bytes(content)
    assert own == pytest.approx(exported["pt"]["metrics"]["box.mAP50"], abs=1e-6)
    assert own != pytest.approx(other, abs=1e-6)


def test_a_format_that_is_too_slow_is_refused_and_not_kept(root: Path, exported: dict[str, Any], tmp_path: Path) -> None:
    text = stage(root, "export", "--set", "export.formats=[onnx]", "--set", "export.max_latency_ms=0.0001")

    own = json.loads((root / "reports/export.json").read_text())["formats"]["onnx"]
    assert own["status"] == "refused"
    assert "allowed are 0.0001 ms" in own["reasons"][0]
    assert sorted(file.name for file in (root / "models/export").iterdir()) == ["card.json", "card.md"]
    assert "export: 0 of 1 kept" in text


@pytest.mark.parametrize(
    ("verdict", "formats", "reason"),
    [("REJECT", "[onnx]", "the gate rejected the candidate"), ("PROMOTE", "[]", "export.formats is empty")],
)
def test_without_a_candidate_or_a_format_thresholds_are_chosen_and_nothing_is_exported(
    root: Path, exported: dict[str, Any], verdict: str, formats: str, reason: str
) -> None:
    decision, operating_bytes = (root / "reports/decision.json"), (root / "reports/operating.npz").read_bytes()
    judged = decision.read_text()
    decision.write_text(json.dumps(json.loads(judged) | {"verdict": verdict}))

    stage(root, "export", "--set", f"export.formats={formats}")

    own = json.loads((root / "reports/export.json").read_text())
    assert (own["exported"], own["reason"], own["formats"]) == (False, reason, {})
    assert own["points"] == exported["points"]
    assert (root / "reports/operating.npz").read_bytes() == operating_bytes
    assert list((root / "models/export").iterdir()) == []
    assert json.loads((root / "reports/export_speed.json").read_text()) == {}
    decision.write_text(judged)


def test_a_broken_artifact_is_refused_with_the_last_words_of_its_runtime(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"not a graph")

    with (
        pytest.raises(RuntimeEndedError, match=r"its runtime ended with code 1: .*model\.onnx"),
        Process("onnx", broken, 128, None, tmp_path / "log"),
    ):
        pass
