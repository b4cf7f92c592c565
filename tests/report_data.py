"""A complete small set of the files that the report reads, and the situations that it must describe."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks import gate
from tasks.common import params
from tasks.common.lineage import First, KeptSplit, Lineage, Step
from tasks.common.looks import Looks
from tasks.common.manifest import AcceptedSplit, Manifest
from tasks.common.params import Params
from tasks.common.paths import OPERATING
from tasks.measure.decision import Decision
from tasks.measure.evaluation import Detections
from tasks.measure.exported import Exported
from tasks.measure.operating import Operated, encode
from tests.gate_data import forget, random_files, remeasure, write_files

ROOT = Path(__file__).parent.parent
DATASET = "data/tiny"
SIDE_PX = 300
NOTHING: dict[str, Any] = {"metadata_sha256": None, "quarantined": {}}
SETTINGS: dict[str, Any] = {"optimizer": "AdamW", "batch": 8, "nbs": 16, "patience": 10, "cos_lr": False, "fliplr": 0.0}
ARGUMENTS = {"baseline": {"lr0": 0.01, "lrf": 0.1, "mosaic": 1.0}, "finetune": {"lr0": 5e-5, "lrf": 1.0, "mosaic": 0.0}}
LOSSES = ("box_loss", "seg_loss", "cls_loss")


def epoch(value: float, train: float = 1.0, val: float = 1.0) -> dict[str, float]:
    """A row of results.csv whose box mAP50 is `value`."""
    row = {"time": 1.0, "metrics/precision(B)": value, "metrics/recall(B)": value}
    row |= {f"metrics/{name}({kind})": value * share for kind in "BM" for name, share in (("mAP50", 1.0), ("mAP50-95", 0.6))}
    row |= {f"{side}/{name}": own for side, own in (("train", train), ("val", val)) for name in LOSSES}
    return row | {"train/sem_loss": 0.0, "val/sem_loss": 0.0, "lr/pg0": 0.001}


@dataclass
class Run:
    """What the stages before the report leave behind; change it, then `write`."""

    task: str = "segment"
    content: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    training: dict[str, dict[str, Any]] = field(default_factory=dict)
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    after: list[Callable[[dict[str, Any], dict[str, Any]], None]] = field(default_factory=list)
    """Changes of decision.json and evaluation.json once the gate has decided."""
    exported: dict[str, Any] = field(default_factory=lambda: {"exported": False, "formats": {}})
    times_ms: dict[str, float] = field(default_factory=dict)
    """Of the exported formats."""
    conf: tuple[float, float] = (0.25, 0.25)
    """At which reference and candidate operate."""
    end2end: bool = False
    """Whether the networks suppress overlapping boxes themselves."""
    has_images: bool = True
    data_version: str | None = "17c04c193c06" + 20 * "0"
    """DVC's hash of the dataset; None where DVC does not know it."""
    lineage: Lineage = field(default_factory=lambda: Lineage("v1.0.0"))
    """Of the champion, where there is one."""

    def write(self, root: Path) -> Params:
        """Write everything below `root`, which must be the working directory, and let the real gate decide."""
        settings = params.load(ROOT / "params.yaml", ["gate.resamples=1000", "report.language=en", *self.overrides])
        write_files(root, self.content, self.arrays)
        if self.content["reference"] == "champion":
            (root / "champion.yaml").write_text("name: detector\nversion: v1.0.0\n")
            Looks("v1.0.0").write()
            self.lineage.write()
        gate.run(settings)
        for change in self.after:
            decision, evaluation = (
                json.loads((root / f"reports/{name}.json").read_text()) for name in ("decision", "evaluation")
            )
            change(decision, evaluation)
            _write_json(root / "reports/decision.json", decision)
            _write_json(root / "reports/evaluation.json", evaluation)
        self._write_data(root)
        for name in ("baseline", "finetune"):
            self._write_model(root / "models" / name, name)
        return settings

    def _write_data(self, root: Path) -> None:
        split = AcceptedSplit(4, 9, "cd" * 32)
        names = self.content["names"]
        splits = {"train": split, "test": split}
        manifest = Manifest(path=DATASET, names=tuple(names), task=self.task, sha256="ef" * 32, splits=splits, **NOTHING)
        manifest.write()
        _write_json(root / "reports/validation.json", {"passed": True, "data_version": self.data_version, "checks": self.checks})
        speed = {name: {"latency_ms": 8.5} for name in self.content["models"]}
        _write_json(root / "reports/speed.json", speed)
        verdict = Decision.read().verdict
        points, operating = self._operate()
        Exported.of({"verdict": verdict, "reason": "", "points": points, **self.exported}).write({OPERATING: operating})
        _write_json(root / "reports/export_speed.json", {name: {"batch_1": {"p50_ms": ms}} for name, ms in self.times_ms.items()})
        if not self.has_images:
            return
        picture = io.BytesIO()
        Image.new("RGB", (SIDE_PX, SIDE_PX), (90, 110, 130)).save(picture, "JPEG", quality=30)
        for path in self.arrays["images"]:
            file = root / DATASET / str(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture.getvalue())
            label = root / DATASET / str(path).replace("images", "labels").replace(".jpg", ".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.1 0.1 0.3 0.1 0.2 0.4\n1 0.5 0.5 0.2 0.2\n")

    def _operate(self) -> tuple[dict[str, Any], bytes]:
        """Both models at their operating points: the evaluation's detections from `conf` on, with their boxes for masks."""
        points, operated = {}, {}
        for name in (self.content["reference"], "candidate"):
            conf = self.conf[name == "candidate"]
            img, cls, scores, box = (self.arrays[f"{name}.{key}"] for key in ("pred_img", "pred_cls", "conf", "box_xyxy"))
            kept = Detections(img, cls, scores, box, {}).where(scores >= conf)
            rings = [(own[[[0, 1], [2, 1], [2, 3], [0, 3]]],) if self.task == "segment" else () for own in kept.box_xyxy]
            operated[name] = Operated(kept, tuple(rings))
            points[name] = {"conf": dict.fromkeys(self.content["names"], conf), "iou": 0.3, "mask": 0.5, "max_det": 300}
            points[name] |= {"end2end": self.end2end, "imgsz": 128, "chosen_on": "card" if name == "champion" else "val"}
            points[name] |= {"tensors_sha256": self.content["models"][name]["tensors_sha256"]}
        return points, encode(tuple(map(str, self.arrays["images"])), operated)

    def _write_model(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "best.pt").write_bytes(name.encode())
        (folder / "results.csv").write_text(results_csv(self.rows[name]))
        (folder / "args.yaml").write_text("".join(f"{key}: {value}\n" for key, value in self.arguments[name].items()))
        _write_json(folder / "training.json", self.training[name])


