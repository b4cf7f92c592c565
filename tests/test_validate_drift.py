"""The dataset is compared with the one that was accepted before it, and never with itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasks.validate import drift
from tests import validate_data
from tests.validate_data import SQUARE, TRIANGLE, add_image, check, failing

data = validate_data.data


def relabel(folder: Path, old: str, new: str) -> None:
    for file in sorted(folder.glob("labels/*/*.txt")):
        file.write_text(file.read_text().replace(old, new))


@pytest.mark.slow
def test_the_first_dataset_is_compared_with_nothing_and_a_second_run_over_it_says_the_same(data: Path) -> None:
    check()
    first = {name: Path("reports", name).read_bytes() for name in ("accepted.json", "validation.json", "issues.parquet")}
    check()

    assert {name: Path("reports", name).read_bytes() for name in first} == first
    entry = json.loads(first["accepted.json"])["data/tiny"]
    assert entry["before"] is None
    assert entry["current"]["images"] == 8
    assert entry["current"]["classes"] == {"bolt": 8, "nut": 8}


@pytest.mark.slow
def test_a_class_that_vanished_stops_and_what_was_accepted_stays_until_it_is_deleted(data: Path) -> None:
    check()
    accepted = Path("reports/accepted.json").read_bytes()
    relabel(data, TRIANGLE, "")

    report = check()
    again = check()
    kept = Path("reports/accepted.json").read_bytes()
    Path("reports/accepted.json").unlink()
    meant = check()

    assert not report["passed"]
    assert failing(report) == failing(again) == {
        "rows-dropped": ["data.yaml: objects: 16 before, 8 now"],
        "class-vanished": ["data.yaml:6: class bolt: 8 labelled before, none now"],
        "rare-class": ["data.yaml:6: bolt: 0 labelled"],
        "class-dropped": ["data.yaml:6: class bolt: 8 labelled before, 0 now"],
    }  # fmt: skip
    assert kept == accepted
    assert "class-vanished" not in failing(meant)


@pytest.mark.slow
def test_a_change_is_told_again_when_the_changed_dataset_is_validated_again(data: Path) -> None:
    check()
    (data / "labels/train/0.txt").write_text(SQUARE)
    changed = [check("validate.max_rows_drop=0.5", "validate.max_class_drop=0.1") for _ in range(2)]
    add_image(data, "new", 99)
    grown = check("validate.max_class_drop=0")

    expected = {"class-dropped": ["data.yaml:6: class bolt: 8 labelled before, 7 now"]}
    assert [failing(report) for report in changed] == [expected, expected]
    assert failing(grown) == {}


@pytest.mark.slow
def test_another_folder_has_a_history_of_its_own(data: Path) -> None:
    check()
    validate_data.make_dataset(Path("data/other"), label=SQUARE)

    report = check("data.path=data/other")
    relabel(data, TRIANGLE, "")
    back = check()

    assert failing(report) == {"rare-class": ["data.yaml:6: bolt: 0 labelled"]}
    assert "class-vanished" in failing(back)


def test_a_file_of_accepted_datasets_that_is_broken_is_refused(data: Path) -> None:
    Path("reports").mkdir()
    Path("reports/accepted.json").write_text('{"data/tiny": [1]}')

    with pytest.raises(Exception, match=r"reports/accepted\.json: expected \{folder: \{current, before\}\}"):
        check()


def tables(num_images: int, scale: float, brightness: float, seed: int) -> dict[str, pl.DataFrame]:
    """Tables of `num_images` images with five objects each, whose boxes and looks are drawn."""
    rng = np.random.default_rng(seed)
    return {
        "images": pl.DataFrame({"num_objects": [5] * num_images, "brightness": rng.normal(brightness, 20, num_images)}),
        "labels": pl.DataFrame({
            "box_area": rng.lognormal(np.log(scale), 0.5, 5 * num_images), "box_aspect": rng.lognormal(0, 0.3, 5 * num_images),
        }),
        "classes": pl.DataFrame({"name": ["nut"], "line": [5], "num_all": [5 * num_images]}),
    }  # fmt: skip


def indices(old: dict[str, pl.DataFrame], new: dict[str, pl.DataFrame]) -> dict[str, float]:
    table = drift.drift_table(drift.profile("old", old), new, min_samples=200, min_instances=20)
    return dict(table.filter(pl.col("psi").is_not_nan()).select("what", "psi").iter_rows())


def test_larger_objects_and_darker_images_are_drift_and_another_draw_is_not() -> None:
    found = indices(tables(400, 0.01, 120, 0), tables(400, 0.02, 90, 1))
    same = indices(tables(400, 0.01, 120, 0), tables(400, 0.01, 120, 2))

    assert {what for what, psi in found.items() if psi > 0.2} == {"box area", "brightness"}
    assert max(same.values()) < 0.1
    assert same.keys() == {"class mix", "box area", "box aspect", "objects in an image", "brightness"}


def test_few_images_are_silent() -> None:
    found = indices(tables(199, 0.01, 120, 0), tables(400, 0.02, 90, 1))

    assert found.keys() == {"class mix", "box area", "box aspect"}


def test_the_index_of_equal_histograms_is_zero_and_that_of_known_ones_is_known() -> None:
    half, quarter = np.array([500.0, 500.0]), np.array([250.0, 750.0])

    assert drift.psi(half, half) == 0
    assert drift.psi(half, quarter) == pytest.approx(
        (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5), rel=0.01
    )
