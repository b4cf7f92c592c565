"""The budget of a reign: what each look may spend, and what the gate makes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tasks.common.errors import WorkspaceError
from tasks.common.lineage import Lineage
from tasks.common.looks import Looks, Subject
from tasks.common.params import load as load_params
from tasks.gate import decide, judge
from tasks.gate.rule import Replicates
from tasks.gate.wording import block
from tasks.measure.budget import share_spent, significance
from tasks.measure.decision import Decision, Level, Verdict
from tasks.measure.evaluation import Evaluation
from tasks.measure.intervals import MIN_TAIL, bca, expanded, percentile, student
from tests.gate_data import ROOT, gate_params, random_evaluation


def after(count: int) -> Looks:
    """The looks at a champion that `count` others were judged against."""
    return Looks("v1.3.0", tuple(Subject(f"{i:064x}", "ab" * 32, "box.mAP50") for i in range(100, 100 + count)))


def measured(num_images: int = 80, found: tuple[float, float] = (0.7, 0.78), seed: int = 0) -> Evaluation:
    return random_evaluation(num_images=num_images, found=found, seed=seed, reference="champion")


@pytest.mark.parametrize("budget", [0.05, 0.2])
def test_no_number_of_looks_spends_more_than_the_budget(budget: float) -> None:
    spent = np.cumsum([significance(look, budget) for look in range(1, 10_001)])

    assert spent[9] == pytest.approx(budget / 2)
    assert spent[-1] < budget
    assert spent[-1] == pytest.approx(budget * share_spent(10_000))
    assert significance(1, 0.05) == pytest.approx(0.05 * 10 / (10 * 11))
    assert significance(7, 0.05) == pytest.approx(0.05 * 10 / (16 * 17))


def test_beyond_the_last_ten_resamples_students_interval_speaks_alone() -> None:
    rng = np.random.default_rng(0)
    bootstrap, jackknife = rng.normal(0.02, 0.01, 2000), rng.normal(0.02, 0.001, 200)
    replicates = Replicates(bootstrap, jackknife, 200, 200)

    def lower(confidence: float) -> tuple[float, ...]:
        nominal = expanded(confidence, 200)
        intervals = (
            student(0.02, bootstrap.std(ddof=1), nominal),
            percentile(bootstrap, nominal),
            bca(bootstrap, 0.02, jackknife, nominal),
        )
        return tuple(interval.low for interval in intervals)

    inside, beyond = 1 - MIN_TAIL / 2000, 1 - MIN_TAIL / 2000 + 0.0001
    assert replicates.lower_bound(0.02, inside) == pytest.approx(min(lower(inside)))
    assert replicates.lower_bound(0.02, beyond) == pytest.approx(lower(beyond)[0])


def test_a_gain_that_passes_as_the_only_look_is_inconclusive_as_the_fortieth() -> None:
    evaluation, params = measured(), gate_params("reign_budget=0.05")

    alone, first, late = (decide(evaluation, params, looks=looks) for looks in (None, after(0), after(39)))

    assert alone.reign is None
    assert (first.reign.look, late.reign.look) == (1, 40)
    assert alone.evidence.lower_bound > first.reign.level.lower_bound > late.reign.level.lower_bound
    assert late.reign.level.significance == pytest.approx(significance(40, 0.05))
    assert alone.verdict is Verdict.PROMOTE
    assert late.verdict is Verdict.INCONCLUSIVE
    assert late.reasons[0].startswith("look 40 at champion v1.3.0: 80% of its budget of 5% is spent; with 99.98% confidence")
    assert "it would pass as the only look; a person may decide" in late.reasons
    assert "look      40 at champion v1.3.0" in block(late)
    assert Decision.of(json.loads(late.encode())) == late


def test_the_same_candidate_again_is_the_same_look_and_another_split_is_not() -> None:
    evaluation, params = measured(), gate_params()
    same = Subject(f"{1:064x}", "ab" * 32, "box.mAP50")
    looks = dataclasses.replace(after(5), subjects=(*after(2).subjects, same, *after(5).subjects[2:]))

    assert decide(evaluation, params, looks=looks).reign.look == 3
    assert decide(evaluation, gate_params("metric=box.mAP50-95"), looks=looks).reign.look == 7
    assert (
        decide(dataclasses.replace(evaluation, split={**evaluation.split, "sha256": "cd" * 32}), params, looks=looks).reign.look
        == 7
    )


def test_without_a_budget_the_looks_are_counted_and_limit_only_what_nobody_approves() -> None:
    decision = decide(measured(), gate_params("reign_budget=null"), looks=after(39))

    assert decision.verdict is Verdict.PROMOTE
    assert decision.reign
    assert decision.reign.level is None
    assert decision.reign.automatic == Level(pytest.approx(significance(40, 0.05)), decision.reign.automatic.lower_bound)
    assert decision.reign.automatic.lower_bound < decision.evidence.lower_bound


def test_a_looser_budget_is_for_a_person_and_not_for_the_gate_alone() -> None:
    reign = decide(measured(), gate_params("reign_budget=0.2"), looks=after(9)).reign

    assert reign.level.significance == pytest.approx(significance(10, 0.2))
    assert reign.automatic.significance == pytest.approx(significance(10, 0.05))
    assert reign.automatic.lower_bound < reign.level.lower_bound


def test_no_look_may_spend_more_than_a_single_decision_would() -> None:
    reign = decide(measured(), gate_params("reign_budget=0.9"), looks=after(0)).reign

    assert reign.level.significance == pytest.approx(0.05)


def test_a_champion_against_itself_and_a_first_model_are_no_looks(workspace: Path) -> None:
    evaluation = measured()
    same = dataclasses.replace(evaluation, models={**evaluation.models, "candidate": evaluation.reference})

    assert decide(same, gate_params(), looks=after(3)).reign is None
    assert judge(load_params(ROOT / "params.yaml"), random_evaluation(num_images=40)).reign is None


def test_looks_at_another_champion_than_the_pinned_one_are_refused(workspace: Path) -> None:
    Path("champion.yaml").write_text("name: detector\nversion: v1.4.0\nweights: x.pt\nmd5: x\n")
    after(3).write()

    with pytest.raises(WorkspaceError) as caught:
        judge(load_params(ROOT / "params.yaml"), measured())

    assert caught.value.what == "it holds the looks at v1.3.0, and champion.yaml names v1.4.0"
    assert "champion --pin" in caught.value.fix


@pytest.mark.parametrize("kind", [Looks, Lineage])
def test_the_file_in_the_repository_is_as_the_registry_writes_it(kind: type[Looks] | type[Lineage]) -> None:
    """Other bytes would be written anew by the first `register` after `dvc repro`, and stages would be out of date."""
    written = (ROOT / kind.FILE).read_bytes()

    assert written == kind(None).encode()


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"champion": "v1.3.0", "subjects": [1]}', '{"format": 9, "champion": null}']
)
def test_a_spoiled_file_of_looks_says_how_to_write_it_anew(workspace: Path, text: str | None) -> None:
    Path("champion.yaml").write_text("name: detector\nversion: v1.3.0\nweights: x.pt\nmd5: x\n")
    if text is not None:
        Path("looks.json").write_text(text)

    with pytest.raises(WorkspaceError) as caught:
        judge(load_params(ROOT / "params.yaml"), measured())

    assert "looks.json" in str(caught.value.where)
    assert ("champion --pin" in caught.value.fix) or caught.value.fix == "Upgrade Ratchet."