def results_csv(rows: Iterable[dict[str, float]]) -> str:
    """As Ultralytics writes it, padded names and all."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["epoch", *(f"  {key}" for key in epoch(0.5))])
    writer.writerows([i, *row.values()] for i, row in enumerate(rows, 1))
    return text.getvalue()


def tiny_run(**options: Any) -> Run:
    """A fine-tune that gains, on 40 images with real files; `options` as in `gate_data.random_files`."""
    content, arrays = random_files(**{"found": (0.5, 0.8)} | options)
    arrays["size_wh"] = np.full((len(arrays["images"]), 2), SIDE_PX, np.int32)
    settings = content["settings"] | {"rect": True, "half": False}
    content |= {"settings": settings, "split": content["split"] | {"dataset": DATASET}}
    content["models"] = {name: facts | {"settings": settings} for name, facts in content["models"].items()}
    training = {
        "stage": "baseline",
        "weights": "models/tiny-seg.yaml",
        "start_sha256": "12" * 32,
        "data_sha256": "ef" * 32,
        "epochs": 3,
        "epochs_run": 3,
        "ended_by": "epochs",
        "best_epoch": 3,
        "epochs_since_best": 0,
        "patience": 10,
        "num_images": 480,
        "seconds": 60.0,
        "device": "cpu",
        "num_threads": 2,
        "peak_memory_bytes": 900_000_000,
    }
    return Run(
        task=content["task"],
        content=content,
        arrays=arrays,
        rows={
            "baseline": [epoch(0.3, 3.0, 3.0), epoch(0.4, 2.5, 2.4), epoch(0.5, 2.0, 2.1)],
            "finetune": [epoch(0.55, 1.9, 2.0), epoch(0.6, 1.8, 1.9), epoch(0.62, 1.7, 1.8)],
        },
        training={"baseline": training, "finetune": training | {"stage": "finetune", "seconds": 30.0}},
        arguments={name: SETTINGS | own for name, own in ARGUMENTS.items()},
        checks=[{"id": name, "severity": "critical", "passed": True, "failed": 0} for name in ("image-unreadable", "zero-area")],
    )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def equal_models() -> Run:
    """The threshold is met, and the gain could be luck."""
    run = tiny_run(found=(0.7, 0.7), seed=3)
    run.overrides += ["gate.min_gain=-0.9", *NO_GUARDS]
    run.after.append(_noisy)
    return run


def _noisy(decision: dict[str, Any], evaluation: dict[str, Any]) -> None:
    decision["per_class"]["class 1"]["box.mAP50"] |= {"change": 0.01, "change_interval": {"low": -0.2, "high": 0.2}}


def few_groups() -> Run:
    """The threshold is met on the images of four sites, each of which is one group; none of them shows the last class."""
    run = tiny_run()
    run.overrides += ["gate.group_by={column: site}", *NO_GUARDS]
    run.content["names"].append("class 3")
    return run


def too_little_gain() -> Run:
    run = tiny_run()
    run.overrides += ["gate.min_gain=9", "finetune.recipe=origin"]
    run.rows["finetune"] = [epoch(0.45, 2.0, 1.0), epoch(0.44, 1.999, 1.0), epoch(0.43, 1.999, 1.0)]
    return run


def failed_guards() -> Run:
    run = tiny_run()
    run.training["baseline"]["patience"] = 2
    run.overrides += ["gate.min_metric=0.99", "gate.max_size_ratio=1.0"]
    run.conf = 0.25, 0.01
    return run


def point_gate() -> Run:
    run = tiny_run()
    run.overrides += ["gate.confidence=null", *NO_GUARDS]
    run.after.append(lambda decision, evaluation: decision.update(slices=[]))
    return run


def kept_start() -> Run:
    """No epoch of the fine-tune was better than the baseline by the gate's metric."""
    run = tiny_run(found=(0.7, 0.7))
    run.rows["finetune"] = [epoch(0.49), epoch(0.48), epoch(0.47)]
    run.training["finetune"] |= {"best_epoch": 0, "start_metrics": epoch(0.5), "choose_by": "box.mAP50"}
    run.training["finetune"] |= {"epochs": 20, "ended_by": "patience", "epochs_since_best": 2, "patience": 2}
    return run


