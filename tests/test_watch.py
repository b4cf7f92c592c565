"""The champion on new data: what is luck, what is a drop, and what is another distribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks import watch
from tasks.common import params
from tasks.watch import drift, drop
from tasks.watch.page import page
from tests.gate_data import ROOT, gate_params, random_files

RULE = gate_params("slices=[site]")


def arrays(quality: float, seed: int, num_images: int = 80) -> dict[str, np.ndarray]:
    """The arrays of a model that finds the share `quality` of the objects."""
    return random_files(num_images=num_images, found=(quality, quality), seed=seed)[1]


def samples(then: float, now: float, seed: int, num_images: int = 80) -> tuple[drop.Sample, drop.Sample]:
    first, second = arrays(then, seed, num_images), arrays(now, seed + 1000, num_images)
    return drop.sample(first, "candidate", RULE), drop.sample(second, "candidate", RULE)


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
    kept = drop.parts(content, ["site", "absent"])

    assert {name: int(own.sum()) for name, own in kept.items()} == {"site=a": 20, "site=b": 40}
    whole, part = (drop.sample(content, "candidate", RULE, own) for own in (None, kept["site=a"]))
    assert (whole.images, part.images) == (60, 20)
    assert part.instances == int((np.isin(content["target_img"], np.flatnonzero(kept["site=a"]))).sum())


def test_psi_is_zero_for_the_same_values_and_grows_with_the_shift() -> None:
    values = np.random.default_rng(0).normal(size=500)

    found = [drift.psi(values, values + shift)[0] for shift in (0.0, 0.5, 1.0)]

    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert 0.1 < found[1] < found[2]


@pytest.mark.parametrize("sizes", [(48, 48), (256, 60), (1000, 1000)], ids=str)
def test_the_noise_level_is_exceeded_as_seldom_as_it_says(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    above = 0
    for _ in range(600):
        value, num_bins = drift.psi(rng.normal(size=sizes[0]), rng.normal(size=sizes[1]))
        above += value > drift.noise_level(*sizes, num_bins)

    assert above <= 15  # 6 are expected at ALPHA = 1 %


def test_values_never_seen_before_are_a_drift() -> None:
    then, now = np.full(60, 640.0), np.full(60, 1280.0)

    found = drift.compare({"size": then}, {"size": now}, max_psi=0.25)[0]

    assert found.is_real
    assert not drift.compare({"size": then}, {"size": then}, max_psi=0.25)[0].is_real


def test_the_page_says_what_to_do_and_cannot_be_broken_by_a_metadata_value() -> None:
    bad = drop.compare("site=a|<b>\n`", *samples(0.9, 0.5, 1), max_drop=0.05, confidence=0.95)
    found = watch.Watch(watch.Finding.DROP, "v1.0.0", "data/new", "test", 80, "box.mAP50", (bad,), ())

    text = page(found)

    assert "run the flow `improve`" in text
    assert "| site=a/(b) ' | 80 |" in text


def test_nothing_is_said_of_few_images() -> None:
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new", "watch.min_images=50"])
    then = watch.Registered({}, arrays(0.9, 1))

    found = watch.judge(settings, "v1.0.0", then, arrays(0.2, 2, num_images=20))

    assert (found.finding, found.drops, found.drifts) == (watch.Finding.TOO_FEW, (), ())


def test_images_without_a_label_file_are_unlabelled_and_not_background(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = params.load(ROOT / "params.yaml", ["watch.path=data/new"])
    settings = replace(settings, watch=replace(settings.watch, min_images=10))

    found = watch.judge(settings, "v1.0.0", watch.Registered({}, arrays(0.9, 1)), arrays(0.2, 2))

    assert found.drops == ()
    assert found.finding in (watch.Finding.DRIFT, watch.Finding.STEADY)
