"""Guards: each can be off, holds at its limit, and fails with its figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.common import params
from tasks.common.errors import EvaluationError
from tasks.common.lineage import KeptSplit, Lineage
from tasks.gate import decide, run
from tasks.measure.decision import Verdict
from tasks.measure.evaluation import JUDGED, Evaluation
from tests.gate_data import ROOT, gate_params, parse, random_evaluation, random_files, remeasure, write_files

OFF = ("max_class_drop=null", "max_metric_drop=null", "max_golden_drop=null")


def forgetting_class(lost: int, num_images: int = 60) -> Evaluation:
    """A candidate that is better in all and detects nothing of one class."""
    content, arrays = random_files(num_images=num_images, num_classes=4, found=(0.5, 0.99), task="detect")
    gone = (arrays["candidate.pred_cls"] == lost) & arrays["candidate.tp_box"].any(1)
    for name in [name for name in arrays if name.startswith("candidate.")]:
        arrays[name] = arrays[name][~gone]
    return remeasure(content, arrays)


def test_all_guards_can_be_off():
    assert decide(random_evaluation(num_images=20), gate_params(*OFF)).guards == ()


def test_a_class_that_is_forgotten_is_named_with_its_figures():
    decision = decide(forgetting_class(2), gate_params())

    failed = [guard for guard in decision.guards if not guard.passed]
    assert decision.gain > 0.01
    assert decision.verdict is Verdict.REJECT
    assert [guard.name for guard in failed] == ["max_class_drop: class 2, box"]
    assert failed[0].figures["change"] < -0.3
    assert failed[0].figures["high"] < 0
    assert decision.reasons[0].startswith("max_class_drop: class 2, box: AP changed by -0.")


def test_a_class_with_few_objects_is_shown_and_not_enforced():
    decision = decide(forgetting_class(2), gate_params("class_min_instances=1000"))

    assert not [guard for guard in decision.guards if guard.name.startswith("max_class_drop")]
    assert decision.per_class["class 2"]["box.mAP50"].change < -0.3


def test_a_class_may_drop_as_much_as_is_allowed():
    assert all(guard.passed for guard in decide(forgetting_class(2), gate_params("max_class_drop=1.0")).guards)


def test_a_drop_that_may_be_noise_holds_and_says_so():
    content, arrays = random_files(num_images=12, num_classes=2, found=(0.72, 0.7), task="detect", seed=2)
    evaluation = parse(content, arrays)
    limits = gate_params("max_class_drop=0", "class_min_instances=1")

    guards = [guard for guard in decide(evaluation, limits).guards if guard.name.startswith("max_class_drop")]

    noisy = [guard for guard in guards if guard.figures["change"] < 0]
    assert noisy
    assert all(guard.passed and guard.text.endswith("it may be noise") for guard in noisy)


def test_without_a_confidence_a_drop_alone_fails():
    content, arrays = random_files(num_images=12, num_classes=2, found=(0.72, 0.7), task="detect", seed=2)

    decision = decide(parse(content, arrays), gate_params("confidence=null", "max_class_drop=0", "class_min_instances=1"))

    assert [guard.passed for guard in decision.guards if guard.figures["change"] < 0]
    assert not any(guard.passed for guard in decision.guards if guard.figures["change"] < 0)


def test_more_enforced_classes_make_wider_intervals():
    content, arrays = random_files(num_images=60, num_classes=4, seed=5)
    rare = arrays["target_cls"] == 3
    kept = ~rare | (np.cumsum(rare) <= 18)
    for name in [name for name in arrays if name.startswith("target_")]:
        arrays[name] = arrays[name][kept]
    evaluation = remeasure(content, arrays)

    widths = []
    for least in (1, 19):
        guards = {guard.name: guard.figures for guard in decide(evaluation, gate_params(f"class_min_instances={least}")).guards}
        widths.append(guards["max_class_drop: class 0, box"]["high"] - guards["max_class_drop: class 0, box"]["low"])
        assert ("max_class_drop: class 3, box" in guards) == (least == 1)

    assert widths[0] > widths[1]


def test_the_other_metrics_may_not_drop():
    content, arrays = random_files(num_images=60, found=(0.6, 0.9))
    arrays["candidate.tp_mask"][:, 1:] = False

    decision = decide(remeasure(content, arrays), gate_params("max_class_drop=null"))

    assert decision.verdict is Verdict.REJECT
    assert [guard.name for guard in decision.guards if not guard.passed] == ["max_metric_drop: mask.mAP50-95"]


@pytest.mark.parametrize(
    ("override", "failed"),
    [
        ("min_precision=0.8", []),
        ("min_precision=0.81", ["min_precision: box.precision", "min_precision: mask.precision"]),
        ("min_recall=0.7", []),
        ("min_recall=0.71", ["min_recall: box.recall", "min_recall: mask.recall"]),
        ("min_metric=0.1", []),
        ("min_metric=0.99", ["min_metric: box.mAP50"]),
        ("max_size_ratio=1.1", []),
        ("max_size_ratio=1.09", ["max_size_ratio"]),
        ("max_latency_ratio=1.5", []),
        ("max_latency_ratio=1.4", ["max_latency_ratio"]),
    ],
)
def test_a_limit_is_inclusive_and_names_what_it_refuses(override, failed):
    evaluation = random_evaluation(num_images=20, found=(0.5, 0.95))

    decision = decide(evaluation, gate_params(*OFF, override), latency_ms={"baseline": 10.0, "candidate": 15.0})

    assert [guard.name for guard in decision.guards if not guard.passed] == failed
    assert decision.verdict is (Verdict.REJECT if failed else Verdict.PROMOTE)


@pytest.mark.parametrize("latency_ms", [None, {"baseline": 10.0}, {"baseline": 10.0, "candidate": float("nan")}])
def test_a_latency_that_was_not_measured_is_an_error(latency_ms):
    with pytest.raises(EvaluationError, match=r"latency_ms of the (candidate|baseline)"):
        decide(random_evaluation(num_images=20), gate_params(*OFF, "max_latency_ratio=2"), latency_ms=latency_ms)


def test_forgetting_the_golden_set_is_named():
    better, older = random_evaluation(found=(0.6, 0.9)), random_evaluation(num_images=60, found=(0.9, 0.6), seed=7)

    decision = decide(replace(better, golden=older), gate_params())

    assert decision.verdict is Verdict.REJECT
    assert [guard.name for guard in decision.guards if not guard.passed] == ["max_golden_drop: golden, box.mAP50"]


def test_keeping_the_golden_set_holds():
    better, older = random_evaluation(found=(0.6, 0.9)), random_evaluation(seed=7, found=(0.8, 0.8))

    decision = decide(replace(better, golden=older), gate_params())

    assert decision.verdict is Verdict.PROMOTE
    assert decision.guards[-1].name == "max_golden_drop: golden, box.mAP50"


def golden_sets(found: dict[str, tuple[float, float]], shared: int = 0) -> Evaluation:
    """The gate splits of two versions with 60 images each, of which reference and candidate find the shares `found`.

    The first `shared` images of the second are in the gate split of the first too.
    """
    (newer, newer_share), (older, older_share) = found.items()
    content, arrays = random_files(num_images=60, found=newer_share, seed=7)
    _, more = random_files(num_images=60, found=older_share, seed=8)
    joined = {"iou_thresholds": arrays["iou_thresholds"]}
    for name, array in arrays.items():
        if name not in joined:
            shift = 60 if name.endswith("img") else 0
            joined[name] = np.concatenate([array, more[name] + shift if shift else more[name]])
    joined["images"] = np.array([f"{version}/{i}.jpg" for version in (newer, older) for i in range(60)])
    joined[f"meta.{JUDGED}"] = np.array([newer] * 60 + [f"{newer} {older}"] * shared + [older] * (60 - shared))
    content["split"] |= {"images": 120, "instances": len(joined["target_cls"])}
    return remeasure(content, joined)


def test_the_guard_looks_at_every_golden_set_and_names_the_version_that_was_lost():
    better = random_evaluation(found=(0.6, 0.9), reference="champion")
    golden = golden_sets({"v1.1.0": (0.7, 0.95), "v1.0.0": (0.8, 0.7)})
    kept = tuple(KeptSplit(version, "", "") for version in ("v1.1.0", "v1.0.0", "v0.9.0"))

    decision = decide(replace(better, golden=renamed(golden)), gate_params(), lineage=Lineage("v1.1.0", golden=kept))

    sets = {part.name: part.comparison for part in decision.golden}
    assert list(sets) == ["all", "v1.1.0", "v1.0.0", "v0.9.0"]
    assert sets["v0.9.0"] is None
    assert sets["all"].change > 0
    assert decision.verdict is Verdict.REJECT
    assert [guard.name for guard in decision.guards if not guard.passed] == ["max_golden_drop: v1.0.0, box.mAP50"]
    assert decision.reasons[0].startswith("max_golden_drop: v1.0.0, box.mAP50: relative value changed by -0.")


def renamed(golden: Evaluation) -> Evaluation:
    """The same with the baseline as the champion."""
    champion = replace(golden.models["baseline"], name="champion")
    return replace(golden, models={"champion": champion, "candidate": golden.models["candidate"]}, reference_name="champion")


def test_an_image_that_two_versions_were_judged_on_counts_in_both_golden_sets():
    golden = golden_sets({"v1.1.0": (0.7, 0.7), "v1.0.0": (0.7, 0.7)}, shared=25)

    decision = decide(replace(random_evaluation(), golden=golden), gate_params())

    assert {part.name: part.comparison.images for part in decision.golden} == {"all": 120, "v1.1.0": 85, "v1.0.0": 60}


def test_more_golden_sets_make_wider_intervals():
    golden = golden_sets({"v1.1.0": (0.7, 0.7), "v1.0.0": (0.7, 0.7)})
    alone = golden.where(np.arange(120) >= 60)

    one, three = (decide(replace(random_evaluation(), golden=part), gate_params()).golden for part in (alone, golden))

    assert [part.name for part in one] == ["v1.0.0"]
    narrow, wide = (part[-1].comparison.gain_interval for part in (one, three))
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_golden_set_that_was_not_measured_is_an_error(workspace):
    write_files(workspace, *random_files(num_images=20))

    with pytest.raises(EvaluationError, match=r"evaluate\.golden is set, but its result is missing"):
        run(params.load(overrides=["evaluate.golden=data/old"]))


def test_latency_is_read_from_the_measured_speeds(workspace):
    write_files(workspace, *random_files(num_images=20, found=(0.5, 0.95)))
    (workspace / "reports/speed.json").write_text('{"baseline": {"latency_ms": 2}, "candidate": {"latency_ms": 5}}')

    decision = run(params.load(overrides=["gate.max_latency_ratio=2"]))

    assert "max_latency_ratio: 5 ms an image against 2: 2.500 times, at most 2.000 is allowed" in decision.reasons


def test_a_class_in_few_groups_is_shown_and_fails_no_guard():
    decision = decide(forgetting_class(2), gate_params("group_by={column: site}"))

    guard = next(guard for guard in decision.guards if guard.name == "max_class_drop: class 2, box")
    assert guard.passed
    assert guard.figures["change"] < -0.3
    assert "low" not in guard.figures
    assert guard.text.endswith("beyond that, and fewer than 10 independent groups of images show nothing")