def stopped_early() -> Run:
    """Patience ended the baseline, which was about to recover, and a gain that was held the fine-tune."""
    run = tiny_run()
    run.rows["baseline"] = [epoch(value) for value in (0.3, 0.5, 0.2, 0.3, 0.4)]
    run.training["baseline"] |= {"epochs": 20, "epochs_run": 5, "ended_by": "patience"}
    run.training["baseline"] |= {"best_epoch": 2, "epochs_since_best": 3, "patience": 3}
    run.training["finetune"] |= {"epochs": 8, "ended_by": "gain", "patience": 5}
    return run


def kept_start_by_another_metric() -> Run:
    run = kept_start()
    run.training["finetune"]["choose_by"] = "ultralytics"
    return run


def champion() -> Run:
    """Boxes only, against a champion; the baseline is measured too."""
    run = tiny_run(task="detect", reference="champion", num_classes=20)
    run.content["models"]["baseline"] = run.content["models"]["champion"] | {"tensors_sha256": "ba" * 32}
    run.arrays |= {f"baseline{name[8:]}": a for name, a in run.arrays.items() if name.startswith("champion.")}
    for rows in run.rows.values():
        rows[:] = [{key: value for key, value in row.items() if "(M)" not in key} for row in rows]
    return run


def third_turn() -> Run:
    """The champion has a version before it, which is measured too; there is no golden set."""
    run = champion()
    run.lineage = Lineage("v1.0.0", First("v0.9.0", "first.pt", "0" * 32), (Step("v1.0.0", "box.mAP50", 0.1),))
    run.content["models"]["first"] = run.content["models"]["baseline"] | {"tensors_sha256": "f1" * 32}
    run.arrays |= {f"first{name[8:]}": a for name, a in run.arrays.items() if name.startswith("baseline.")}
    return run


