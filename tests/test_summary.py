"""The lines that end a run: the reason that decided, and a model that is a version already."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.effects import register_model
from flows.question import page
from tasks import summary
from tasks.common import params as params_module
from tasks.common.params import Params
from tasks.gate import decide
from tasks.measure.decision import Decision, Verdict
from tasks.registry import Registry, Version
from tasks.registry.record import from_json, to_json
from tests import workspace as ws
from tests.evidence_data import EVIDENCE
from tests.gate_data import forget, gate_params, random_evaluation, random_files, same_twice, write_files
from tests.gate_data import parse as parse_files
from tests.registry_data import RECORD, WHO
from tests.workspace import sh


@cache
def files() -> Any:
    """Content and arrays of an evaluation with a gain."""
    return random_files(num_images=80, found=(0.6, 0.9))


@cache
def good() -> Decision:
    return decide(parse_files(*files()), gate_params())


@cache
def lucky() -> Decision:
    return decide(random_evaluation(num_images=14, found=(0.70, 0.72), seed=5), gate_params())


@cache
def few() -> Decision:
    return decide(random_evaluation(num_images=80, found=(0.5, 0.95)), gate_params("group_by={column: site}"))


@cache
def below() -> Decision:
    return decide(random_evaluation(num_images=80, found=(0.9, 0.6)), gate_params())


@cache
def guarded() -> Decision:
    return decide(parse_files(*files()), gate_params("min_recall=0.99", "min_precision=0.99"))


@cache
def itself() -> Decision:
    content, arrays = random_files(num_images=30)
    same_twice(content, arrays)
    return decide(parse_files(content, arrays), gate_params("min_gain=0.0"))


@pytest.fixture
def params(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """What the summary reads of a run, in a git repository that is the current folder."""
    monkeypatch.chdir(tmp_path)
    sh("git", "init", "-q", "-b", "main")
    for path, text in {
        "data/sample.dvc": f"outs:\n- md5: {'1' * 32}.dir\n  path: sample\n",
        ".dvc/config": "",
    }.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    write_files(tmp_path, *files())
    return params_module.load(ws.ROOT / "params.yaml")


def conclude(decision: Decision) -> None:
    decision.write()


def make_version(params: Params, decision: Decision, **changes: Any) -> Version:
    """A version whose commit holds `decision`."""
    conclude(decision)
    sh("git", "add", "-A")
    sh("git", "commit", "-qm", "Run", "--allow-empty")
    figures = {key: getattr(decision, key) for key in ("metric", "reference", "candidate", "gain")}
    record = replace(RECORD, verdict=str(decision.verdict), tensors=decision.tensors_sha256["candidate"], **figures)
    return Registry(params).backend.add(replace(record, **changes), sh("git", "rev-parse", "HEAD"))


def row(text: str, head: str) -> list[str]:
    return [line[11:] for line in text.splitlines() if line.startswith(f"{head} ")]


@pytest.mark.parametrize(
    ("judge", "verdict", "cause"),
    [
        pytest.param(good, "PROMOTE", "", id="a gain"),
        pytest.param(lucky, "INCONCLUSIVE", r": .* the gain is at least -[\d.]+%, which is not above zero.*", id="luck"),
        pytest.param(few, "INCONCLUSIVE", ": 4 independent groups of images show nothing, .*", id="few groups"),
        pytest.param(itself, "INCONCLUSIVE", ": candidate and reference have the same tensors", id="itself"),
        pytest.param(below, "REJECT", r": .* is below the threshold of .* \(\d+ guards fail too\)", id="below the threshold"),
        pytest.param(guarded, "REJECT", r": min_precision: box.precision: .* \(\d guards fail too\)", id="guards"),
    ],
)
def test_the_reason_shown_is_the_one_that_decided(
    params: Params, judge: Callable[[], Decision], verdict: str, cause: str
) -> None:
    decision = judge()
    conclude(decision)

    [shown] = row(summary.summarise(params, None), "verdict")

    assert decision.verdict == verdict
    assert re.fullmatch(f"{verdict}{cause}", shown), shown


@pytest.mark.parametrize("judge", [lucky, few, itself], ids=["luck", "few groups", "itself"])
def test_no_first_reason_of_an_inconclusive_verdict_says_that_the_threshold_was_reached(judge: Callable[[], Decision]) -> None:
    decision = judge()

    assert "reaches the threshold" not in decision.reasons[0]
    assert any("reaches the threshold" in reason for reason in decision.reasons[1:])


def test_a_version_that_could_be_luck_says_so_where_versions_are_listed() -> None:
    record = replace(RECORD, verdict="INCONCLUSIVE", gain=0.0072)

    assert replace(record, lower_bound=-0.0031).summary().endswith("(+0.72%, at least -0.31%)")
    assert replace(record, lower_bound=-1.0).summary().endswith("(+0.72%, too few images to tell)")
    assert record.summary().endswith("(+0.72%)")


def test_a_model_that_this_run_made_a_version_has_no_more_to_say(params: Params) -> None:
    version = make_version(params, good())

    text = summary.summarise(params, version)

    assert row(text, "version") == ["detector@v1.0.0"]
    assert row(text, "warning") == []


def test_a_model_that_is_a_version_already_is_named_with_the_judgement_of_then(params: Params) -> None:
    version = make_version(params, good())

    [shown] = row(summary.summarise(params, version, is_known=True), "version")

    assert shown.startswith(f"this model is detector@v1.0.0 already (registered {version.created[:10]}); judged then PROMOTE, ")
    assert shown.endswith(f"({good().gain:+.2%}) at a threshold of +1.00%")


OTHER_GATES = {
    "a higher threshold": (["gate.min_gain=5"], "a threshold of +1.00%, gate.min_gain is +500.00% today, which its gain of"),
    "a lower threshold": (["gate.min_gain=0.001"], "a threshold of +1.00%, gate.min_gain is +0.10% today"),
    "another confidence": (["gate.confidence=0.99"], "with confidence 0.95, gate.confidence is 0.99 today"),
    "no confidence": (["gate.confidence=null"], "with confidence 0.95, gate.confidence is none today"),
    "another metric": (["gate.metric=mask.mAP50-95"], "judged by box.mAP50, gate.metric is mask.mAP50-95 today"),
}


@pytest.mark.parametrize(("overrides", "expected"), OTHER_GATES.values(), ids=OTHER_GATES)
def test_another_gate_than_that_of_then_is_a_warning_in_the_summary_and_in_promote(
    params: Params, overrides: list[str], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    version = make_version(params, good())
    today = params_module.load(ws.ROOT / "params.yaml", overrides)

    assert any(expected in text for text in row(summary.summarise(today, version, is_known=True), "warning"))
    with caplog.at_level(logging.WARNING):
        Registry(today).promote(version.version, **WHO)
    assert expected in caplog.text
    assert expected in page(replace(EVIDENCE, since=Registry(today).gate_since(version)))


def test_a_verdict_that_is_reject_today_is_a_warning_while_the_model_is_a_version(
    params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    version = make_version(params, good())
    conclude(guarded())

    expected = "the verdict was PROMOTE, it is REJECT today: min_precision: "

    assert Registry(params).registered() == version
    assert any(text.startswith(expected) for text in row(summary.summarise(params, version, is_known=True), "warning"))
    Registry(params).promote(version.version, **WHO)
    assert expected in caplog.text


def test_the_last_verdict_here_says_nothing_of_another_model(params: Params) -> None:
    version = make_version(params, good(), tensors="f" * 64)
    conclude(guarded())

    assert Registry(params).gate_since(version) == ()


def test_a_champion_that_is_compared_with_itself_is_no_warning(params: Params) -> None:
    version = make_version(params, good())
    Registry(params).promote(version.version, **WHO)
    same = replace(
        good(), verdict=Verdict.REJECT, tensors_sha256=dict.fromkeys(("champion", "candidate"), version.record.tensors)
    )  # type: ignore[union-attr]
    conclude(same)

    assert Registry(params).since_judged(version) == ()


def test_another_champion_than_the_reference_of_then_is_a_warning(params: Params, caplog: pytest.LogCaptureFixture) -> None:
    first, second = make_version(params, good()), make_version(params, good(), md5="2" * 32, tensors="e" * 64)
    Registry(params).promote(first.version, **WHO)

    assert Registry(params).since_judged(second) == ("it was judged against the baseline, the champion is v1.0.0 today",)
    Registry(params).promote(second.version, **WHO)
    assert "detector@v1.1.0: it was judged against the baseline, the champion is v1.0.0 today" in caplog.text


@pytest.mark.slow
def test_a_run_knows_whether_its_candidate_was_a_version_before_and_a_rejection_does_not_hide_it(root: Path) -> None:
    settings = params_module.load()

    version, was_known = register_model.fn(settings)
    again = register_model.fn(settings)
    ws.run_stages(root, verdict="REJECT")
    rejected = register_model.fn(settings)

    assert (version.tag, was_known) == ("detector@v1.0.0", False)
    assert again == rejected == (version, True)

    ws.run_stages(root, weights="other weights")
    assert register_model.fn(settings) == (None, False)
    Registry(settings).deprecate("v1.0.0", **WHO)
    ws.run_stages(root, weights="first weights")
    assert register_model.fn(settings) == (None, False)


def test_a_version_without_a_decision_is_not_compared(params: Params) -> None:
    version = make_version(params, good())
    sh("git", "rm", "-q", "--cached", "reports/decision.json")
    sh("git", "commit", "-qm", "Without")

    assert Registry(params).since_judged(replace(version, commit=sh("git", "rev-parse", "HEAD"))) == ()


def test_models_of_different_classes_are_shown_by_the_figures_that_were_compared(params: Params) -> None:
    content, arrays = random_files(num_images=80, reference="champion")
    forget(content, arrays, 2)
    decision = decide(parse_files(content, arrays), gate_params())
    write_files(Path(), content, arrays)
    conclude(decision)

    lines = summary.summarise(params, None).splitlines()

    assert lines[1:3] == [f"champion   box mAP50 {decision.reference:.4f}", f"candidate  box mAP50 {decision.candidate:.4f}"]
    assert lines[4] == "classes    compared on 2 of 3; new: class 2"
    assert f"{content['models']['candidate']['box']['mAP50']:.4f}" not in "".join(lines)


def test_a_version_says_of_how_many_classes_its_figures_are() -> None:
    record = replace(RECORD, names=("bolt", "nut", "plate"), new_names=("plate",))

    assert record.summary() == "PROMOTE, box.mAP50 0.5000 -> 0.6000 (+20.00%) on 2 of 3 classes"
    assert from_json(to_json(record)) == record
    assert from_json(to_json(record).replace("new_names", "of_a_later_release")) == replace(record, new_names=())


def test_a_class_name_cannot_add_a_line_to_the_summary(params: Params) -> None:
    forged = replace(guarded(), reasons=("max_class_drop: bolt\nnext       rm -rf models", *guarded().reasons[1:]))
    conclude(forged)

    text = summary.summarise(params, None)

    assert row(text, "next") == []
    assert "max_class_drop: bolt\\nnext" in row(text, "verdict")[0]
