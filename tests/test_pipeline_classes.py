"""Two turns on the sample, for real: in the second a fifth class appears, and the ids of the old ones move."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.measure import files, operating
from tasks.measure.exported import Exported
from tasks.measure.matching import match
from tests import checkout, turn

pytestmark = pytest.mark.slow
OLD, NOW = ("washer", "nut", "bolt", "bracket"), ("washer", "plate", "nut", "bolt", "bracket")
REGISTRY = (sys.executable, "-m", "tasks.registry")
WATCH = (sys.executable, "-m", "tasks.watch", "--set", "watch.path=data/later", "--set", "watch.min_images=40")
SECOND: dict[str, dict[str, object]] = {
    "sample": {"classes": list(NOW), "num_train": 288},
    "baseline": {"weights": "champion.yaml", "epochs": 0},
    "gate": {"min_gain": -0.9, "max_class_drop": None, "max_metric_drop": None, "min_new_class_ap": 0.0, "max_golden_drop": 1.0},
}
"""The second turn, whose candidate is promoted whatever luck says."""
RESULTS = ("reports/evaluation.json", "reports/evaluation.npz", "reports/decision.json", "reports/operating.npz")


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A checkout whose second turn ran by the flow, one where DVC ran it up to the export, and what the flow printed."""
    root = turn.first_by_dvc(tmp_path_factory.mktemp("turns") / "checkout")
    checkout.run(root, *REGISTRY, "register")
    checkout.run(root, *REGISTRY, "promote", "v1.0.0", "--approver", "A. Reviewer", "--reason", "the first")
    checkout.set_params(root, SECOND)
    by_dvc = root.with_name("by-dvc")
    shutil.copytree(root, by_dvc, symlinks=True)
    output = checkout.run_flow(root, "flows.improve")
    checkout.run(by_dvc, *REGISTRY, "champion", "--pin")
    checkout.run(by_dvc, "dvc", "repro", "export")
    return root, by_dvc, output


def read(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / name).read_text())
    return found


def test_the_candidate_goes_on_from_the_champion_with_a_new_row(turns: tuple[Path, Path, str]) -> None:
    root, _, output = turns

    assert "detector@v1.0.0.pt is taken over as it is" in output
    assert "baseline epoch" not in output
    assert "finetune: the start weights do not know plate: these rows of the head begin anew" in output
    assert read(root, "models/finetune/contract.json")["new_classes"] == ["plate"]