def golden() -> Run:
    """The same with a golden set."""
    run = third_turn()
    run.content["golden"] = {**run.content}
    run.arrays |= {f"golden.{name}": array for name, array in list(run.arrays.items())}
    return run


def forgotten() -> Run:
    """The candidate is better on the gate split and worse on those of two earlier versions; those of a third are in the data."""
    run = golden()
    kept = (KeptSplit(version, "", "") for version in ("v1.0.0", "v0.9.0", "v0.8.0"))
    run.lineage = replace(run.lineage, golden=tuple(kept))
    run.arrays["golden.meta.judged_versions"] = np.array(["v1.0.0"] * 20 + ["v1.0.0 v0.9.0"] * 20)
    for name in [name for name in run.arrays if name.startswith("golden.champion.")]:
        other = name.replace("champion", "candidate")
        run.arrays[name], run.arrays[other] = run.arrays[other], run.arrays[name]
    return run


def no_epochs() -> Run:
    """Taken over, not trained; and the point gate refuses."""
    run = point_gate()
    run.after.append(lambda decision, evaluation: decision["per_class"]["class 0"]["box.mAP50"].update(change=-0.1))
    run.overrides += ["gate.min_gain=9", "report.milestones=[]", "report.loose_ratio=0", "report.gallery_images=0"]
    run.overrides += ["report.max_imbalance=1", "report.weak_class_gap=1"]
    run.rows = {"baseline": [], "finetune": []}
    for training in run.training.values():
        training |= {"epochs_run": 0, "best_epoch": 0}
    return run


def taken_over() -> Run:
    """The second turn: the baseline is the champion as it is, and no budget limits the looks at it."""
    run = champion()
    run.overrides.append("gate.reign_budget=null")
    run.content["models"]["baseline"] = run.content["models"]["champion"]
    run.rows["baseline"] = []
    run.arguments["baseline"] = {"model": "models/registered/detector@v1.0.0.pt", "epochs": 0, "device": "cpu"}
    run.training["baseline"] |= {"epochs": 0, "epochs_run": 0, "best_epoch": 0, "seconds": 0.0}
    return run


def same_model() -> Run:
    """Compared with itself, on the validation split, with data that changed."""
    run = tiny_run()
    run.arrays |= {f"candidate{name[8:]}": a for name, a in run.arrays.items() if name.startswith("baseline.")}
    run.content["models"]["candidate"] = run.content["models"]["baseline"]
    run.content["split"]["name"] = "val"
    run.training["baseline"]["data_sha256"] = "00" * 32
    run.training["baseline"]["seconds"] = 7300.0
    run.checks.append({"id": "class-rare", "severity": "warning", "passed": False, "failed": 3})
    return run


def weak_spots() -> Run:
    """Everything that the data rules look for."""
    run = tiny_run(num_classes=3)
    run.conf = 0.25, 0.6
    hits = run.arrays["candidate.tp_box"][:, 0] & (run.arrays["candidate.pred_cls"] == 0)
    run.arrays["candidate.pred_cls"] = np.where(hits, 1, run.arrays["candidate.pred_cls"]).astype(np.int32)
    for kind in ("box", "mask"):
        run.arrays[f"candidate.tp_{kind}"] = run.arrays[f"candidate.tp_{kind}"] & ~hits[:, None]
    remeasure(run.content, run.arrays)
    run.overrides += ["gate.min_gain=-0.9", *NO_GUARDS, "report.loose_ratio=1"]
    run.rows["finetune"] = [epoch(0.6, 1.9, 1.5), epoch(0.6, 1.8, 1.9), epoch(0.6, 1.7, 3.0)]
    run.after.append(_weaken)
    return run


