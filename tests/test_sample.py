"""The embedded dataset: the same bytes for the same seed, labels that hold, and no half-drawn folder."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import shapely

from tasks import sample
from tasks.common import params as parameters
from tasks.common import paths
from tasks.common.dataset import digest, label_file, read_dataset
from tasks.common.params import Params
from tasks.sample.draw import draw_dataset, draw_picture, label_lines
from tasks.sample.parts import MIN_VISIBLE, Label, lay_parts
from tasks.sample.shapes import KINDS, MAX_SIZE, MIN_SIZE, Pose, regular_polygon

ROOT = Path(__file__).parents[1]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def few() -> Params:
    """The repository's parameters with 24, 8 and 8 images of 64 px."""
    shipped = parameters.load(ROOT / "params.yaml")
    return replace(shipped, sample=replace(shipped.sample, imgsz=64, num_train=24, num_val=8, num_test=8))


@pytest.fixture(scope="module")
def labels() -> list[Label]:
    """The labels of 60 images, without their pixels."""
    return [label for seed in range(60) for label in lay_parts(np.random.default_rng(seed), 192)[1]]


def sha256(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.mark.slow
def test_another_process_draws_the_same_pixels_and_labels() -> None:
    picture = draw_picture(0, "test", 3, 96)
    program = (
        "import hashlib; from tasks.sample.draw import draw_picture, label_lines; p = draw_picture(0, 'test', 3, 96);"
        "print(hashlib.sha256(p.image.tobytes()).hexdigest()); print(label_lines(p.labels), end='')"
    )

    other = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert other.stdout == f"{sha256(picture.image)}\n{label_lines(picture.labels)}"


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, few: Params) -> None:
    folders = [tmp_path / name for name in ("one", "three")]
    for folder, num_workers in zip(folders, (1, 3), strict=True):
        draw_dataset(few.sample, folder, num_workers)

    one, three = (digest(folder, read_dataset(folder).images) for folder in folders)

    assert one == three


@pytest.mark.parametrize(
    "other", [(1, "test", 3, 96), (0, "val", 3, 96), (0, "test", 4, 96)], ids=["other seed", "other split", "other index"]
)
def test_seed_split_and_index_each_make_another_image(other: tuple[int, str, int, int]) -> None:
    assert sha256(draw_picture(*other).image) != sha256(draw_picture(0, "test", 3, 96).image)


