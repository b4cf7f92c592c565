"""How many images should judge, before there is a model to measure it with."""

from __future__ import annotations

from tasks.adopt.splits import Plan
from tasks.common.params import GateParams
from tasks.common.text import counted
from tasks.measure.intervals import MIN_GROUPS, images_needed, minimum_detectable_gain, student_margin

SPREAD = 0.25
"""Standard error of a relative gain times the square root of the number of images. docs/gate.md: 0.20 for simulated detectors,
0.27 for the real one of the sample. The gate's own figure takes its place after the first run."""
VAL_SHARE = 0.1
TEST_SHARE = 0.2
MIN_TRAIN_SHARE = 0.5


def plan(num_images: int, gate: GateParams, seed: int, val: float | None, test: float | None) -> Plan:
    """How many images of `num_images` are to be in val and test.

    Args:
        num_images: of the whole set.
        gate: its section of params.yaml.
        seed: of the draw.
        val: share of the images; None for VAL_SHARE.
        test: likewise; None for as many as show gate.min_gain, and at most TEST_SHARE. With few images at least those
            without which the gate promotes nothing, as long as half the images still teach.
    """
    floor = min(MIN_GROUPS, int(num_images * (1 - MIN_TRAIN_SHARE) * 2 / 3))
    num_val = round(num_images * (VAL_SHARE if val is None else val))
    num_test = max(min(_needed(gate), round(num_images * TEST_SHARE)), floor) if test is None else round(num_images * test)
    return Plan(max(num_val, 1), max(num_test, 1), seed)


def words(num_test: int, gate: GateParams) -> str:
    """What a test split of this size can show, in words."""
    if num_test < MIN_GROUPS:
        return f"{counted(num_test, 'image')}: the gate promotes nothing with fewer than {MIN_GROUPS}"
    error = SPREAD / num_test**0.5
    gain = minimum_detectable_gain(error, student_margin(error, gate.confidence or 0.5, num_test), gate.min_gain)
    needed = _needed(gate)
    more = f"; about {needed:,} would detect {gate.min_gain:.2%}" if needed > num_test else ""
    images = counted(num_test, "image")
    return f"{images} reliably detect gains of about {gain:.1%} or more{more} (roughly, until there is a model)"


def _needed(gate: GateParams) -> int:
    error = SPREAD / 1000**0.5
    return images_needed(1000, error, student_margin(error, gate.confidence or 0.5, 1000), gate.min_gain) or 1000
