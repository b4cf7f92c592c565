"""The verdict: threshold, lower bound, guards, and that nothing else promotes."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tasks.common import params
from tasks.common.errors import DatasetError, EvaluationError
from tasks.gate import decide, run
from tasks.gate.rule import judge
from tasks.gate.wording import block
from tasks.measure.compare import relative_gain
from tasks.measure.decision import Decision, Evidence, Guard, Verdict, percent_of_resamples
from tasks.measure.intervals import Interval
from tests.gate_data import ROOT, gate_params, parse, random_evaluation, random_files, remeasure, same_twice, write_files

EVIDENCE = Evidence(
    **dict.fromkeys(("lower_bound", "probability_of_gain", "probability_of_min_gain", "standard_error"), 0.01),
    **dict.fromkeys(("percentile", "student", "bca"), Interval(0.01, 0.03)),
    **dict.fromkeys(("minimum_detectable_gain", "power"), 0.02),
    **dict.fromkeys(("images_needed", "resamples", "groups"), 100),
)
FAILED = (Guard("min_recall: box.recall", False, {}, "too low"),)


def above(lower_bound: float) -> Evidence:
    return dataclasses.replace(EVIDENCE, lower_bound=lower_bound)


@pytest.mark.parametrize(
    ("reference", "candidate", "percent"),
    [(0.8767, 0.9077, 3.54), (0.7524, 0.8085, 7.46), (0.5, 0.5, 0.0), (0.5, 0.25, -50.0)],
)
def test_the_gain_is_relative_to_the_reference(reference, candidate, percent):
    gain = relative_gain(candidate, reference)

    assert gain is not None
    assert round(gain * 100, 2) == percent


@pytest.mark.parametrize(
    ("gain", "evidence", "guards", "verdict"),
    [
        pytest.param((0.885467 - 0.8767) / 0.8767, above(0.001), (), "PROMOTE", id="exactly the threshold by rounding"),
        pytest.param(0.01, above(0.001), (), "PROMOTE", id="exactly the threshold"),
        pytest.param(0.009999, above(0.001), (), "REJECT", id="just below the threshold"),
        pytest.param(0.03, above(0.0), (), "INCONCLUSIVE", id="a bound of zero is not above zero"),
        pytest.param(0.03, above(-0.01), (), "INCONCLUSIVE", id="a gain that may be luck"),
        pytest.param(0.03, above(0.01), FAILED, "REJECT", id="a failed guard"),
        pytest.param(0.03, above(-0.01), FAILED, "REJECT", id="a failed guard and luck"),
        pytest.param(0.01, None, (), "PROMOTE", id="no confidence: the point alone"),
        pytest.param(0.03, None, FAILED, "REJECT", id="no confidence, a failed guard"),
        pytest.param(float("nan"), above(0.01), (), "REJECT", id="NaN gain"),
        pytest.param(0.03, above(float("nan")), (), "INCONCLUSIVE", id="NaN bound"),
    ],
)
def test_a_verdict_needs_threshold_bound_and_guards(gain, evidence, guards, verdict):
    assert judge(gain, evidence, guards, gate_params()) == verdict


@pytest.mark.parametrize(("gain", "verdict"), [(-0.02, "INCONCLUSIVE"), (0.0, "INCONCLUSIVE"), (1e-6, "PROMOTE")])
def test_without_a_confidence_the_gain_itself_must_be_above_zero(gain, verdict):
    assert judge(gain, None, (), gate_params("min_gain=-0.05", "confidence=null")) == verdict


def test_a_clear_gain_is_promoted():
    decision = decide(random_evaluation(num_images=80, found=(0.6, 0.9)), gate_params())

    assert decision.verdict is Verdict.PROMOTE
    assert decision.evidence is not None
    assert decision.evidence.lower_bound > 0
    assert decision.evidence.percentile.low <= decision.gain <= decision.evidence.percentile.high
    assert decision.evidence.probability_of_gain == 1.0
    assert decision.summary.startswith("PROMOTE: box.mAP50 ")


def test_a_clear_loss_is_rejected_with_the_classes_it_lost():
    decision = decide(random_evaluation(num_images=80, found=(0.9, 0.6)), gate_params())

    assert decision.verdict is Verdict.REJECT
    assert "is below the threshold of +1.00%" in decision.reasons[0]
    assert any(reason.startswith("max_class_drop: class 0, box") for reason in decision.reasons)


def test_a_gain_that_may_be_luck_is_inconclusive():
    decision = decide(random_evaluation(num_images=14, found=(0.70, 0.72), seed=5), gate_params())

    assert decision.gain > 0.01
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "the gain could be luck; it is not promoted by itself, a person may decide" in decision.reasons


def test_fewer_than_ten_groups_are_never_promoted():
    evaluation = random_evaluation(num_images=80, found=(0.5, 0.95))

    decision = decide(evaluation, gate_params("group_by={column: site}"))

    assert decision.evidence is not None
    assert (decision.evidence.groups, decision.evidence.lower_bound) == (4, -1.0)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons[0] == "4 independent groups of images show nothing, at least 10 are needed"
    assert not [reason for reason in decision.reasons if "images would show" in reason or "resamples" in reason]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(images)", "1 group of images shows"), (r"/(site\d)_", "4 independent groups of images show")],
    ids=["one", "four"],
)
def test_few_groups_have_no_figure_that_could_be_read(pattern, said):
    decision = decide(random_evaluation(num_images=40), gate_params(f"group_by={{pattern: '{pattern}'}}"))

    evidence = decision.evidence
    assert evidence is not None
    assert (evidence.lower_bound, evidence.percentile, evidence.student, evidence.bca) == (-1.0, None, None, None)
    assert (evidence.standard_error, evidence.minimum_detectable_gain, evidence.images_needed) == (None, None, None)
    assert (evidence.probability_of_gain, evidence.probability_of_min_gain) == (None, None)
    assert Decision.of(decision.content()) == decision
    assert f"\n  interval  none: {said} nothing, at least 10 are needed\n  guards " in block(decision)


def test_groups_by_pattern_and_by_column_are_the_same_where_they_say_the_same():
    evaluation = random_evaluation(num_images=60)

    by_column = decide(evaluation, gate_params("group_by={column: site}"))
    by_pattern = decide(evaluation, gate_params(r"group_by={pattern: '/(site\d)_'}"))

    assert by_column.evidence == by_pattern.evidence


@pytest.mark.parametrize("min_gain", [0.01, 0.0, -0.05])
def test_a_model_against_itself_gains_exactly_zero_and_is_not_promoted(min_gain):
    content, arrays = random_files(num_images=30)
    same_twice(content, arrays)

    decision = decide(parse(content, arrays), gate_params(f"min_gain={min_gain}"))

    assert decision.gain == 0
    assert decision.evidence is not None
    assert decision.evidence.lower_bound == 0
    assert decision.evidence.percentile == decision.evidence.bca == Interval(0, 0)
    assert decision.verdict is (Verdict.REJECT if min_gain > 0 else Verdict.INCONCLUSIVE)
    assert "candidate and reference have the same tensors" in decision.reasons
    assert (decision.evidence.minimum_detectable_gain, decision.evidence.images_needed) == (None, None)
    assert "images would show" not in block(decision)
    assert not [reason for reason in decision.reasons if "images would show" in reason or "luck" in reason]


def test_a_model_against_itself_is_not_promoted_without_a_confidence_either():
    content, arrays = random_files(num_images=30)
    same_twice(content, arrays)

    decision = decide(parse(content, arrays), gate_params("min_gain=0", "confidence=null"))

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reasons[-1] == "the candidate is not better; it is not promoted by itself, a person may decide"


@pytest.mark.parametrize(
    ("share", "percent"), [(1.0, "> 99.9"), (0.9996, "> 99.9"), (0.9994, "99.9"), (0.5, "50.0"), (0.0006, "0.1"), (0.0, "< 0.1")]
)
def test_not_even_all_resamples_are_certainty(share, percent):
    assert percent_of_resamples(share) == percent


def test_a_gain_in_all_resamples_is_said_to_be_in_more_than_99_9_percent():
    decision = decide(random_evaluation(num_images=80, found=(0.6, 0.9)), gate_params())

    assert "the candidate is better in > 99.9% of 1000 resamples" in " ".join(decision.reasons)


def test_the_champion_is_the_reference_where_there_is_one():
    content, arrays = random_files(num_images=30, reference="champion")

    decision = decide(parse(content, arrays), gate_params())

    assert decision.reference_model == "champion"
    assert decision.reference == content["models"]["champion"]["box"]["mAP50"]
    assert sorted(decision.tensors_sha256) == ["candidate", "champion"]


def test_without_a_confidence_the_point_decides_and_nothing_is_resampled():
    decision = decide(random_evaluation(num_images=14, found=(0.70, 0.72), seed=1), gate_params("confidence=null"))

    assert decision.verdict is Verdict.PROMOTE
    assert decision.evidence is None
    assert decision.metrics["box.mAP50"].gain_interval is None


def test_a_higher_confidence_lowers_the_bound():
    evaluation = random_evaluation(num_images=50)

    bounds = [decide(evaluation, gate_params(f"confidence={c}")).evidence.lower_bound for c in (0.8, 0.95, 0.99)]

    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[2]


def test_every_metric_has_its_comparison_and_class_slices():
    decision = decide(random_evaluation(), gate_params("metric=mask.mAP50-95"))

    assert sorted(decision.metrics) == ["box.mAP50", "box.mAP50-95", "mask.mAP50", "mask.mAP50-95"]
    assert sorted(decision.per_class["class 1"]) == ["box.mAP50-95", "mask.mAP50-95"]
    assert decision.candidate == decision.metrics["mask.mAP50-95"].candidate


def test_mask_metrics_of_a_detection_model_are_refused():
    with pytest.raises(EvaluationError, match="only detect boxes"):
        decide(random_evaluation(task="detect"), gate_params("metric=mask.mAP50"))


def test_a_reference_that_finds_nothing_is_refused():
    content, arrays = random_files(num_images=20)
    arrays["baseline.tp_box"][:] = False

    with pytest.raises(EvaluationError, match=re.escape("box.mAP50 of the baseline is zero")):
        decide(remeasure(content, arrays), gate_params())


def test_arrays_that_do_not_give_the_metrics_are_refused():
    content, arrays = random_files(num_images=20)
    content["models"]["candidate"]["box"]["mAP50"] += 1e-4

    with pytest.raises(EvaluationError, match="The two files do not belong together"):
        decide(parse(content, arrays), gate_params())


def test_another_order_of_equal_confidences_is_no_mismatch():
    content, arrays = random_files(num_images=20)
    arrays["candidate.conf"] = np.round(arrays["candidate.conf"], 3)
    remeasure(content, arrays)
    content["models"]["candidate"]["box"]["mAP50"] += 5e-4

    assert decide(parse(content, arrays), gate_params()).verdict in Verdict


@pytest.mark.parametrize("override", ["group_by={column: slide}", "slices=[slide]"])
def test_metadata_that_is_not_there_is_refused(override):
    with pytest.raises(DatasetError, match=r"no column 'slide' in metadata\.csv"):
        decide(random_evaluation(num_images=20), gate_params(override))


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_writes_a_decision_that_reads_back_the_same_and_says_so(workspace, caplog):
    caplog.set_level("INFO")
    write_files(workspace, *random_files(num_images=40, found=(0.6, 0.9)))

    decision = run(params.load(overrides=["gate.slices=[site]"]))

    stored = json.loads((workspace / "reports/decision.json").read_text())
    assert stored["verdict"] == "PROMOTE"
    assert Decision.read() == decision
    assert {part["by"] for part in stored["slices"]} == {"size", "site"}
    assert caplog.messages[0].startswith("gate: PROMOTE: box.mAP50 of the candidate against the baseline\n  gain ")
    assert "power " in caplog.messages[0]


def test_the_same_evaluation_gives_the_same_bytes(workspace):
    write_files(workspace, *random_files(num_images=30))
    run(params.load())
    first = (workspace / "reports/decision.json").read_bytes()

    run(params.load())

    assert (workspace / "reports/decision.json").read_bytes() == first


def test_an_error_leaves_no_older_decision_behind(workspace):
    content, arrays = random_files(num_images=30)
    write_files(workspace, content, arrays)
    run(params.load())
    content["models"]["candidate"]["box"]["mAP50"] = None
    write_files(workspace, content, arrays)

    with pytest.raises(EvaluationError):
        run(params.load())

    assert not (workspace / "reports/decision.json").exists()


def test_a_decision_of_another_version_is_refused(workspace):
    (workspace / "reports").mkdir()
    (workspace / "reports/decision.json").write_text('{"verdict": "PROMOTE"}')

    with pytest.raises(EvaluationError, match="`metric` is missing; 14 more keys are missing or wrong"):
        Decision.read()


@pytest.mark.slow
def test_the_command_prints_the_block_and_takes_overrides(workspace):
    write_files(workspace, *random_files(num_images=20, found=(0.6, 0.9)))

    done = subprocess.run(
        [sys.executable, "-m", "tasks.gate", "--set", "gate.min_gain=9"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.startswith("gate: REJECT: box.mAP50")
    assert isinstance(Decision.read(), Decision)
    assert np.isclose(Decision.read().threshold, 9)
