"""The golden set that keeps itself: gate splits of earlier champions, less what today's data still holds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.common import params as parameters
from tasks.common.dataset import Dataset, digest, label_file, read_dataset
from tasks.common.errors import DatasetError
from tasks.common.lineage import First, KeptSplit, Lineage, Step
from tasks.common.metadata import read_metadata
from tasks.common.params import Params
from tasks.evaluate.golden import FOLDER, LEAST, golden_set
from tasks.gate.cumulative import since_first
from tasks.gate.golden import compare_golden
from tasks.measure.evaluation import JUDGED, Evaluation
from tests.gate_data import gate_params, random_evaluation
from tests.workspace import ROOT

NAMES = ("bolt", "nut")


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Any:
    with chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def params() -> Params:
    return parameters.load(ROOT / "params.yaml", ["evaluate.golden=auto"])


def dataset(folder: str, split: str, seeds: Sequence[int], names: Sequence[str] = NAMES, cls: int = 0) -> Dataset:
    """A dataset whose images, one for each seed, are all in one split and hold an object of the class `cls`."""
    root = Path(folder)
    for seed in seeds:
        image = root / "images" / split / f"{seed}.png"
        label_file(image).parent.mkdir(parents=True, exist_ok=True)
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)).save(image)
        label_file(image).write_text(f"{cls} 0.5 0.5 0.25 0.25\n")
    (root / "data.yaml").write_text(
        "".join(f"{key}: images/{split}\n" for key in ("train", "val", "test")) + f"names: {list(names)}\n"
    )
    return read_dataset(root)


def kept(version: str, seeds: Sequence[int], names: Sequence[str] = NAMES, cls: int = 0) -> KeptSplit:
    part = dataset(f"models/registered/golden/{version}", "test", seeds, names, cls)
    return KeptSplit(version, part.root.as_posix(), digest(part.root, part.splits["test"]))


def measured(params: Params, today: Dataset, *splits: KeptSplit) -> tuple[Dataset, dict[str, str]] | None:
    """The golden set and the text of each label file of it, by the image's path below it."""
    with golden_set(params, today, Lineage("v3.0.0", golden=splits)) as golden:
        if golden is None:
            return None
        images = golden.dataset.splits["test"]
        assert golden.split["images"] == len(images)
        assert golden.split["sha256"] == digest(golden.dataset.root, images)
        return golden.dataset, {image.relative_to(FOLDER).as_posix(): label_file(image).read_text() for image in images}


def test_images_that_today_still_has_are_left_out_whatever_they_are_called(params: Params) -> None:
    today = dataset("data/now", "train", range(5))
    Path("data/now/images/train/0.png").rename("data/now/images/train/other.png")
    found = measured(params, read_dataset(today.root), kept("v2.0.0", range(LEAST + 5)))

    assert found is not None
    assert sorted(found[1]) == sorted(f"v2.0.0/images/test/{seed}.png" for seed in range(5, LEAST + 5))
    assert not FOLDER.exists()


def test_an_image_of_two_splits_counts_once_with_its_newer_labels(params: Params) -> None:
    newer, older = kept("v2.0.0", range(15), cls=1), kept("v1.0.0", range(10, 25), cls=0)
    found = measured(params, dataset("data/now", "train", range(50, 52)), newer, older)

    assert found is not None
    assert len(found[1]) == 25
    assert {text[0] for path, text in found[1].items() if path.startswith("v2")} == {"1"}
    assert sorted(path for path in found[1] if path.startswith("v1")) == sorted(
        f"v1.0.0/images/test/{i}.png" for i in range(15, 25)
    )


def test_each_image_says_which_versions_were_judged_on_it(params: Params) -> None:
    newer, older = kept("v2.0.0", range(15)), kept("v1.0.0", range(10, 25))

    with golden_set(params, dataset("data/now", "train", range(20, 22)), Lineage("v3.0.0", golden=(newer, older))) as golden:
        assert golden is not None
        images = [image.relative_to(FOLDER).as_posix() for image in golden.dataset.splits["test"]]
        versions = dict(zip(images, read_metadata(FOLDER, images)[JUDGED], strict=True))

    assert versions == {
        **{f"v2.0.0/images/test/{i}.png": "v2.0.0" for i in range(10)},
        **{f"v2.0.0/images/test/{i}.png": "v2.0.0 v1.0.0" for i in range(10, 15)},
        **{f"v1.0.0/images/test/{i}.png": "v1.0.0" for i in (15, 16, 17, 18, 19, 22, 23, 24)},
    }


@pytest.mark.slow
def test_the_harness_measures_every_golden_set_by_its_version() -> None:
    from tasks.measure import yolo
    from tasks.measure.harness import measure

    params = parameters.load(ROOT / "params.yaml", ["evaluate.golden=auto", "train.imgsz=64", "train.device=cpu"])
    yolo.prepare()
    model = yolo.load(ROOT / "models/tiny-det.yaml")
    names = yolo.class_names(model)
    splits = kept("v2.0.0", range(15), names), kept("v1.0.0", range(10, 25), names)
    today = dataset("data/now", "train", range(50, 52), names)

    with golden_set(params, today, Lineage("v3.0.0", golden=splits)) as golden:
        assert golden is not None
        both = {"baseline": model, "candidate": model}
        found = measure(both, {name: {} for name in both}, golden.dataset, golden.split, params)

    sets = compare_golden(found, gate_params(), ["v2.0.0", "v1.0.0", "v0.9.0"])
    num_images = [(part.name, part.comparison and part.comparison.images) for part in sets]
    assert num_images == [("all", 25), ("v2.0.0", 15), ("v1.0.0", 15), ("v0.9.0", None)]


