"""The whole pipeline on the sample, for real: drawn, checked, trained, evaluated, judged, reported and registered."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests import checkout, turn

pytestmark = pytest.mark.slow
IMPROVE = (sys.executable, "-m", "flows.improve")
REGISTRY = (sys.executable, "-m", "tasks.registry")
RESULTS = ("reports/evaluation.json", "reports/evaluation.npz", "reports/decision.json", "reports/operating.npz")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkout in which the flow ran once, and what it printed."""
    root = checkout.make(tmp_path_factory.mktemp("flow") / "checkout")
    return root, checkout.run_flow(root, "flows.improve")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_flow_ends_with_a_summary_and_a_registered_version(ran: tuple[Path, str]) -> None:
    root, output = ran
    decision = json.loads((root / "reports/decision.json").read_text())

    assert decision["verdict"] == "PROMOTE"
    heads = [line.split()[0] for line in output.splitlines()[-8:]]
    assert heads == ["data", "baseline", "candidate", "gain", "verdict", "version", "report", "next"]
    assert "detector@v1.0.0" in output.splitlines()[-3]
    assert "tasks.registry promote v1.0.0" in output.splitlines()[-1]


def test_each_stage_reports_into_the_log_of_the_run(ran: tuple[Path, str]) -> None:
    for words in (
        "sample: ",
        "validate: ",
        "baseline epoch 5/5",
        "finetune epoch 2/2",
        "evaluate candidate",
        "export onnx: kept",
        "registered",
    ):
        assert words in ran[1], words


def test_progress_metrics_and_report_are_artifacts(ran: tuple[Path, str]) -> None:
    with sqlite3.connect(ran[0] / ".prefect/prefect.db") as db:
        rows = db.execute("select key, type, data from artifact").fetchall()

    names = ("baseline-progress", "finetune-progress", "metrics", "report", "history")
    assert {key for key, _, _ in rows} >= {f"detector-{name}" for name in names}
    assert {float(data) for key, _, data in rows if key == "detector-baseline-progress"} == {100.0}
    assert "waits for a decision" in (ran[0] / "runs/history.html").read_text()


def test_the_label_checks_are_an_artifact(ran: tuple[Path, str]) -> None:
    with sqlite3.connect(ran[0] / ".prefect/prefect.db") as db:
        kind, text = db.execute("select type, data from artifact where key = 'detector-labels'").fetchone()

    assert kind == "markdown"
    assert "**passed**. 272 images" in text


def test_a_model_of_few_epochs_is_too_weak_to_review_labels_and_lists_none(ran: tuple[Path, str]) -> None:
    found = json.loads((ran[0] / "reports/review.json").read_text())

    assert (found["model"], found["reviewed"], found["too_weak"]) == ("baseline", 224, True)
    assert found["doubts"] == sum(found["kinds"].values()) == (ran[0] / "reports/review.csv").read_text().count("\n") - 1 == 0
    assert "TOO WEAK TO JUDGE" in (ran[0] / "reports/review.html").read_text()


def test_dvc_repro_after_the_flow_is_a_no_op(ran: tuple[Path, str]) -> None:
    root, _ = ran

    assert "Data and pipelines are up to date." in checkout.run(root, "dvc", "status")
    assert "Data and pipelines are up to date." in checkout.run(root, "dvc", "repro")


def test_a_second_run_builds_nothing_and_registers_nothing_new(ran: tuple[Path, str]) -> None:
    root, _ = ran
    before = {file: file.stat().st_mtime_ns for file in root.glob("models/*/*")}

    output = checkout.run_flow(root, "flows.improve")

    assert "Nothing changed since the last run" in output
    assert "detector@v1.0.0" in output
    assert {file: file.stat().st_mtime_ns for file in root.glob("models/*/*")} == before
    assert checkout.run(root, "git", "tag").split() == ["detector@v1.0.0"]