def _weaken(decision: dict[str, Any], evaluation: dict[str, Any]) -> None:
    loss = {"change": -0.3, "gain": -0.4}
    loss |= {"change_interval": {"low": -0.4, "high": -0.2}, "gain_interval": {"low": -0.5, "high": -0.3}}
    decision["per_class"]["class 0"]["box.mAP50"] |= loss | {"candidate": 0.01}
    decision["slices"][0]["comparison"] |= loss | {"candidate": 0.01}
    evaluation["models"]["candidate"]["box"] |= {"precision": 0.9, "recall": 0.4}
    evaluation["models"]["candidate"]["mask"] |= {"mAP50": 0.05, "precision": 0.4, "recall": 0.9}


def worse_everywhere() -> Run:
    """The candidate lost, its metric is flat, and the images are not here."""
    run = tiny_run(found=(0.8, 0.3))
    run.has_images = False
    run.data_version = None
    run.arguments["finetune"] |= {"lrf": 0.05, "cos_lr": True}
    run.rows["finetune"] = [epoch(0.5, 1.0, 2.0), epoch(0.5, 0.9, 1.9), epoch(0.5, 0.8, 1.8)]
    run.after.append(lambda decision, evaluation: evaluation["models"]["candidate"]["box"].update(precision=0.4, recall=0.9))
    return run


def exported() -> Run:
    """A format of each kind, and the times of one."""
    run = tiny_run()
    change = {"reference": 0.8156, "candidate": 0.8123, "change": -0.0033, "change_interval": None, "gain": -0.004}
    change |= {"gain_interval": {"low": -0.006, "high": -0.002}, "instances": 9, "images": 4}
    facts = {"changes": {"box.mAP50": change}, "bytes": 1_110_000}
    lost = {"changes": {"box.mAP50": change | {"gain": -0.3, "gain_interval": None}}, "bytes": 640_000}
    run.exported = {
        "exported": True,
        "card": {"imgsz": 128},
        "pt": {"metrics": {"box.mAP50": 0.8156}, "bytes": 600_000},
        "formats": {
            "onnx": {"status": "kept", "reasons": [], **facts},
            "onnx-int8": {"status": "refused", "reasons": ["box.mAP50 falls by 30.00%", "one image takes | 9.00 ms"], **lost},
            "engine": {"status": "skipped", "reasons": ["tensorrt is not installed"]},
        },
    }
    run.times_ms = {"pt": 8.0, "onnx": 2.0, "onnx-int8": 10.0}
    return run


NO_GUARDS = [f"gate.{name}=null" for name in ("max_class_drop", "max_metric_drop", "max_golden_drop")]


def grown_classes() -> Run:
    """The champion knows neither of two classes, one of which no image of the gate split shows; one was renamed, one is gone."""
    run = tiny_run(reference="champion")
    run.content["names"].append("class 3")
    forget(run.content, run.arrays, 2, 3, renamed={"screw": "class 1"}, absent=("rivet",))
    run.content["models"]["baseline"] = run.content["models"]["champion"]
    run.arrays |= {f"baseline{name[8:]}": a for name, a in run.arrays.items() if name.startswith("champion.")}
    return run


def many_classes() -> Run:
    """More classes than a reader can look through, many of which got worse."""
    run = tiny_run(num_classes=120, num_images=60)
    run.end2end = True
    run.overrides += ["gate.min_gain=-0.9", *NO_GUARDS]
    run.after.append(_lose_a_third)
    return run


def _lose_a_third(decision: dict[str, Any], evaluation: dict[str, Any]) -> None:
    for found in list(decision["per_class"].values())[::3]:
        found["box.mAP50"] |= {"change": -0.15, "change_interval": {"low": -0.2, "high": -0.1}}


SITUATIONS: dict[str, Callable[[], Run]] = {
    "gain": tiny_run,
    "equal": equal_models,
    "few groups": few_groups,
    "too little": too_little_gain,
    "guards": failed_guards,
    "point": point_gate,
    "kept start": kept_start,
    "stopped early": stopped_early,
    "kept start by": kept_start_by_another_metric,
    "champion": champion,
    "taken over": taken_over,
    "third turn": third_turn,
    "golden": golden,
    "forgotten": forgotten,
    "no epochs": no_epochs,
    "same model": same_model,
    "weak spots": weak_spots,
    "worse": worse_everywhere,
    "exported": exported,
    "many classes": many_classes,
    "grown classes": grown_classes,
}
