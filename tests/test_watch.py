"""The champion on new data: what is luck, what is a drop, and what is another distribution."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks import watch
from tasks.common import params
from tasks.common.psi import psi
from tasks.measure.evaluation import Detections, Evaluation, Model, Targets
from tasks.measure.files import Scores, decode
from tasks.watch import drift, drop, pictures, unlike
from tasks.watch.finding import Finding, Watch
from tasks.watch.page import page
from tests.gate_data import ROOT, gate_params, random_files

RULE = gate_params("slices=[site]")
WATCHED = params.load(ROOT / "params.yaml", ["watch.path=data/new"])


def arrays(quality: float, seed: int, num_images: int = 80) -> dict[str, np.ndarray]:
    """The arrays of a model that finds the share `quality` of the objects."""
    return random_files(num_images=num_images, found=(quality, quality), seed=seed)[1]


def evaluation(content: dict[str, np.ndarray], dataset: str = "data/home") -> Evaluation:
    """What was measured, from its arrays; the model is the candidate."""
    split = {"name": "test", "sha256": "ab" * 32, "images": len(content["images"]), "dataset": dataset}
    names = ["class 0", "class 1", "class 2"]
    scores = {"task": "segment", "split": split, "names": names, "reference": "candidate", "models": {"candidate": {}}}
    return decode(Scores.of(scores), content)


def samples(then: float, now: float, seed: int, num_images: int = 80) -> tuple[drop.Sample, drop.Sample]:
    first, second = arrays(then, seed, num_images), arrays(now, seed + 1000, num_images)
    return drop.sample(evaluation(first), RULE), drop.sample(evaluation(second), RULE)


def test_a_model_that_finds_less_on_new_images_has_dropped() -> None:
    found = drop.compare("all", *samples(0.9, 0.5, 1), max_drop=0.05, confidence=0.95)

    assert found.change < -0.2
    assert found.interval is not None
    assert found.interval.high < 0
    assert found.is_real


def test_an_equal_model_on_other_images_seldom_drops() -> None:
    found = [drop.compare("all", *samples(0.8, 0.8, seed), max_drop=0.0, confidence=0.95) for seed in range(24)]

    assert sum(f.is_real for f in found) <= 4  # 1 is expected; 5 or more come by luck in 1 % of cases


def test_a_real_but_small_drop_is_no_finding() -> None:
    found = drop.compare("all", *samples(0.9, 0.5, 1), max_drop=0.9, confidence=0.95)

    assert not found.is_real


def test_few_images_prove_nothing() -> None:
    found = drop.compare("all", *samples(0.9, 0.3, 1, num_images=9), max_drop=0.05, confidence=0.95)

    assert found.interval is None
    assert not found.is_real


def test_a_part_is_measured_on_its_own_images() -> None:
    content = arrays(0.8, 1, 60) | {"meta.site": np.array(["a", "b", "b"] * 20)}
    all_images = evaluation(content)
    kept = drop.parts(all_images, ["site", "absent"])

    assert {name: int(own.sum()) for name, own in kept.items()} == {"site=a": 20, "site=b": 40}
    whole, part = (drop.sample(own, RULE) for own in (all_images, all_images.where(kept["site=a"])))
    assert (whole.images, part.images) == (60, 20)
    assert part.instances == int((np.isin(content["target_img"], np.flatnonzero(kept["site=a"]))).sum())


def test_psi_is_zero_for_the_same_values_and_grows_with_the_shift() -> None:
    values = np.random.default_rng(0).normal(size=500)

    found = [psi(*drift.histograms(values, values + shift)) for shift in (0.0, 0.5, 1.0)]

    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert 0.1 < found[1] < found[2]


@pytest.mark.parametrize("sizes", [(48, 48), (256, 60), (1000, 1000)], ids=str)
def test_the_noise_level_is_exceeded_as_seldom_as_it_says(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    above = 0
    for _ in range(600):
        counts = drift.histograms(rng.normal(size=sizes[0]), rng.normal(size=sizes[1]))
        value, num_bins = psi(*counts), len(counts[0])
        above += value > drift.noise_level(*sizes, num_bins)

    assert above <= 15  # 6 are expected at ALPHA = 1 %


def test_values_never_seen_before_are_a_drift() -> None:
    then, now = np.full(60, 640.0), np.full(60, 1280.0)

    found = drift.compare({"size": then}, {"size": now}, max_psi=0.25)[0]

    assert found.is_real
    assert not drift.compare({"size": then}, {"size": then}, max_psi=0.25)[0].is_real


def facts(num_images: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {"brightness": rng.normal(0.3, 0.05, num_images), "detections": rng.poisson(50, num_images).astype(float)}
    return values | {"size": np.full(num_images, 640.0)}


@pytest.mark.parametrize("num_then", [25, 100, 1000])
def test_a_further_image_lies_beyond_the_level_as_seldom_as_it_says(num_then: int) -> None:
    shares = []
    for seed in range(60):
        then, now = facts(num_then, seed), facts(500, 1000 + seed)
        shares.append((unlike.furthest(then, now) > unlike.level(then)).mean())

    promised = max(unlike.FALSE_ALARMS, 1 / (num_then + 1))
    assert 0.3 * promised < np.mean(shares) < 1.5 * promised


def test_a_few_odd_images_are_listed_where_nothing_drifted() -> None:
    then = replace(evaluation(arrays(0.9, 1)), brightness=np.random.default_rng(1).normal(0.3, 0.02, 80).astype(np.float32))
    now = replace(evaluation(arrays(0.9, 2)), brightness=then.brightness.copy())
    now.brightness[:3] = 0.9

    found = watch.judge(WATCHED, "v1", then, now)
    header, *rows = unlike.table(now.images, *(drift.features(images, 0.25) for images in (then, now)), found.drifts).splitlines()

    assert (found.finding, found.unlike, header) == (Finding.STEADY, len(rows), "file,score,reason")
    assert {row.split(",")[0] for row in rows[:3]} == set(now.images[:3])
    assert all('"brightness 0.9, 0.' in row for row in rows[:3])
    assert len(rows) <= 5
    assert f"{len(rows)} of 80 images are unlike those of registration, where luck gives about 0.8" in page(found)


def test_the_page_says_what_to_do_and_cannot_be_broken_by_a_metadata_value() -> None:
    bad = drop.compare("site=a|<b>\n`", *samples(0.9, 0.5, 1), max_drop=0.05, confidence=0.95)
    found = Watch(Finding.DROP, "v1.0.0", "data/new", "test", 80, "box.mAP50", (bad,), (), 80)

    text = page(found)

    assert "run the flow `improve`" in text
    assert re.search(re.escape(r"| site=a\|&lt;b>\\n\` |") + " +80 ", text)


def test_nothing_is_said_of_few_images() -> None:
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new", "watch.min_images=50"])
    then = evaluation(arrays(0.9, 1))

    found = watch.judge(settings, "v1.0.0", then, evaluation(arrays(0.2, 2, num_images=20)))

    assert (found.finding, found.drops, found.drifts) == (Finding.TOO_FEW, (), ())


def test_images_without_a_label_file_are_unlabelled_and_not_background(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new"])
    settings = replace(settings, watch=replace(settings.watch, min_images=10))

    found = watch.judge(settings, "v1.0.0", evaluation(arrays(0.9, 1)), evaluation(arrays(0.2, 2)))

    assert found.drops == ()
    assert found.finding in (Finding.DRIFT, Finding.STEADY)


SIDE_PX = 120


def with_files(content: dict[str, np.ndarray], root: Path, grey: int) -> dict[str, np.ndarray]:
    """The arrays with boxes shrunk to images of SIDE_PX, and the images as files of one grey."""
    content = content | {"size_wh": np.full((len(content["images"]), 2), SIDE_PX, np.int32)}
    content["brightness"] = np.full(len(content["images"]), grey / 255, np.float32)
    for name in ("target_box_xyxy", "candidate.box_xyxy"):
        content[name] = content[name] * (SIDE_PX / 1200)
    for path in content["images"]:
        file = root / str(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE_PX, SIDE_PX), (grey, grey, grey)).save(file)
        label = Path(str(file).replace("images", "labels")).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.1 0.1\n")
    return content


def looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, grey: int = 200) -> tuple[str, str]:
    """watch.html and watch.svg of a champion that became worse, on images of another brightness."""
    monkeypatch.chdir(tmp_path)
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new", "gate.resamples=1000", *overrides])
    then = evaluation(with_files(arrays(0.9, 1), Path("data/home"), 60))
    now = evaluation(with_files(arrays(0.4, 2), Path("data/new"), grey))
    found = watch.judge(settings, "v1.0.0", then, now)
    watch.write(settings, found, then, pictures.Seen(Path("data/new"), now, settings.watch.conf))
    return Path("runs/watch/watch.html").read_text(), Path("runs/watch/watch.svg").read_text()


def test_the_page_shows_every_feature_and_the_images_that_speak_for_the_finding(tmp_path, monkeypatch) -> None:
    html, svg = looked_at(tmp_path, monkeypatch, "watch.page_images=5")

    assert html.count("at registration and now") == len(drift.FEATURES)
    for title, most in (("Missed most", 5), ("Least like registration", 5), ("Usual at registration", watch.NUM_USUAL)):
        section = html.split(title)[1].split('class="caption"')[0]
        assert section.count("<image") == most, title
    assert "brightness 0.7843, 0.2353 at registration" in html
    assert not re.search(r"(src|href)=.https?:", html), "it asks nothing of the network"
    assert svg.startswith("<svg xmlns=")
    assert len(svg) < watch.MAX_GALLERY_BYTES
    assert svg.count("<image") == 3 * watch.NUM_USUAL
    head, first, *rest = Path("runs/watch/unlike.csv").read_text().splitlines()
    assert (head, len(rest)) == ("file,score,reason", 79)
    assert "brightness 0.7843, 0.2353 at registration" in first


def test_the_page_goes_without_images_that_are_gone_or_not_wanted(tmp_path, monkeypatch) -> None:
    html, svg = looked_at(tmp_path, monkeypatch, "watch.page_images=0")

    assert "<image" not in html
    assert "<image" not in svg
    assert "PSI" in html


def test_an_object_is_missed_where_no_sure_detection_of_its_class_lies_on_it() -> None:
    box = np.array([[0, 0, 10, 10]] * 4, np.float32)
    targets = Targets(np.arange(4, dtype=np.int32), np.zeros(4, np.int32), box, np.full(4, 100, np.float32))
    conf, cls = np.array([0.9, 0.9, 0.1], np.float32), np.array([0, 1, 0], np.int32)
    found = Detections(np.arange(3, dtype=np.int32), cls, conf, box[:3], {})
    images = Evaluation({}, ("x", "y"), ("box",), ("a", "b", "c", "d"), {}, targets, {"candidate": Model("candidate", {}, found)})
    seen = pictures.Seen(Path(), images, 0.25)

    assert seen.missed().tolist() == [False, True, True, True]
    assert pictures.most_missed(seen, 2) == [1, 2]


def test_images_are_ranked_by_the_features_that_drifted_alone() -> None:
    rng = np.random.default_rng(0)
    then = {"brightness": rng.normal(0.3, 0.05, 400), "size": np.full(400, 640.0)}
    now = {"brightness": np.array([0.3, 0.9, 0.5]), "size": np.array([9000.0, 640.0, 640.0])}
    real = drift.Drift("brightness", 1.0, 0.1, 0.3, 0.5, True)
    steady = drift.Drift("size", 0.0, 0.1, 640, 640, False)

    order = np.argsort(-unlike.unlikeness(then, now, [real, steady]))

    assert order.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("then", "now", "bars"),
    [
        (np.full(9, 640.0), np.full(9, 640.0), pictures.NUM_BINS),
        (np.array([0.0, 1, 1, 2]), np.array([2.0, 4]), 5),
        (np.linspace(0, 1, 50), np.linspace(0, 2, 50), pictures.NUM_BINS),
    ],
    ids=["one value", "counts have a bar each", "continuous"],
)
def test_a_histogram_has_bins_that_fit_the_values(then: np.ndarray, now: np.ndarray, bars: int) -> None:
    svg = pictures.histogram("size", then, now)

    area = re.search(r'<polygon points="([^"]+)" class="was"', svg)
    assert area
    assert len(area[1].split()) == 2 * bars + 2
    assert "nan" not in svg


def test_an_image_without_a_label_file_does_not_count_as_background(tmp_path, monkeypatch) -> None:
    """The images of registration, of which a third lost their label files and another one's file is empty."""
    monkeypatch.chdir(tmp_path)
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new", "watch.min_images=40", "gate.resamples=1000"])
    content = with_files(arrays(0.9, 1), Path("data/new"), 60)
    gone = [i for i in range(80) if i % 3 == 0]
    for i in gone:
        Path("data/new", str(content["images"][i]).replace("images", "labels")).with_suffix(".txt").unlink()
    kept = ~np.isin(content["target_img"], gone)
    partly = content | {name: own[kept] for name, own in content.items() if name.startswith("target_")}

    then, now = evaluation(content), evaluation(partly)
    found = watch.judge(settings, "v1.0.0", then, now)
    few = watch.judge(replace(settings, watch=replace(settings.watch, min_images=60)), "v1", then, now)

    assert (found.finding, found.labelled, found.drops[0].images) == (Finding.STEADY, 53, 53)
    assert abs(found.drops[0].change) < 0.05
    assert "53 of 80 images have a label file; the metric is measured on these" in page(found)
    assert (few.drops, few.labelled) == ((), 53)
    assert "too few for the metric" in page(few)
