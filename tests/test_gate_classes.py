"""A list of classes that grew: old classes are compared in pairs, new ones have a floor."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tasks.common.errors import EvaluationError
from tasks.gate.rule import decide
from tasks.gate.wording import block
from tasks.measure.decision import Decision, Verdict
from tasks.measure.evaluation import Evaluation
from tasks.measure.shared import shared
from tests.gate_data import forget, gate_params, parse, random_evaluation, random_files, remeasure

POINT = ("confidence=null", "max_class_drop=null", "max_metric_drop=null")


def files(**options: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Three classes, the last of which is new to the champion."""
    content, arrays = random_files(reference="champion", **options)
    forget(content, arrays, 2)
    return content, arrays


def grown(**options: Any) -> Evaluation:
    return parse(*files(**options))


def guards(decision: Decision, key: str) -> dict[str, bool]:
    return {guard.name: guard.passed for guard in decision.guards if guard.name.startswith(key)}


def test_labels_of_a_new_class_do_not_count_against_the_champion() -> None:
    content, arrays = files()
    before = dict(arrays) | {name: arrays[name][arrays["target_cls"] != 2] for name in arrays if name.startswith("target_")}
    unlabelled = json.loads(json.dumps(content))
    del unlabelled["models"]["champion"]["classes"]

    decision = decide(parse(content, arrays), gate_params())

    earlier = decide(remeasure(unlabelled, before), gate_params())
    assert (decision.reference, decision.candidate) == pytest.approx((earlier.reference, earlier.candidate))
    assert decision.evidence == earlier.evidence
    assert list(decision.per_class) == ["class 0", "class 1"]
    assert decision.slices == earlier.slices


def test_what_the_candidate_knows_of_a_new_class_is_no_gain() -> None:
    content, arrays = files()
    old = arrays["candidate.pred_cls"] != 2
    new = {name: array[~old] for name, array in arrays.items() if name.startswith("candidate.")}
    arrays |= {name: np.concatenate([arrays[f"champion.{name[10:]}"], array]) for name, array in new.items()}
    order = np.argsort(arrays["candidate.pred_img"], kind="stable")
    arrays |= {name: arrays[name][order] for name in new}
    forget(content, arrays, 2)

    decision = decide(parse(content, arrays), gate_params("min_gain=0"))

    assert (decision.gain, decision.verdict) == (0, Verdict.INCONCLUSIVE)
    assert decision.classes is not None
    assert decision.classes.new["class 2"].ap["box.mAP50"] > 0.3


def test_the_decision_says_what_is_compared_with_what() -> None:
    content, arrays = random_files(reference="champion")
    content["names"].append("class 3")
    forget(content, arrays, 2, 3, renamed={"screw": "class 1"}, absent=("rivet",))

    decision = decide(parse(content, arrays), gate_params())

    new = decision.classes.new["class 2"] if decision.classes else None
    assert new
    values = f"box AP50 {new.ap['box.mAP50']:.4f}, mask AP50 {new.ap['mask.mAP50']:.4f}"
    assert decision.reasons[-5:] == (
        "compared on the 2 of 4 classes that the champion knows: class 0, class 1",
        f"new class class 2: {values}, {new.instances} objects",
        "new class class 3: no object in the gate split, so nothing is known of it",
        "class class 1 was screw to the champion",
        "class rivet is gone: what the champion detects of it is left out",
    )
    summary = "compared on 2 of 4; new: class 2, class 3; renamed: screw to class 1; gone: rivet"
    assert f"\n  classes   {summary}\n" in block(decision)
    assert Decision.of(json.loads(decision.encode())) == decision


def test_a_baseline_beside_the_champion_is_shown_on_the_same_classes() -> None:
    content, arrays = files()
    content["models"]["baseline"] = content["models"]["candidate"]
    arrays |= {f"baseline{name[9:]}": array for name, array in arrays.items() if name.startswith("candidate.")}

    models = shared(parse(content, arrays)).models

    assert models["baseline"].facts["box"] == models["candidate"].facts["box"] != content["models"]["candidate"]["box"]


def test_models_with_the_same_classes_say_nothing_of_classes() -> None:
    evaluation = random_evaluation()

    decision = decide(evaluation, gate_params())

    assert shared(evaluation) is evaluation
    assert decision.classes is None
    assert "classes" not in json.loads(decision.encode())


def test_a_new_class_below_its_floor_is_rejected_for_boxes_and_masks() -> None:
    evaluation, rule = grown(), (*POINT, "metric=box.mAP50-95")
    measured = decide(evaluation, gate_params(*rule)).classes
    assert measured is not None
    box, mask = (measured.new["class 2"].ap[f"{kind}.mAP50-95"] for kind in ("box", "mask"))

    decision = decide(evaluation, gate_params(*rule, f"min_new_class_ap={(box + mask) / 2}"))

    assert guards(decision, "min_new_class_ap") == {
        "min_new_class_ap: class 2, box": box > mask,
        "min_new_class_ap: class 2, mask": mask > box,
    }
    assert decision.verdict is Verdict.REJECT
    assert "is asked for" in decision.reasons[0]


def test_the_floor_itself_is_enough() -> None:
    classes = decide(grown(task="detect"), gate_params(*POINT)).classes
    assert classes is not None

    decision = decide(grown(task="detect"), gate_params(*POINT, f"min_new_class_ap={classes.new['class 2'].ap['box.mAP50']}"))

    assert guards(decision, "min_new_class_ap") == {"min_new_class_ap: class 2, box": True}


@pytest.mark.parametrize("off", ["min_new_class_ap=null", "class_min_instances=1000"], ids=["switched off", "too few objects"])
def test_a_floor_is_not_enforced(off: str) -> None:
    decision = decide(grown(), gate_params(*POINT, "min_new_class_ap=1", off))

    assert guards(decision, "min_new_class_ap") == {}
    assert decision.verdict is Verdict.PROMOTE
    assert ("fewer than the 1000" in decision.reasons[-1]) == (off != "min_new_class_ap=null")


def test_a_loss_on_an_old_class_still_counts() -> None:
    decision = decide(grown(found=(0.8, 0.5)), gate_params())

    assert decision.verdict is Verdict.REJECT
    assert set(guards(decision, "max_class_drop")) == {
        f"max_class_drop: class {c}, {kind}" for kind in ("box", "mask") for c in (0, 1)
    }


def test_figures_of_a_class_that_the_arrays_do_not_give_are_refused() -> None:
    content, arrays = files()
    content["models"]["champion"]["per_class"]["class 0"]["box"]["AP50"] += 0.1

    with pytest.raises(EvaluationError, match="do not belong together"):
        decide(parse(content, arrays), gate_params())


def test_models_without_a_class_in_common_cannot_be_compared() -> None:
    content, arrays = random_files(reference="champion")
    forget(content, arrays, 0, 1, 2)

    with pytest.raises(EvaluationError, match="has no object of a class that champion and candidate both know"):
        decide(parse(content, arrays), gate_params())


def test_the_golden_set_is_compared_on_the_classes_that_both_know() -> None:
    content, arrays = files()
    plain = parse(content, arrays)
    content["golden"] = {**content, "golden": None}
    arrays |= {f"golden.{name}": array for name, array in list(arrays.items())}

    decision = decide(parse(content, arrays), gate_params())

    guard = next(guard for guard in decision.guards if guard.name.startswith("max_golden_drop"))
    assert guard.figures["reference"] == pytest.approx(shared(plain).reference.facts["box"]["mAP50"])