def test_classes_are_known_by_name_and_only_those_that_every_split_names_count(params: Params) -> None:
    renamed = replace(params, data=replace(params.data, renamed_classes={"screw": "bolt"}))
    older = kept("v1.0.0", range(15), names=("nut", "screw"), cls=1)
    newer = kept("v2.0.0", range(20, 35), names=("bolt", "nut", "plate"), cls=2)
    found = measured(renamed, dataset("data/now", "train", range(50, 52), names=("plate", "bolt", "nut")), newer, older)

    assert found is not None
    assert found[0].names == ("bolt", "nut")
    assert {text.split(" ")[0] for path, text in found[1].items() if path.startswith("v1")} == {"0"}
    assert {text for path, text in found[1].items() if path.startswith("v2")} == {""}


@pytest.mark.parametrize(
    ("num_kept", "said"), [(LEAST - 1, "all but 19 images"), (1, "all but 1 image of"), (0, "still holds all images of")]
)
def test_too_few_images_are_no_golden_set(params: Params, num_kept: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    split = kept("v1.0.0", range(LEAST - 1))
    today = dataset("data/now", "train", range(num_kept, LEAST))

    with caplog.at_level("INFO"):
        assert measured(params, today, split) is None

    assert said in caplog.text


def test_a_label_file_with_a_byte_order_mark_is_read_as_training_reads_it(params: Params) -> None:
    folder = Path(kept("v1.0.0", range(30)).folder)
    (folder / "labels/test/3.txt").write_text("1 0.5 0.5 0.25 0.25\n", encoding="utf-8-sig")
    split = KeptSplit("v1.0.0", folder.as_posix(), digest(folder, read_dataset(folder).splits["test"]))

    found = measured(params, dataset("data/now", "train", range(50, 52)), split)

    assert found is not None
    assert found[1]["v1.0.0/images/test/3.png"] == "1 0.5 0.5 0.25 0.25\n"


def test_nothing_labelled_is_no_golden_set(params: Params) -> None:
    part = read_dataset(Path(kept("v1.0.0", range(30)).folder))
    for image in part.splits["test"]:
        label_file(image).write_text("")
    split = KeptSplit("v1.0.0", part.root.as_posix(), digest(part.root, part.splits["test"]))

    assert measured(params, dataset("data/now", "train", range(50, 52)), split) is None


@pytest.mark.parametrize("spoil", ["folder", "label"])
def test_a_kept_split_that_is_gone_or_another_one_says_what_to_do(params: Params, spoil: str) -> None:
    split = kept("v1.0.0", range(30))
    if spoil == "folder":
        shutil.rmtree(split.folder)
    else:
        Path(split.folder, "labels/test/3.txt").write_text("1 0.5 0.5 0.25 0.25\n")

    with pytest.raises(DatasetError, match=r"not here|not the files that v1\.0\.0 was judged on") as caught:
        measured(params, dataset("data/now", "train", range(50, 52)), split)
    assert "champion --pin" in caught.value.fix


def test_a_temporary_copy_finds_the_kept_split_in_the_workspace_around_it(params: Params) -> None:
    split = kept("v1.0.0", range(30))
    copy = Path(".dvc/tmp/exps/temporary")
    copy.mkdir(parents=True)

    with chdir(copy):
        found = measured(params, dataset("data/now", "train", range(50, 52)), split)

    assert found is not None
    assert len(found[1]) == 30


def line(*steps: Step, first: bool = True) -> Lineage:
    return Lineage("v1.2.0", First("v1.0.0", "first.pt", "0" * 32) if first else None, steps)


def with_first(evaluation: Evaluation) -> Evaluation:
    """The baseline as the first version, beside the champion and the candidate."""
    first = replace(evaluation.models["champion"], name="first")
    return replace(evaluation, models={**evaluation.models, "first": first})


def test_the_gain_since_the_first_version_stands_beside_its_steps() -> None:
    better = with_first(random_evaluation(num_images=60, reference="champion", found=(0.5, 0.9)))
    steps = (Step("v1.1.0", "box.mAP50", 0.10), Step("v1.2.0", "box.mAP50", 0.20))

    cumulative = since_first(better, line(*steps), 0.5, gate_params())
    mixed = since_first(better, line(*steps, Step("v1.3.0", "box.mAP50-95", 0.1)), 0.5, gate_params())
    on_golden = since_first(replace(better, golden=better), line(*steps), 0.5, gate_params())

    assert cumulative is not None
    assert mixed is not None
    assert on_golden is not None
    assert (cumulative.first, cumulative.on_golden, cumulative.num_steps) == ("v1.0.0", False, 3)
    assert cumulative.steps_together == pytest.approx(1.1 * 1.2 * 1.5 - 1)
    assert cumulative.comparison.gain is not None
    assert cumulative.comparison.gain > 0.2
    assert cumulative.comparison.gain_interval is not None
    assert mixed.steps_together is None
    assert on_golden.on_golden


def test_in_the_second_turn_it_would_be_the_gain_once_more() -> None:
    evaluation = random_evaluation(num_images=30, reference="champion")
    step = Step("v1.2.0", "box.mAP50", 0.1)

    assert since_first(evaluation, Lineage("v1.0.0"), 0.1, gate_params()) is None
    assert since_first(evaluation, line(step, first=False), 0.1, gate_params()) is None  # the first version is lost
    golden = since_first(replace(evaluation, golden=evaluation), Lineage("v1.0.0"), 0.1, gate_params())
    assert golden is not None
    assert (golden.first, golden.num_steps) == ("v1.0.0", 1)