def test_the_champion_is_measured_by_name_and_knows_no_plates(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    evaluation = read(root, "reports/evaluation.json")
    champion = evaluation["models"]["champion"]
    then = json.loads(checkout.run(root, *REGISTRY, "show", "v1.0.0", "--json"))["record"]

    assert (evaluation["names"], evaluation["reference"]) == (list(NOW), "champion")
    assert champion["classes"] == {"unknown": ["plate"], "renamed": {}, "absent": []}
    assert "box" not in champion["per_class"]["plate"]
    assert champion["box"]["mAP50"] > then["candidate"] / 2
    assert champion["tensors_sha256"] == evaluation["models"]["baseline"]["tensors_sha256"] == then["tensors"]


def test_the_decision_compares_old_classes_and_has_a_floor_for_the_new(turns: tuple[Path, Path, str]) -> None:
    root, _, output = turns
    decision = read(root, "reports/decision.json")

    assert (decision["verdict"], decision["classes"]["shared"]) == ("PROMOTE", list(OLD))
    champion = read(root, "reports/evaluation.json")["models"]["champion"]
    assert decision["reference"] == pytest.approx(champion["box"]["mAP50"])
    plate = decision["classes"]["new"]["plate"]["ap"]
    assert set(plate) == {"box.mAP50", "mask.mAP50"}
    assert min(plate.values()) > 0.1
    assert set(decision["per_class"]) == set(OLD)
    floors = [guard["name"] for guard in decision["guards"] if guard["name"].startswith("min_new_class_ap")]
    assert floors == ["min_new_class_ap: plate, box", "min_new_class_ap: plate, mask"]
    assert "classes    compared on 4 of 5; new: plate" in output


def test_the_second_turn_is_a_look_at_the_champion_that_is_shown_everywhere(turns: tuple[Path, Path, str]) -> None:
    root, _, output = turns
    reign = read(root, "reports/decision.json")["reign"]
    standing = "look 1 at champion v1.0.0; no budget limits the looks"  # without a bound there is none

    assert (reign["champion"], reign["look"]) == ("v1.0.0", 1)
    assert standing in output
    assert standing in checkout.run(root, *REGISTRY, "history")
    assert "This is look 1 at champion v1.0.0. No budget limits the looks" in (root / "reports/report.md").read_text()


def test_the_gate_split_of_the_champion_is_the_golden_set_of_a_turn_on_other_images(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    decision = read(root, "reports/decision.json")
    cumulative = decision["cumulative"]
    golden = read(root, "reports/evaluation.json")["golden"]
    then = json.loads(checkout.run(root, *REGISTRY, "show", "v1.0.0", "--json"))["record"]

    assert golden["names"] == list(OLD)
    (kept,) = (root / "models/registered/golden").iterdir()
    folders = (root / "data/sample/images", kept / "images")
    today, judged = ({path.read_bytes() for path in folder.rglob("*") if path.is_file()} for folder in folders)
    assert golden["split"]["images"] == len(judged - today) > 20
    assert golden["models"]["champion"]["box"]["mAP50"] == pytest.approx(then["candidate"], abs=0.05)
    assert golden["models"]["candidate"]["classes"]["absent"] == ["plate"]
    assert golden["models"]["candidate"]["box"]["mAP50"] > then["candidate"] / 2
    assert (cumulative["first"], cumulative["on_golden"], cumulative["num_steps"]) == ("v1.0.0", True, 1)
    assert cumulative["comparison"]["images"] == golden["split"]["images"]
    assert not (root / "runs/golden").exists()
    assert [part["name"] for part in decision["golden"]] == ["v1.0.0"]
    assert decision["golden"][0]["comparison"]["images"] == golden["split"]["images"]
    assert "max_golden_drop: v1.0.0, box.mAP50" in [guard["name"] for guard in decision["guards"]]
    assert "Since v1.0.0, the first version:" in (root / "reports/report.md").read_text(encoding="utf-8")


def test_both_doors_give_identical_bytes(turns: tuple[Path, Path, str]) -> None:
    first, second = ({name: hashlib.sha256((root / name).read_bytes()).digest() for name in RESULTS} for root in turns[:2])

    assert first == second


def test_the_version_the_card_and_the_report_name_the_new_class(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    record = json.loads(checkout.run(root, *REGISTRY, "show", "v2.0.0", "--json"))["record"]

    assert (record["names"], record["new_names"], record["parent"]) == (list(NOW), ["plate"], "v1.0.0")
    assert "on 4 of 5 classes" in checkout.run(root, *REGISTRY, "list")
    card = read(root, "models/export/card.json")
    assert (card["names"], card["new_classes"]) == (list(NOW), ["plate"])
    assert "Compared on the 4 of 5 classes that the champion knows: washer, nut, bolt, bracket." in (
        root / "reports/report.md"
    ).read_text(encoding="utf-8")


def test_the_champion_operates_by_its_own_card_and_the_ids_of_today(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    points = read(root, "reports/export.json")["points"]
    with chdir(root):
        evaluation = files.read()
        champion = operating.read(evaluation, Exported.read().points)["champion"].detections

    assert {name: point["chosen_on"] for name, point in points.items()} == {"champion": "card", "candidate": "val"}
    assert set(points["champion"]["conf"]) == set(OLD)
    card = json.loads(checkout.run(root, "git", "show", "detector@v1.0.0:reports/export.json"))["card"]["thresholds"]
    assert {key: points["champion"][key] for key in card} == card
    by_its_own_ids = replace(champion, cls=np.array([OLD.index(NOW[cls]) for cls in champion.cls], np.int32))
    right, wrong = (
        match(evaluation.targets, found, len(evaluation.images), 0.5).right.sum() for found in (champion, by_its_own_ids)
    )
    assert NOW.index("plate") not in champion.cls
    assert right > 2 * wrong


REVIEW = ("reports/review.json", "reports/review.csv", "reports/review.html")


def test_the_review_says_nothing_of_labels_that_the_champion_does_not_know(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    was = {path: (root / path).read_bytes() for path in REVIEW}
    assert json.loads(was[REVIEW[0]])["too_weak"], "the champion of so small a training lists nothing by itself"
    lifted = (
        "from tasks import review; from tasks.common.params import load; review.WEAK_SHARE_BY_MASKS = 0.0; review.run(load())"
    )
    try:
        checkout.run(root, sys.executable, "-c", lifted)
        with (root / "reports/review.csv").open() as file:
            labels = {row["label"] for row in csv.DictReader(file)}
    finally:
        for path, content in was.items():
            (root / path).write_bytes(content)

    assert labels <= {"", *OLD}
    assert labels & set(OLD)


def test_the_watch_leaves_out_what_the_champion_does_not_know(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    later = root / "data/later"
    shutil.copytree(root / "data/sample", later)
    checkout.run(root, *WATCH)
    plain = read(root, "runs/watch/watch.json")
    names = later / "data.yaml"
    names.write_text(names.read_text().replace("bracket", "angle"))

    refused = checkout.run(root, *WATCH, ok=False)
    checkout.run(root, *WATCH, "--set", "data.renamed_classes.bracket=angle")

    assert (plain["champion"], plain["unknown"]) == ("v1.0.0", ["plate"])
    assert plain["drops"][0]["now"] == pytest.approx(read(root, "reports/evaluation.json")["models"]["champion"]["box"]["mAP50"])
    assert "The champion does not know plate" in (root / "runs/watch/watch.md").read_text()
    assert "the champion knows classes that it does not name: bracket" in refused
    assert read(root, "runs/watch/watch.json")["drops"] == plain["drops"]


def test_a_run_after_the_second_turn_changes_nothing_and_its_version_can_be_promoted(turns: tuple[Path, Path, str]) -> None:
    root, *_ = turns
    assert "Nothing changed since the last run" in checkout.run_flow(root, "flows.improve")

    checkout.run(root, *REGISTRY, "promote", "v2.0.0", "--approver", "B. Reviewer", "--reason", "more data")

    history = json.loads(checkout.run(root, *REGISTRY, "history", "--json"))
    assert [(step.get("previous"), step["version"], step["approver"]) for step in history] == [
        (None, "v1.0.0", "A. Reviewer"),
        (None, "v1.0.0", "the gate"),
        ("v1.0.0", "v2.0.0", "B. Reviewer"),
    ]
