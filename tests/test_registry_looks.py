"""The looks at a champion: counted once each, in every clone, and pinned for the gate. Real git, DVC and experiments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.common import params as params_module
from tasks.common.looks import Looks, Subject
from tasks.common.params import Params
from tasks.registry import Registry
from tasks.registry.__main__ import main
from tasks.registry.in_git import chain
from tests import workspace as ws
from tests.registry_data import NUM_CLONES, WHO, at_once, clone_here, make_version
from tests.workspace import sh

pytestmark = pytest.mark.slow
CHAMPION = "c" * 64


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


@pytest.fixture
def reign(bare: Path, params: Params) -> Path:
    """A repository with a remote and the champion v1.0.0."""
    Registry(params).promote(make_version(params, "one", CHAMPION), **WHO)
    return bare


@pytest.fixture
def built(shared: Path, params: Params) -> Path:
    """A workspace whose stages have run against the champion v1.0.0, with a DVC remote and a git remote."""
    ws.set_control(shared, tensors=CHAMPION)
    ws.run_stages(shared)
    Registry(params).register()
    Registry(params).promote("v1.0.0", **WHO)
    Registry(params).pin_champion()
    ws.run_stages(shared, reference="champion", reference_tensors=CHAMPION, tensors="a" * 64, weights="second weights")
    return shared


def evaluated(candidate: str, split: str = "0" * 64, reference: str = "champion", champion: str = CHAMPION) -> None:
    """What a look needs of reports/evaluation.json."""
    models = {reference: {"tensors_sha256": champion}, "candidate": {"tensors_sha256": candidate}}
    sizes = {"name": "test", "sha256": split, "images": 1}
    content = {"task": "detect", "reference": reference, "split": sizes, "names": ["bolt"], "models": models}
    Path("reports").mkdir(exist_ok=True)
    Path("reports/evaluation.json").write_text(json.dumps(content))


def look(params: Params, candidate: str, **facts: str) -> int | None:
    evaluated(candidate, **facts)
    taken = Registry(params).take_look()
    return taken.number if taken else None


def test_a_repetition_is_the_same_look_and_another_candidate_or_split_is_another(reign: Path, params: Params) -> None:
    assert [look(params, candidate) for candidate in ("a", "b", "a", "b")] == [1, 2, 1, 2]
    assert look(params, "a", split="1" * 64) == 3
    assert Looks.read().number(Subject("a", "1" * 64, "box.mAP50")) == 3
    assert Registry(params).budget() == "look 3 at champion v1.0.0: 23% of its budget of 20% is spent"
    assert list(chain.faults("detector")) == []


def test_a_new_champion_begins_a_new_budget_and_the_way_back_does_not(reign: Path, params: Params) -> None:
    assert [look(params, candidate) for candidate in ("a", "b")] == [1, 2]
    second = make_version(params, "two", "d" * 64)
    Registry(params).promote(second, **WHO)

    assert look(params, "a", champion="d" * 64) == 1

    Registry(params).rollback(**WHO)
    assert look(params, "c") == 3
    assert [(event.version, event.number) for event in Registry(params).backend.looks()] == [
        ("v1.0.0", 1), ("v1.1.0", 1), ("v1.0.0", 2), ("v1.0.0", 3),
    ]  # fmt: skip


def test_without_a_champion_and_at_the_champion_itself_no_look_counts(bare: Path, params: Params) -> None:
    assert look(params, "a", reference="baseline") is None

    Registry(params).promote(make_version(params, "one", CHAMPION), **WHO)

    assert look(params, CHAMPION) is None
    assert Registry(params).budget() == ""


@pytest.mark.parametrize("num_clones", [8, pytest.param(NUM_CLONES, marks=pytest.mark.nightly)])
def test_looks_are_shared_between_clones_and_survive_many_at_once(
    reign: Path, params: Params, tmp_path: Path, num_clones: int
) -> None:
    clones = [clone_here(tmp_path, f"clone{i}") for i in range(num_clones)]

    assert at_once(clones, lambda i: look(params, f"candidate {i}")) == [0] * num_clones

    Registry(params).refresh()
    looks = Registry(params).looks()
    assert [event.number for event in looks] == list(range(1, num_clones + 1))
    assert {event.subject.candidate for event in looks} == {f"candidate {i}" for i in range(num_clones)}
    assert len(sh("git", "ls-remote", "--refs", "origin", "refs/tags/detector@v1.0.0.look.*").splitlines()) == num_clones
    assert list(chain.faults("detector")) == []


def test_a_look_that_was_taken_out_is_found(reign: Path, params: Params) -> None:
    for candidate in ("a", "b", "c"):
        look(params, candidate)
    sh("git", "tag", "-d", "detector@v1.0.0.look.2")

    assert [fault.what for fault in chain.faults("detector")] == ["detector@v1.0.0.look.2"]


def test_where_the_remote_is_gone_the_file_has_the_look_and_the_next_run_records_it(
    built: Path, params: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.move(tmp_path / "origin.git", tmp_path / "away.git")

    assert Registry(params).take_look() is None

    assert "is not recorded yet, the next run does it" in caplog.text
    assert Looks.read().number(Subject("a" * 64, "0" * 64, "box.mAP50")) == 1
    assert Registry(params).looks() == ()
    shutil.move(tmp_path / "away.git", tmp_path / "origin.git")
    Registry(params).pin_champion()
    assert [event.subject.candidate for event in Registry(params).looks()] == ["a" * 64]


def test_a_run_of_dvc_repro_is_counted_afterwards_and_a_look_of_others_leaves_its_file_alone(built: Path, params: Params) -> None:
    Registry(params).pin_champion()
    pinned = Path("looks.json").read_bytes()
    assert [event.subject.candidate for event in Registry(params).looks()] == ["a" * 64]

    other = {"version": "v1.0.0", "approver": "x", "reason": "y", "time": "2026-11-20T12:00:00+00:00"}
    body = {**other, "candidate": "b" * 64, "split": "0" * 64, "metric": "box.mAP50"}
    champion = Registry(params).show("v1.0.0")
    assert Registry(params).backend.look(champion, 2, body)
    Registry(params).pin_champion()

    assert Path("looks.json").read_bytes() == pinned
    ws.run_stages(built, tensors="e" * 64, weights="third weights")
    Registry(params).pin_champion()
    assert Looks.read().number(Subject("e" * 64, "0" * 64, "box.mAP50")) == 3


def test_experiments_on_the_gate_split_are_looks_too(
    built: Path, params: Params, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    (built / ".gitignore").write_text("/models/registered/\n/.site-cache/\n/reports/evaluation.npz\n/reports/report.html\n")
    sh("git", "add", "-A")
    sh("git", "commit", "-qm", "Run")
    for number in (1, 2):
        ws.set_control(built, tensors=str(number) * 64, weights=f"weights {number}")
        ws.dvc("exp", "run", "-q", "-n", f"try{number}")

    Registry(params).pin_champion()

    assert {event.subject.candidate for event in Registry(params).looks()} == {"2" * 64, "1" * 64}
    assert "Sweep with `-S evaluate.split=val`" in caplog.text
    main(["history"])
    assert "look 2 at champion v1.0.0: 17% of its budget of 20% is spent" in capsys.readouterr().out
