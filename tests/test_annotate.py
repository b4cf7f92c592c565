"""What is asked: each list with its reasons, what is drawn for the person, and refusals that say what to run."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tasks.annotate import choose, predictions
from tasks.annotate.bundle import Bundle
from tasks.annotate.choose import entropy_bits
from tasks.annotate.predictions import Detection, Seen
from tasks.annotate.types import MARK
from tasks.common.errors import PipelineError
from tasks.common.weights import md5_of
from tasks.measure.decision import Decision, Evidence, Verdict
from tasks.watch import unlike
from tasks.watch.drift import Drift
from tests.labelling import ROOT, ask, doubt, make_dataset, new_images, review, values

CHAMPION = "name: detector\nversion: v1.0.0\nweights: {file}\nmd5: {md5}\n"
CARD = "card: {imgsz: 64, end2end: false, conf: {nut: 0.4, bolt: 0.4, washer: 0.4}, iou: 0.5, mask: 0.5, max_det: 300}\n"
POOL = Path("pool")


def rows(bundle: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((bundle / "ask.csv").read_text().splitlines()))


def pin(weights: Path = Path("champion.pt")) -> None:
    """A champion whose weights need not be a network where every image is cached."""
    if not weights.exists():
        weights.write_bytes(b"weights")
    Path("champion.yaml").write_text(CHAMPION.format(file=weights, md5=md5_of(weights)) + CARD)


def cached(detections: dict[str, list[tuple[str, float]]], ring: tuple[float, ...] = ()) -> None:
    """What the champion detects: for each SHA-256 of an image, classes and confidences, all at one place."""
    file = predictions.champion(values()).cache
    file.parent.mkdir(parents=True, exist_ok=True)
    head = {"tensors_sha256": "ab" * 32, "names": ["nut", "bolt", "washer"]}
    lines = [
        [sha256, [[name, conf, 0.4, [10, 10, 30, 40], ring] for name, conf in found]] for sha256, found in detections.items()
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))


def decided(needed: int | None, verdict: Verdict = Verdict.INCONCLUSIVE) -> None:
    """The last decision, on the two images of split test."""
    numbers = dict.fromkeys(("lower_bound", "probability_of_gain", "probability_of_min_gain", "standard_error"), 0.01)
    none: dict[str, Any] = dict.fromkeys(("percentile", "student", "bca"))
    evidence = Evidence(**numbers, **none, minimum_detectable_gain=0.1, power=0.8, images_needed=needed, resamples=9, groups=9)
    split = {"name": "test", "sha256": "ab" * 32, "images": 2}
    Path("reports").mkdir(exist_ok=True)
    Decision(
        verdict, "box.mAP50", "baseline", 0.5, 0.6, 0.2, 0.01, 0.95, evidence, (), {}, {}, (), ("because",), split, {}
    ).write()  # type: ignore[arg-type]


def refused(what: str, **options: Any) -> PipelineError:
    with pytest.raises(PipelineError) as refusal:
        ask("coco", what, **options)
    assert not list(Path("runs/annotate").glob("*/ask.csv"))
    return refusal.value


def test_doubts_come_in_the_order_of_the_review_with_their_reasons(workspace: Path) -> None:
    make_dataset()
    review([doubt(3, 2, "badly located"), doubt(1, 1, "swapped class"), doubt(1, None, "overlooked", box="1 2 11 22")])

    bundle = ask("label-studio", num=2)

    assert [(row["rank"], row["file"], row["split"], row["what"], row["reason"], row["score"]) for row in rows(bundle)] == [
        ("1", "images/train/3.jpg", "train", "doubts", "line 2: model sees this nut elsewhere (IoU 0.30)", "0.5000"),
        (
            *("2", "images/train/1.jpg", "train", "doubts"),
            "line 1: labelled nut, model sees a bolt (0.90); model sees a bolt without a label (0.90)",
            "0.5000",
        ),
    ]
    task = json.loads((bundle / "tasks.json").read_text())[1]
    (prediction,) = task["predictions"]
    assert (
        task["data"]["reason"]
        == "region 1: labelled nut, model sees a bolt (0.90); region 5: model sees a bolt without a label (0.90)"
    )
    assert task["data"]["image"] == f"/data/local-files/?d={bundle.name}/images/{rows(bundle)[1]['name']}"
    assert (bundle / "images" / rows(bundle)[1]["name"]).read_bytes() == (ROOT / "images/train/1.jpg").read_bytes()
    notes = [result.get("meta", {}).get("text") for result in prediction["result"]]
    assert notes == [
        ["labelled nut, model sees a bolt (0.90)"],
        None,
        None,
        None,
        ["model sees a bolt without a label (0.90)"],
    ]
    mark = prediction["result"][-1]["value"]
    assert mark["rectanglelabels"] == [MARK]
    assert [mark[key] for key in ("x", "y", "width", "height")] == pytest.approx([100 / 96, 200 / 64, 1000 / 96, 2000 / 64])


def test_doubts_from_masks_come_with_their_outlines_and_notes(workspace: Path) -> None:
    make_dataset("polygons")
    kinds = ((2, "merged"), (1, "wrong outline"), (4, "split"))
    review([doubt(2, line, kind) | {"image_score": "0.2"} for line, kind in kinds])

    bundle = ask("label-studio")

    texts = {
        2: "one nut is labelled, model sees several",
        1: "model sees another outline of this nut (mask IoU 0.30)",
        4: "model sees one bolt (0.90) of which this is a part",
    }
    reason = "; ".join(f"line {line}: {text}" for line, text in texts.items())
    assert [(row["reason"], row["score"]) for row in rows(bundle)] == [(reason, "0.8000")]
    (prediction,) = json.loads((bundle / "tasks.json").read_text())[0]["predictions"]
    assert [result["type"] for result in prediction["result"]] == ["polygonlabels"] * 3
    assert [result["meta"]["text"] for result in prediction["result"]] == [[texts[1]], [texts[2]], [texts[4]]]


def test_the_interface_of_label_studio_names_each_class_and_tool_once(workspace: Path) -> None:
    make_dataset("polygons")
    review([doubt(0, 1)])

    root = ElementTree.parse(ask("label-studio") / "config.xml").getroot()

    controls = [child for child in root if child.tag not in ("Header", "Image")]
    assert [(child.tag, child.get("name"), child.get("toName")) for child in controls] == [
        ("PolygonLabels", "polygon", "image"),
        ("RectangleLabels", "box", "image"),
    ]
    classes = ["nut", "bolt", "washer"]
    assert [[label.get("value") for label in control] for control in controls] == [classes, [*classes, MARK]]


def test_images_can_stay_where_they_are(workspace: Path) -> None:
    make_dataset()
    review([doubt(0, 1)])

    by_url = ask("label-studio", images="url", prefix="https://images.example/set/", out=Path("one"))
    by_path = ask("label-studio", images="path", prefix=str(workspace / "data"), out=Path("two"))

    urls = [json.loads((folder / "tasks.json").read_text())[0]["data"]["image"] for folder in (by_url, by_path)]
    assert urls == ["https://images.example/set/data/parts/images/train/0.jpg", "/data/local-files/?d=parts/images/train/0.jpg"]
    assert not (by_url / "images").exists()


def test_a_doubt_about_a_file_that_changed_since_the_review_is_not_asked(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset()
    review([doubt(0, 1) | {"labels": "0" * 64}, doubt(1, 1)])

    with caplog.at_level("INFO"):
        bundle = ask("coco")

    assert [row["file"] for row in rows(bundle)] == ["images/train/1.jpg"]
    assert "1 doubt is of files that changed since the review (Run `python -m tasks.validate`" in caplog.text


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (None, "there is no review yet", "Run `dvc repro review`."),
        ({"enabled": False}, "the review is switched off", "review.enabled: true"),
        ({"dataset": "data/other"}, "it is of data/other, not of data/parts", "python -m tasks.review"),
        ({"too_weak": True}, "the model is too weak to judge labels", "wait for a better champion"),
        ({}, "nothing to ask: 0 images have a doubt", "another list"),
    ],
    ids=["none", "off", "another dataset", "too weak", "no doubt"],
)
def test_doubts_need_a_review(workspace: Path, content: dict[str, Any] | None, what: str, fix: str) -> None:
    make_dataset()
    if content is not None:
        review([], **content)

    refusal = refused("doubts")

    assert what in refusal.what
    assert fix in refusal.fix


def test_a_detection_is_least_sure_at_the_operating_point() -> None:
    assert entropy_bits(0.4, 0.4) == 1
    assert [entropy_bits(conf, 0.4) for conf in (0.19, 0.71)] == [0, 0]
    assert entropy_bits(0.3, 0.4) == pytest.approx(-0.375 * math.log2(0.375) - 0.625 * math.log2(0.625))
    assert entropy_bits(0.3, 0.4) == pytest.approx(entropy_bits(0.55, 0.4))


def test_the_least_sure_images_come_first_with_the_champions_objects_and_without_running_it_again(workspace: Path) -> None:
    make_dataset()
    files = new_images(POOL, 4)
    shutil.copy(ROOT / "images/test/0.jpg", POOL / "known.jpg")
    pin()
    images = choose.pool(choose.read_dataset(ROOT), values(), POOL)
    by_file = dict(zip(images.images, images.sha256s, strict=True))
    found = [[("nut", 0.9)], [("nut", 0.41), ("bolt", 0.39)], [("bolt", 0.3), ("rivet", 0.8)], []]
    cached({by_file[file]: list(detections) for file, detections in zip(files, found, strict=True)})

    bundle = ask("coco", "uncertain", images_from=POOL)

    assert (images.num_known, len(images.images)) == (1, 4)
    assert [row["file"] for row in rows(bundle)] == ["pool/1.jpg", "pool/2.jpg"]
    assert rows(bundle)[0]["reason"] == "2 of 2 detections near the operating point, most so nut 0.41 (kept from 0.40 on)"
    content = json.loads((bundle / "instances.json").read_text())
    assert [(a["image_id"], a["category_id"], a["bbox"], a["attributes"]) for a in content["annotations"]] == [
        (1, 1, [10, 10, 20, 30], {"confidence": 0.41})
    ]
    stored = Bundle.open(bundle)
    assert (stored.champion, stored.tensors_sha256, stored.splits) == ("detector@v1.0.0", "ab" * 32, ("train", "val"))


def test_images_with_labels_show_these_and_those_without_the_outlines_of_the_champion(workspace: Path) -> None:
    make_dataset("polygons")
    (ROOT / "labels/val/1.txt").unlink()
    pin()
    images = choose.pool(choose.read_dataset(ROOT), values(), None)
    cached({sha256: [("nut", 0.4)] for sha256 in images.sha256s}, (10, 10, 30, 10, 30, 40))

    bundle = ask("coco", "uncertain")

    content = json.loads((bundle / "instances.json").read_text())
    names = {image["id"]: Bundle.open(bundle).entries[i].file for i, image in enumerate(content["images"])}
    drawn = [
        (names[a["image_id"]].removeprefix("data/parts/images/"), "confidence" in a["attributes"]) for a in content["annotations"]
    ]
    assert {name for name, is_detected in drawn if is_detected} == {"val/1.jpg"}
    assert drawn.count(("train/0.jpg", False)) == 3
    (outline,) = (a["segmentation"] for a in content["annotations"] if "confidence" in a["attributes"])
    assert outline == [pytest.approx([10, 10, 30, 10, 30, 40])]


def test_without_a_champion_the_way_to_one_is_named(workspace: Path) -> None:
    make_dataset()
    Path("champion.yaml").write_text("name: detector\nversion: null\n")

    refusal = refused("uncertain")

    assert refusal.what == "there is no champion, whose detections this list is made of"
    assert "python -m tasks.registry promote" in refusal.fix


def test_images_for_the_gate_are_as_many_as_it_needs_drawn_by_a_seed(workspace: Path) -> None:
    make_dataset()
    new_images(POOL, 12)
    decided(needed=7)

    drawn = [
        [row["file"] for row in rows(ask("coco", "gate", images_from=POOL, is_blank=True, seed=seed, out=Path(f"bundle-{i}")))]
        for i, seed in enumerate((0, 0, 1))
    ]

    assert len(set(drawn[0])) == 5
    assert drawn[0] == drawn[1] != drawn[2]
    assert rows(Path("bundle-0"))[0]["reason"] == (
        "drawn at random: the gate needs about 7 images of split test to settle its verdict, and has 2"
    )
    assert Bundle.open(Path("bundle-0")).splits == ("test",)


@pytest.mark.parametrize(
    ("needed", "verdict", "what"),
    [
        (7, Verdict.PROMOTE, "the last verdict is PROMOTE: there is nothing to settle"),
        (None, Verdict.INCONCLUSIVE, "it does not say how many images would settle it"),
        (2, Verdict.INCONCLUSIVE, "it needs about 2 images, and split test has 2"),
    ],
    ids=["settled", "unknown", "enough"],
)
def test_the_gate_asks_for_images_only_where_they_would_settle_it(
    workspace: Path, needed: int | None, verdict: Verdict, what: str
) -> None:
    make_dataset()
    new_images(POOL, 3)
    decided(needed, verdict)

    refusal = refused("gate", images_from=POOL)

    assert refusal.what == what
    assert "--num N" in refusal.fix


def test_the_gate_needs_new_images(workspace: Path) -> None:
    make_dataset()

    assert "--images-from FOLDER" in refused("gate").fix
    assert refused("gate", images_from=ROOT, num=2).what == "these images teach, and must not judge"


def watched() -> tuple[str, ...]:
    """New data that the watch has looked at; the overrides that name it."""
    make_dataset(root=Path("data/new"))
    for seed, file in enumerate(sorted(Path("data/new/images").rglob("*.jpg"))):
        new_images(Path("made"), 1, 200 + seed)[0].replace(file)
    Path("runs/watch").mkdir(parents=True)
    Path("runs/watch/watch.json").write_text(json.dumps({"path": "data/new", "split": "train"}))
    then, now = {"brightness": np.array([0.1, 0.2, 0.3])}, {"brightness": np.array([0.4, 0.9, 0.2, 0.6])}
    images = [f"images/train/{number}.jpg" for number in range(4)]
    Path("runs/watch/unlike.csv").write_text(
        unlike.table(images, then, now, [Drift("brightness", 1.0, 0.1, 0.2, 0.5, is_real=True)])
    )
    return "watch.path=data/new", "watch.split=train"


def test_images_unlike_registration_come_as_the_watch_ranked_them(workspace: Path) -> None:
    make_dataset()

    bundle = ask("coco", "drift", is_blank=True, overrides=watched())

    assert [row["file"] for row in rows(bundle)] == [f"images/train/{number}.jpg" for number in (1, 3, 0)]
    assert rows(bundle)[0]["reason"] == "brightness 0.9, 0.2 at registration"
    assert json.loads((bundle / "instances.json").read_text())["annotations"] == []


def test_drift_needs_a_watch_of_this_data(workspace: Path) -> None:
    make_dataset()
    overrides = watched()
    Path("runs/watch/watch.json").write_text(json.dumps({"path": "data/older", "split": "train"}))

    assert refused("drift", overrides=overrides).fix == "Run `python -m tasks.watch`."
    Path("runs/watch/unlike.csv").unlink()
    assert refused("drift", overrides=overrides).what == "there is no watch yet"


def test_what_the_watch_found_alike_is_no_list(workspace: Path) -> None:
    then = {"brightness": np.array([0.1, 0.2, 0.3])}

    assert unlike.table(["a.jpg"], then, {"brightness": np.array([0.2])}, []) == "file,score,reason\n"


def test_a_bundle_is_not_written_over(workspace: Path) -> None:
    make_dataset()
    review([doubt(0, 1)])
    Path("mine").mkdir()

    with pytest.raises(PipelineError, match="it is there already"):
        ask("coco", out=Path("mine"))

    assert ask("coco") != ask("coco")


def test_a_line_that_a_kill_cut_off_is_written_over(workspace: Path) -> None:
    found = Detection("nut", 0.5, 0.4, (1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 2.0, 3.0, 4.0))
    file = Path("kept.jsonl")
    seen = Seen(file)
    seen.begin("ab", ["nut"])
    seen.add([("first", [found, found]), ("second", [found])])
    file.write_bytes(file.read_bytes()[:-20])

    again = Seen(file)
    assert dict(again) == {"first": (found, found)}
    again.add([("second", []), ("third", [found])])

    assert dict(Seen(file)) == dict(again) == {"first": (found, found), "second": (), "third": (found,)}
    assert dict(again.of({"bolt": "nut"})) == {"first": (), "second": (), "third": ()}
    assert again.of({"nut": "Mutter"})["third"][0].name == "Mutter"
    file.write_text("no json\n")
    assert (len(Seen(file)), Seen(file).tensors) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("is_box", [True, False], ids=["boxes", "outlines"])
def test_a_real_network_is_run_once_and_a_broken_image_is_left_out(
    workspace: Path, is_box: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.measure import yolo

    make_dataset("boxes" if is_box else "polygons")
    new_images(POOL, 3)
    (POOL / "broken.jpg").write_bytes(b"no image")
    yolo.prepare()
    source = Path(__file__).parents[1] / "models" / ("tiny-det.yaml" if is_box else "tiny-seg.yaml")
    yolo.load(source).save("champion.pt")
    pin()
    Path("champion.yaml").write_text(Path("champion.yaml").read_text().replace(CARD, ""))
    overrides = ("watch.conf=0.0001", "train.imgsz=64")

    images = choose.pool(choose.read_dataset(ROOT), values(), POOL)
    champion = predictions.champion(values(*overrides))
    seen = predictions.detect(champion, images.images, images.sha256s, values(*overrides))
    monkeypatch.setattr(yolo, "load", None)
    again = predictions.detect(champion, images.images, images.sha256s, values(*overrides))

    readable = [sha256 for file, sha256 in zip(images.images, images.sha256s, strict=True) if file.name != "broken.jpg"]
    assert {sha256 for sha256, found in seen.items() if found} <= set(readable)
    assert (seen, len(seen)) == (again, 4)
    assert seen.tensors == again.tensors
    assert len(seen.tensors) == 64
    if detections := next((found for found in seen.values() if found), ()):
        assert all(d.conf >= d.threshold / 2 for d in detections)
        assert all(bool(d.outline) is not is_box or not d.outline for d in detections)