def test_gto_and_dvc_find_the_version(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, _ = ran

    assert "v1.0.0" in checkout.run(root, "gto", "show")
    checkout.run(root, "dvc", "artifacts", "get", ".", "detector", "--rev", "v1.0.0", "-o", str(tmp_path / "best.pt"))
    assert sha256(tmp_path / "best.pt") == sha256(root / "models/finetune/best.pt")
    files = checkout.run(root, "git", "ls-tree", "-r", "--name-only", "detector@v1.0.0").split()
    assert {
        "dvc.lock",
        "params.yaml",
        "reports/decision.json",
        "reports/report.md",
        "reports/export.json",
        "tasks/train/__init__.py",
    } <= set(files)


def test_the_artifacts_of_a_version_come_back_by_its_name_and_are_served(ran: tuple[Path, str], tmp_path: Path) -> None:
    root, _ = ran
    own = (*REGISTRY, "artifacts")
    assert json.loads(checkout.run(root, *REGISTRY, "show", "v1.0.0", "--json"))["artifacts"] == ["onnx"]
    checkout.run(root, "dvc", "get", ".", "models/export", "--rev", "detector@v1.0.0", "-o", str(tmp_path / "by-dvc"))

    checkout.run(root, *own, "v1.0.0", "--to", str(tmp_path / "deployed"))

    exported = json.loads((root / "reports/export.json").read_text())["formats"]["onnx"]
    for folder in ("by-dvc", "deployed"):
        for name, facts in exported["files"].items():
            assert sha256(tmp_path / folder / name) == facts["sha256"]
    image = next((root / "data/sample/images/test").iterdir())
    served = checkout.run(root, sys.executable, "examples/serve_onnx.py", str(tmp_path / "deployed"), str(image))
    assert all(line.startswith(str(image)) for line in served.splitlines())
    assert (tmp_path / "deployed/version.txt").read_text() == "detector@v1.0.0\n"
    assert "cannot be written" in checkout.run(root, *own, "v1.0.0", "--to", "/proc/nope/x", ok=False)
    assert "there is no champion yet" in checkout.run(root, *own, "--to", str(tmp_path / "other"), ok=False)
    assert "is there already" in checkout.run(root, *own, "v1.0.0", "--to", str(tmp_path / "deployed"), ok=False)


def test_metrics_and_plots_can_be_shown_by_dvc(ran: tuple[Path, str]) -> None:
    root, _ = ran

    metrics = json.loads(checkout.run(root, "dvc", "metrics", "show", "--json"))
    checkout.run(root, "dvc", "plots", "show", "--out", "plots-page")

    shown = metrics[""]["data"]
    assert shown["reports/gain.json"]["data"]["box"]["mAP50"] > 0.1
    assert max(map(len, checkout.run(root, "dvc", "metrics", "show").splitlines())) <= 120
    page = (root / "plots-page/index.html").read_text()
    assert "mAP on the validation split" in page
    assert not re.search(r"<script[^>]+src=|<link", page)  # what it loads would be missing where there is no network


def test_an_experiment_with_another_threshold_decides_anew_and_trains_nothing(ran: tuple[Path, str]) -> None:
    root, _ = ran
    checkout.run(root, "git", "add", "-A")
    checkout.run(root, "git", "commit", "-qm", "The first run")

    output = checkout.run(root, "dvc", "exp", "run", "-S", "gate.min_gain=9")

    assert json.loads((root / "reports/decision.json").read_text())["verdict"] == "REJECT"
    assert "Running stage 'baseline'" not in output
    checkout.run(root, "git", "checkout", "-q", ".")
    checkout.run(root, "dvc", "checkout", "-q")


def test_both_doors_give_identical_bytes(ran: tuple[Path, str], tmp_path: Path) -> None:
    other = turn.first_by_dvc(tmp_path / "checkout")

    assert {name: sha256(other / name) for name in RESULTS} == {name: sha256(ran[0] / name) for name in RESULTS}


def test_the_watch_finds_that_the_champion_is_worse_on_dark_images(ran: tuple[Path, str]) -> None:
    root, _ = ran
    checkout.run(root, *REGISTRY, "promote", "v1.0.0", "--approver", "A. Reviewer", "--reason", "the first")
    dark = root / "data/dark"
    shutil.copytree(root / "data/sample", dark)
    for file in (dark / "images/test").iterdir():
        with Image.open(file) as image:
            darker = image.point(lambda value: value * 0.35)
        darker.save(file)
    checkout.set_params(root, {"watch": {"path": "data/dark", "min_images": 40}})

    output = checkout.run_flow(root, "flows.watch")

    found = json.loads((root / "runs/watch/watch.json").read_text())
    assert (found["finding"], found["champion"]) == ("DROP", "v1.0.0")
    assert found["drops"][0]["interval"]["high"] < 0
    assert next(drift["feature"] for drift in found["drifts"] if drift["is_real"]) == "brightness"
    assert "there is no deployment improve/detector-improve on this server" in output
    with sqlite3.connect(root / ".prefect/prefect.db") as db:
        shown = db.execute("select data from artifact where key = 'detector-watch'").fetchone()[0]
        (look_next,) = db.execute("select data from artifact where key = 'detector-next-drift'").fetchone()
        tags = db.execute("select tags from flow_run where name like 'detector on data/dark'").fetchone()[0]
    assert set(json.loads(tags)) == {"ratchet", "detector"}
    assert "# DROP: champion" in shown
    assert "data:image/svg+xml;base64," in shown
    assert "python -m tasks.annotate ask --what drift --tool label-studio" in look_next
    assert "brightness" in look_next
    assert "Least like registration" in (root / "runs/watch/watch.html").read_text()


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a long training is next."""
    small: dict[str, dict[str, object]] = {
        "sample": {"num_train": 24, "num_val": 12, "num_test": 8},
        "validate": {"min_instances": 0},
        "baseline": {"epochs": 100},
    }
    root = checkout.make(tmp_path_factory.mktemp("checked") / "checkout", small)
    checkout.run(root, "dvc", "repro", "-q", "validate")
    return root


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_killing_the_flow_ends_its_training(checked: Path, tmp_path: Path, how: signal.Signals) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(checked, root, symlinks=True)
    flow = subprocess.Popen(
        IMPROVE, cwd=root, env=checkout.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert flow.stdout
    assert any("baseline epoch 1/100" in line for line in flow.stdout)

    flow.send_signal(how)
    flow.wait(timeout=60)

    deadline = time.monotonic() + 30
    while checkout.processes_in(root) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert [process.cmdline() for process in checkout.processes_in(root)] == []
    assert not (root / "models/baseline").exists()