@pytest.mark.slow
def test_the_dataset_has_the_asked_counts_and_the_layout_that_the_other_stages_read(
    workspace: Path, few: Params, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        drawn = sample.run(few)

    dataset = read_dataset(paths.SAMPLE)
    lines = [line for image in dataset.images for line in label_file(image).read_text().splitlines()]
    assert {split: len(images) for split, images in dataset.splits.items()} == {"train": 24, "val": 8, "test": 8}
    assert dataset.names == ("washer", "nut", "bolt", "bracket")
    assert (drawn.path, drawn.num_images, drawn.num_objects) == (paths.SAMPLE, 40, len(lines))
    assert "path" not in (paths.SAMPLE / "data.yaml").read_text()
    assert {line.split()[0] for line in lines} == {"0", "1", "2", "3"}
    assert caplog.messages == [f"sample: 40 images, {len(lines)} objects in {drawn.seconds:.1f} s, data/sample"]


def test_every_label_is_a_simple_polygon_inside_the_image(labels: list[Label]) -> None:
    assert all(len(label.polygon) >= 3 for label in labels)
    assert all(label.polygon.min() >= 0 and label.polygon.max() <= 1 for label in labels)
    assert [label for label in labels if not shapely.Polygon(label.polygon).is_valid] == []


def test_a_written_label_is_the_class_and_its_corners() -> None:
    label = Label(2, np.array([[0.1, 0.2], [0.5, 0.25], [1.0, 1 / 3]]), 1.0)

    assert label_lines((label, label)) == "2 0.10000 0.20000 0.50000 0.25000 1.00000 0.33333\n" * 2


def test_every_kind_is_common(labels: list[Label]) -> None:
    counts = Counter(label.class_id for label in labels)

    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > len(labels) / 8


def test_a_fifth_kind_appears_where_it_is_named_and_the_order_gives_the_ids() -> None:
    parts = [part for seed in range(40) for part in lay_parts(np.random.default_rng(seed), 64, ("plate", "washer"))[0]]

    assert {(part.class_id, part.kind) for part in parts} == {(0, "plate"), (1, "washer")}


def test_an_image_has_two_to_five_parts() -> None:
    counts = {len(lay_parts(np.random.default_rng(seed), 64)[1]) for seed in range(60)}

    assert counts == {2, 3, 4, 5}


def test_a_part_in_full_view_has_the_promised_size(labels: list[Label]) -> None:
    sizes = [np.ptp(label.polygon, axis=0).max() for label in labels if label.visible_share > 0.995]

    pixel = 1 / 192
    assert len(sizes) > 50
    assert min(sizes) >= MIN_SIZE - pixel
    assert max(sizes) <= MAX_SIZE + pixel
    assert max(sizes) - min(sizes) > 0.2


def test_at_least_half_of_every_part_can_be_seen(labels: list[Label]) -> None:
    assert min(label.visible_share for label in labels) >= MIN_VISIBLE
    assert any(label.visible_share < 0.8 for label in labels), "nothing overlaps"


def test_the_label_is_the_outline_less_what_lies_on_top() -> None:
    for seed in range(20):
        parts, labels = lay_parts(np.random.default_rng(seed), 192)
        square = shapely.box(0, 0, 192, 192)
        for i, (part, label) in enumerate(zip(parts, labels, strict=True)):
            above = shapely.union_all([shapely.Polygon(other.outline_px) for other in parts[i + 1 :]])
            expected = shapely.Polygon(part.outline_px).intersection(square).difference(above)
            drawn = shapely.Polygon(label.polygon * 192)

            overlap = expected.intersection(drawn).area / expected.union(drawn).area
            assert overlap > 0.9, (seed, i, overlap)


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_is_a_simple_polygon_with_its_holes_inside(kind: str) -> None:
    for seed in range(30):
        shape = KINDS[kind](np.random.default_rng(seed))
        outline = shapely.Polygon(shape.outline)

        assert outline.is_valid
        assert all(outline.contains(shapely.Polygon(hole)) for hole in shape.holes)


def test_a_pose_maps_to_pixels_and_back() -> None:
    pose = Pose(np.array([[0.0, -8.0], [10.0, 0.0]]), np.array([20.5, 12.5]))

    x, y = pose.local_xy(32)

    corner = pose.to_pixels(np.array([[0.4, -0.5]]))[0]
    column, row = (corner - 0.5).astype(int)
    assert (x[row, column], y[row, column]) == pytest.approx((0.4, -0.5))
    assert pose.to_pixels(regular_polygon(4)).mean(axis=0) == pytest.approx([20.5, 12.5])


@pytest.mark.slow
def test_an_older_sample_is_replaced_and_nothing_else_is_left(workspace: Path, few: Params) -> None:
    unfinished = workspace / "data/.sample.unfinished"
    for stale in (paths.SAMPLE / "images/train/old.jpg", unfinished / "of a killed run.jpg"):
        stale.parent.mkdir(parents=True)
        stale.touch()

    sample.run(few)

    assert [path.name for path in (workspace / "data").iterdir()] == ["sample"]
    assert not (paths.SAMPLE / "images/train/old.jpg").exists()
    assert len(list((paths.SAMPLE / "images/train").iterdir())) == 24


@pytest.mark.slow
def test_a_failed_drawing_leaves_nothing(workspace: Path) -> None:
    failed = draw_with_files_of_at_most_1_kb(workspace)

    assert "File too large" in failed.stderr
    assert failed.returncode == 1
    assert list((workspace / "data").iterdir()) == []


@pytest.mark.slow
def test_a_failed_drawing_keeps_the_older_sample(workspace: Path) -> None:
    older = paths.SAMPLE / "data.yaml"
    older.parent.mkdir(parents=True)
    older.write_text("older")

    failed = draw_with_files_of_at_most_1_kb(workspace)

    assert failed.returncode == 1
    assert older.read_text() == "older"
    assert [path.name for path in (workspace / "data").iterdir()] == ["sample"]


@pytest.mark.slow
def test_a_killed_drawing_leaves_no_sample_and_no_worker(workspace: Path) -> None:
    process = subprocess.Popen(command(workspace), env=environment(), stderr=subprocess.DEVNULL)
    train = workspace / "data/.sample.unfinished/images/train"
    wait_until(lambda: train.is_dir() and len(list(train.iterdir())) > 0)
    children = psutil.Process(process.pid).children(recursive=True)

    process.kill()
    process.wait()

    psutil.wait_procs(children, timeout=10)
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert not paths.SAMPLE.exists()


def command(workspace: Path) -> list[str]:
    """The stage as `dvc repro` starts it, in a workspace with the repository's parameters."""
    (workspace / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return [sys.executable, "-m", "tasks.sample", "--set", "sample.num_train=100000"]


def draw_with_files_of_at_most_1_kb(workspace: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage where labels can be written and images cannot."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    return subprocess.run(command(workspace), env=environment(), preexec_fn=limit, capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def wait_until(is_true: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)
