"""Other networks than the sample's, exported for real: boxes alone, and a head whose boxes need no suppression."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import checkout, exported_model
from tests.exported_model import EASY, STAGES, stage

pytestmark = pytest.mark.slow
SHARED = checkout.ROOT.parent / "shared"


def read(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """export.json, and the card."""
    return tuple(json.loads((root / name).read_text()) for name in ("reports/export.json", "models/export/card.json"))


def some_images(root: Path, folder: str, most: int = 12) -> list[str]:
    return [file.relative_to(root).as_posix() for file in sorted((root / folder).iterdir())[:most]]


class TestWithoutSuppression:
    """A network like YOLO26: its second head gives each object once."""

    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        changes: dict[str, dict[str, object]] = {
            **checkout.SMALL,
            "baseline": {"epochs": 5, "weights": "models/tiny26.yaml"},
            "finetune": {"epochs": 1},
            "evaluate": {"nms": False, "max_det": 40},
            "gate": EASY,
            "export": {"formats": ["onnx"], "max_map_drop": 0.5},
        }
        root = checkout.make(tmp_path_factory.mktemp("nms-free") / "checkout", changes)
        network = (root / "models/tiny-seg.yaml").read_text()
        network = network.replace("1, Segment,", "1, Segment26,").replace("reg_max: 8", "reg_max: 1\nend2end: true")
        (root / "models/tiny26.yaml").write_text(network)
        for name, *arguments in (("sample",), *STAGES):
            stage(root, name, *arguments)
        return root

    def test_what_is_judged_trained_and_exported_is_the_head_without_suppression(self, root: Path) -> None:
        exported, card = read(root)
        evaluation = json.loads((root / "reports/evaluation.json").read_text())

        assert "nms: false" in (root / "models/finetune/args.yaml").read_text()
        assert evaluation["settings"]["nms"] is False
        assert card["output"] == {"end2end": True, "boxes": "corners, confidence, class", "unit": "pixels of the input"}
        for own in exported["formats"].values():
            assert own["status"] == "kept"
            assert own["parity"]["scores"]["max"] < 0.01
            assert abs(own["changes"]["box.mAP50"]["change"]) < 0.01
            assert own["serving"]["objects"] > 5
            assert own["serving"]["matched"] >= 0.99 * own["serving"]["objects"]

    def test_the_artifact_gives_rows_of_objects_and_the_example_serves_them(self, root: Path) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(root / "models/export/onnx/model.onnx"))
        images = some_images(root, "data/sample/images/test")

        rows = exported_model.serve(root, images)

        assert session.get_outputs()[0].shape[1:] == [40, 6 + 16]
        num_same, num_objects = exported_model.agreement(root, images, rows, "segment", 128, nms=False)
        assert num_objects > 5
        assert num_same >= 0.98 * num_objects
        assert all(len(row) == 8 for row in rows)

    def test_the_same_network_is_exported_with_suppression_where_that_is_asked_for(self, root: Path, tmp_path: Path) -> None:
        shutil.copytree(root, tmp_path / "ws")
        for name in ("evaluate", "gate", "export"):
            stage(tmp_path / "ws", name, "--set", "evaluate.nms=true", "--set", "export.formats=[onnx]")
        exported, card = read(tmp_path / "ws")
        images = some_images(tmp_path / "ws", "data/sample/images/test")

        rows = exported_model.serve(tmp_path / "ws", images)

        assert not card["output"]["end2end"]
        assert exported["formats"]["onnx"]["parity"]["boxes_px"]["max"] < 0.01
        num_same, num_objects = exported_model.agreement(tmp_path / "ws", images, rows, "segment", 128)
        assert num_objects > 5
        assert num_same >= 0.98 * num_objects


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared with bccd-det and a detection checkpoint is not here")
class TestBoxesAlone:
    """Blood cells with boxes, from a detection checkpoint."""

    @pytest.fixture(scope="class")
    @classmethod
    def root(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        changes: dict[str, dict[str, object]] = {
            "data": {"path": "data/bccd"},
            "train": {"imgsz": 160, "batch": 16},
            "baseline": {"weights": "models/yolov8n.pt", "epochs": 1, "lr0": 0.001, "nbs": 16, "close_mosaic": 0},
            "finetune": {"epochs": 1, "nbs": 16},
            "gate": EASY,
            "export": {"formats": ["onnx", "openvino-int8"], "max_map_drop": 0.5, "calibration_images": 32},
        }
        root = checkout.make(tmp_path_factory.mktemp("boxes") / "checkout", changes)
        shutil.copytree(SHARED / "data/bccd-det", root / "data/bccd", copy_function=shutil.copyfile)
        shutil.copyfile(SHARED / "weights/yolov8n-int8recon.pt", root / "models/yolov8n.pt")
        for name, *arguments in STAGES:
            stage(root, name, *arguments)
        return root

    def test_a_detector_is_exported_without_masks(self, root: Path) -> None:
        exported, card = read(root)

        assert card["task"] == "detect"
        for name, own in exported["formats"].items():
            assert own["status"] == "kept", (name, own["reasons"])
            assert set(own["metrics"]) == {"box.mAP50", "box.mAP50-95"}
            assert set(own["parity"]) == {"boxes_px", "scores"}
            assert "mask_iou" not in own["verified"]
        assert exported["formats"]["onnx"]["metrics"]["box.mAP50"] > 0.2

    def test_the_example_serves_boxes_without_an_area(self, root: Path) -> None:
        images = some_images(root, "data/bccd/images/test")

        rows = exported_model.serve(root, images)

        num_same, num_objects = exported_model.agreement(root, images, rows, "detect", 160)
        assert num_objects > 50
        assert num_same >= 0.98 * num_objects
        assert all(len(row) == 7 for row in rows)
