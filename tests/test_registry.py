"""Registration against a real git remote and a real DVC remote, read back by GTO and DVC themselves."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.common import params as params_module
from tasks.common.champion import pinned_card
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.measure.decision import Verdict
from tasks.measure.exported import Exported
from tasks.measure.operating import OperatingPoint
from tasks.registry import Registry, candidate, registration
from tasks.registry import record as rec
from tests import registry_data
from tests import workspace as ws
from tests.evidence_data import DECISION
from tests.registry_data import the_error
from tests.workspace import sh

RECORD = replace(registry_data.RECORD, names=("bolt", "Schraube ä"))


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


class TestRecord:
    @pytest.mark.parametrize(
        ("taken", "changes", "expected"),
        [
            pytest.param([], {}, "v1.0.0", id="the first"),
            pytest.param([(1, 0, 0)], {}, "v1.1.0", id="a minor step"),
            pytest.param([(1, 9, 0), (1, 10, 3)], {}, "v1.11.0", id="numbers are compared as numbers"),
            pytest.param([(1, 4, 0)], {"names": ("bolt",)}, "v2.0.0", id="other classes"),
            pytest.param([(1, 4, 0)], {"names": ("Schraube ä", "bolt")}, "v2.0.0", id="other order of classes"),
            pytest.param([(1, 4, 0)], {"task": "detect"}, "v2.0.0", id="other task"),
        ],
    )
    def test_the_number_follows_the_highest_one(self, taken: list[rec.Number], changes: dict[str, object], expected: str) -> None:
        assert rec.spell(rec.next_number(taken, RECORD, replace(RECORD, **changes))) == expected  # type: ignore[arg-type]

    def test_a_record_survives_its_tag(self) -> None:
        message = rec.encode("detector", "v1.0.0", RECORD)

        assert message.startswith("detector v1.0.0: PROMOTE, box.mAP50 0.5000 -> 0.6000 (+20.00%)\n\n{")
        assert rec.decode(message) == RECORD

    def test_a_key_of_a_later_release_is_left_out(self) -> None:
        head, _, body = rec.encode("detector", "v1.0.0", RECORD).partition("\n\n")

        assert rec.decode(f"{head}\n\n{json.dumps(json.loads(body) | {'approver': 'x'})}") == RECORD

    @pytest.mark.parametrize("message", ["", "by hand", "a\n\nb", "a\n\n[]", "a\n\n{}"])
    def test_a_tag_made_by_hand_has_no_record(self, message: str) -> None:
        assert rec.decode(message) is None


@pytest.mark.slow
class TestRegister:
    def test_a_version_holds_the_run_and_everybody_can_read_it(self, shared: Path, params: Params, tmp_path: Path) -> None:
        version = Registry(params).register()

        assert version.tag == "detector@v1.0.0"
        assert version.record is not None
        assert version.record.md5 == hashlib.md5(b"first weights").hexdigest()
        assert (version.record.verdict, version.record.gain, version.record.parent) == ("PROMOTE", pytest.approx(0.2), None)
        assert version.record.names == ("bolt", "nut")
        assert version.record.metrics == {"box": {"mAP50": 0.6}}
        assert "torch" in version.record.libraries
        assert sh("git", "cat-file", "-t", "detector@v1.0.0") == "tag"
        assert sh("git", "show", "detector@v1.0.0:reports/report.md").startswith("the report of")
        assert json.loads(sh("git", "show", "detector@v1.0.0:reports/decision.json"))["verdict"] == "PROMOTE"
        assert sh("git", "show", "detector@v1.0.0:dvc.lock") == (shared / "dvc.lock").read_text().strip()
        assert "v1.0.0" in sh("gto", "show", "detector")
        ws.dvc("artifacts", "get", ".", "detector", "--rev", "v1.0.0", "-o", str(tmp_path / "a.pt"))
        ws.dvc("get", ".", "models/finetune/best.pt", "--rev", "detector@v1.0.0", "-o", str(tmp_path / "b.pt"))
        assert (tmp_path / "a.pt").read_text() == (tmp_path / "b.pt").read_text() == "first weights"

    @pytest.mark.slow
    def test_another_clone_gets_the_weights_from_the_remotes(self, shared: Path, params: Params, tmp_path: Path) -> None:
        Registry(params).register()

        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        ws.dvc("artifacts", "get", str(tmp_path / "clone"), "detector", "-o", str(tmp_path / "best.pt"))
        assert (tmp_path / "best.pt").read_text() == "first weights"

    def test_the_same_model_twice_is_one_version(self, shared: Path, params: Params) -> None:
        first = Registry(params).register()

        assert Registry(params).register() == first
        assert sh("git", "tag") == "detector@v1.0.0"

    def test_a_promoted_champion_does_not_make_its_own_model_a_new_version(self, shared: Path, params: Params) -> None:
        first = Registry(params).register()
        (shared / "champion.yaml").write_text("name: detector\nversion: v1.0.0\n")

        assert Registry(params).register().version == first.version

    @pytest.mark.slow
    def test_the_next_model_is_a_minor_step_and_names_its_parent(self, shared: Path, params: Params) -> None:
        Registry(params).register()
        (shared / "champion.yaml").write_text("name: detector\nversion: v1.0.0\n")
        ws.run_stages(shared, weights="second weights", candidate="0.7")

        second = Registry(params).register()

        assert second.version == "v1.1.0"
        assert second.record is not None
        assert second.record.parent == "v1.0.0"
        assert [v.version for v in Registry(params).list_versions()] == ["v1.0.0", "v1.1.0"]

    @pytest.mark.slow
    def test_other_classes_are_a_major_step(self, shared: Path, params: Params) -> None:
        Registry(params).register()
        ws.run_stages(shared, weights="second weights", names="bolt nut washer")

        assert Registry(params).register().version == "v2.0.0"

    def test_branch_index_and_working_tree_stay_as_they_were(self, shared: Path, params: Params) -> None:
        (shared / "stage.py").write_text(ws.STAGE + "\n# edited, not staged\n")
        (shared / "staged file ä.txt").write_text("staged")
        sh("git", "add", "staged file ä.txt")
        (shared / "staged file ä.txt").write_text("staged, then edited")
        (shared / "gone.txt").write_text("tracked, then deleted")
        sh("git", "add", "gone.txt")
        (shared / "gone.txt").unlink()
        (shared / "untracked.txt").write_text("untracked")
        before = ws.untouchables(shared)

        version = Registry(params).register()

        after = ws.untouchables(shared)
        assert {key: after[key] == before[key] for key in before} == dict.fromkeys(before, True)
        files = sh("git", "-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", version.tag).splitlines()
        assert "untracked.txt" not in files
        assert "gone.txt" not in files
        assert sh("git", "show", f"{version.tag}:staged file ä.txt") == "staged, then edited"
        assert sh("git", "show", f"{version.tag}:stage.py").endswith("# edited, not staged")
        assert sh("git", "rev-parse", f"{version.tag}^{{commit}}~1") == sh("git", "rev-parse", "HEAD")

    @pytest.mark.slow
    def test_a_version_of_a_release_that_kept_the_candidate_elsewhere_stays_readable(
        self, shared: Path, params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = {name: (shared / name).read_text() for name in ("dvc.yaml", "stage.py")}
        for name, text in texts.items():
            (shared / name).write_text(text.replace("models/finetune", "models/candidate"))
        ws.run_stages(shared)
        with monkeypatch.context() as then:
            for module in (candidate, registration):
                then.setattr(module, "CANDIDATE", Path("models/candidate/best.pt"))
            version = Registry(params).register()
        assert version.record
        assert version.record.weights == "models/candidate/best.pt"
        for name, text in texts.items():
            (shared / name).write_text(text)
        ws.run_stages(shared)

        assert Registry(params).register().tag == version.tag
        assert Registry(params).fetch("v1.0.0").read_text() == "first weights"
        assert Registry(params).verify() == ()

    @pytest.mark.slow
    def test_a_run_can_be_repeated_from_its_tag(self, shared: Path, params: Params, tmp_path: Path) -> None:
        Registry(params).register()
        sh("git", "clone", "-q", "--branch", "detector@v1.0.0", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        ws.dvc("pull", "-q", cwd=tmp_path / "clone")

        assert ws.dvc("status", cwd=tmp_path / "clone") == "Data and pipelines are up to date."
        ws.run_stages(tmp_path / "clone", candidate="0.9")
        assert json.loads((tmp_path / "clone/reports/decision.json").read_text())["candidate"] == 0.9

    def test_a_code_file_that_was_never_added_is_in_the_version(self, root: Path, params: Params) -> None:
        sh("git", "rm", "-q", "-r", "--cached", "control")
        sh("git", "commit", "-qm", "Forget control")

        Registry(params).register()

        assert sh("git", "show", "detector@v1.0.0:control/candidate") == "0.6"

    def test_a_detached_head_and_no_configured_user_are_enough(
        self, root: Path, params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(root.parent))
        sh("git", "checkout", "-q", "--detach")

        Registry(params).register()

        assert sh("git", "log", "-1", "--format=%an %ae %cn", "detector@v1.0.0") == "ratchet ratchet@localhost ratchet"
        assert "tagger ratchet <ratchet@localhost>" in sh("git", "cat-file", "-p", "detector@v1.0.0")

    def test_without_a_dvc_remote_it_says_that_the_model_is_here_alone(
        self, root: Path, params: Params, caplog: pytest.LogCaptureFixture
    ) -> None:
        version = Registry(params).register()

        assert version.version == "v1.0.0"
        assert "models/finetune/best.pt is stored locally only: no DVC remote is configured" in caplog.text

    def test_no_tag_is_pushed_for_weights_that_nobody_else_can_fetch(self, root: Path, params: Params, tmp_path: Path) -> None:
        ws.add_git_remote(root, tmp_path / "origin.git")

        assert Registry(params).register().version == "v1.0.0"
        assert sh("git", "tag") == "detector@v1.0.0"
        assert sh("git", "tag", cwd=tmp_path / "origin.git") == ""

    def test_a_version_from_before_the_remote_is_pushed_by_the_next_call(
        self, root: Path, params: Params, tmp_path: Path
    ) -> None:
        Registry(params).register()
        ws.add_git_remote(root, tmp_path / "origin.git")
        ws.add_dvc_remote(root, tmp_path / "store")

        Registry(params).register()

        assert sh("git", "tag", cwd=tmp_path / "origin.git") == "detector@v1.0.0"
        assert any((tmp_path / "store").rglob("*"))

    @pytest.mark.slow
    def test_a_number_that_another_model_took_meanwhile_is_left_to_it(self, root: Path, params: Params, tmp_path: Path) -> None:
        Registry(params).register()
        ws.add_git_remote(root, tmp_path / "origin.git")
        ws.add_dvc_remote(root, tmp_path / "store")
        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        sh("git", "tag", "-a", "-m", "theirs", "detector@v1.0.0", cwd=tmp_path / "clone")
        sh("git", "push", "-q", "origin", "detector@v1.0.0", cwd=tmp_path / "clone")

        assert Registry(params).register().version == "v1.1.0"
        assert sh("git", "tag", cwd=tmp_path / "origin.git").split() == ["detector@v1.0.0", "detector@v1.1.0"]
        assert sh("git", "rev-parse", "detector@v1.0.0") == sh("git", "rev-parse", "detector@v1.0.0", cwd=tmp_path / "origin.git")

    @pytest.mark.parametrize("is_first_alone", [False, True])
    def test_a_tag_that_was_replaced_on_the_remote_is_not_taken_for_another_run(
        self, root: Path, params: Params, tmp_path: Path, is_first_alone: bool
    ) -> None:
        if is_first_alone:
            Registry(params).register()
        ws.add_git_remote(root, tmp_path / "origin.git")
        ws.add_dvc_remote(root, tmp_path / "store")
        Registry(params).register()
        own, commit = sh("git", "rev-parse", "detector@v1.0.0"), sh("git", "rev-parse", "detector@v1.0.0^{commit}")
        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        sh("git", "tag", "-f", "-a", "-m", "foreign", "detector@v1.0.0", cwd=tmp_path / "clone")
        sh("git", "push", "-q", "--force", "origin", "detector@v1.0.0", cwd=tmp_path / "clone")
        foreign = sh("git", "rev-parse", "detector@v1.0.0", cwd=tmp_path / "clone")

        for verb in (Registry.register, partial(Registry.promote, version="v1.0.0", approver="A", reason="R")):
            with pytest.raises(RegistryError, match="the remote has another tag of this name") as caught:
                verb(Registry(params))
            assert f"here: {own}" in str(caught.value)
            assert f"on origin: {foreign}" in str(caught.value)
        assert sh("git", "tag", "--format=%(refname:lstrip=2) %(objectname)") == f"detector@v1.0.0 {own}"
        assert sh("git", "tag", cwd=tmp_path / "origin.git") == "detector@v1.0.0"
        assert "the tag detector@v1.0.0 here" in {fault.what for fault in Registry(params).verify()}

        fix = str(caught.value)[str(caught.value).index("Is yours right: ") :]
        sh("bash", "-ec", fix.removeprefix("Is yours right: ").partition(". ")[0])
        assert Registry(params).register().commit == commit
        assert sh("git", "rev-parse", "detector@v1.0.0", cwd=tmp_path / "origin.git") == own

    def test_a_tag_that_was_deleted_on_the_remote_is_put_back(self, shared: Path, params: Params, tmp_path: Path) -> None:
        Registry(params).register()
        own = sh("git", "rev-parse", "detector@v1.0.0")
        sh("git", "push", "-q", "--delete", "origin", "detector@v1.0.0")

        with pytest.raises(RegistryError, match="this version is not on the remote"):
            Registry(params).promote("v1.0.0", approver="A", reason="R")
        assert Registry(params).register().version == "v1.0.0"
        assert sh("git", "rev-parse", "detector@v1.0.0", cwd=tmp_path / "origin.git") == own

    @pytest.mark.slow
    def test_clones_that_register_at_once_get_distinct_numbers(self, shared: Path, params: Params, tmp_path: Path) -> None:
        num = 4
        clones = [tmp_path / f"clone{i}" for i in range(num)]
        for i, clone in enumerate(clones):
            sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(clone))
            ws.run_stages(clone, weights=f"weights {i}")
        command = [sys.executable, "-m", "tasks.registry", "register", "--json"]
        running = [subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for clone in clones]
        results = [process.communicate() for process in running]

        assert [process.returncode for process in running] == [0] * num, results
        made = {json.loads(out)["version"]: json.loads(out)["record"]["md5"] for out, _ in results}
        assert sorted(made) == [f"v1.{i}.0" for i in range(num)]
        assert len(set(made.values())) == num
        sh("git", "fetch", "-q", "--tags", "origin")
        assert {v.version: v.record.md5 for v in Registry(params).list_versions() if v.record} == made

    @pytest.mark.slow
    def test_the_same_weights_from_two_clones_are_one_version(self, shared: Path, tmp_path: Path) -> None:
        clones = [tmp_path / f"clone{i}" for i in range(2)]
        for clone in clones:
            sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(clone))
            ws.run_stages(clone, weights="the same")
        command = [sys.executable, "-m", "tasks.registry", "register", "--json"]
        running = [subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE) for clone in clones]
        versions = {json.loads(process.communicate()[0])["version"] for process in running}

        assert versions == {"v1.0.0"}
        assert sh("git", "tag", cwd=tmp_path / "origin.git") == "detector@v1.0.0"


@pytest.mark.slow
class TestRefusals:
    def test_a_rejected_candidate_is_refused(self, root: Path, params: Params) -> None:
        ws.run_stages(root, verdict="REJECT")

        assert the_error(lambda: Registry(params).register()).what == "the verdict is REJECT"
        assert the_error(lambda: Registry(params).register(allow_inconclusive=True)).what == "the verdict is REJECT"

    def test_an_inconclusive_candidate_is_registered_only_on_request(self, root: Path, params: Params) -> None:
        ws.run_stages(root, verdict="INCONCLUSIVE")

        assert "--allow-inconclusive" in the_error(lambda: Registry(params).register()).fix
        version = Registry(params).register(allow_inconclusive=True)
        assert version.record is not None
        assert version.record.verdict == "INCONCLUSIVE"

    @pytest.mark.parametrize(
        ("file", "text", "expected"),
        [
            pytest.param("control/candidate", "0.7", "control changed", id="code"),
            pytest.param(
                "reports/decision.json", DECISION.encode().decode(), "its result reports/decision.json changed", id="decision"
            ),
            pytest.param("models/finetune/best.pt", "tampered", "its result models/finetune changed", id="weights"),
            pytest.param("data/sample/images/test/0.png", "other", "its result data/sample changed", id="data"),
            pytest.param("champion.yaml", "name: detector\nversion: v9.0.0\n", "champion.yaml changed", id="champion"),
        ],
    )
    def test_a_run_that_is_not_up_to_date_is_refused(
        self, root: Path, params: Params, file: str, text: str, expected: str
    ) -> None:
        (root / file).unlink()
        (root / file).write_text(text)

        error = the_error(lambda: Registry(params).register())

        assert expected in error.what
        assert sh("git", "tag") == ""

    def test_weights_that_are_not_in_the_cache_are_refused(self, root: Path, params: Params) -> None:
        (root / "control" / "weights").write_text("uncommitted")
        ws.dvc("repro", "-q", "--no-commit")

        assert "are not in the DVC cache" in the_error(lambda: Registry(params).register()).what

    def test_nothing_to_register_says_so(self, root: Path, params: Params) -> None:
        (root / "dvc.lock").unlink()

        assert the_error(lambda: Registry(params).register()).block() == (
            "error: there is no candidate yet\nwhere: models/finetune/best.pt\nnext:  Run `dvc repro`."
        )

    def test_an_unreachable_git_remote_leaves_no_tag(self, shared: Path, params: Params, tmp_path: Path) -> None:
        (tmp_path / "origin.git").rename(tmp_path / "away.git")

        assert the_error(lambda: Registry(params).register()).where == "origin"
        assert sh("git", "tag") == ""

    def test_a_remote_that_refuses_the_tag_leaves_none_here(self, shared: Path, params: Params, tmp_path: Path) -> None:
        hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho protected tags >&2\nexit 1\n")
        hook.chmod(0o755)

        assert "protected tags" in the_error(lambda: Registry(params).register()).what
        assert sh("git", "tag") == ""

    def test_an_unreachable_dvc_remote_leaves_no_tag_anywhere(self, shared: Path, params: Params, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        (tmp_path / "store").write_text("a file where the store was")

        with pytest.raises(WorkspaceError, match="dvc push"):
            Registry(params).register()

        assert sh("git", "tag") == ""
        assert sh("git", "tag", cwd=tmp_path / "origin.git") == ""

    def test_no_repository_and_no_commit_are_said_as_such(self, root: Path, params: Params) -> None:
        (root / ".git").rename(root / "git")
        with pytest.raises(WorkspaceError, match="not a git repository"):
            Registry(params).register()

        sh("git", "init", "-q")
        with pytest.raises(WorkspaceError, match="no commit yet"):
            Registry(params).register()

    def test_the_same_tensors_in_another_file_are_the_same_version(self, root: Path, params: Params) -> None:
        ws.run_stages(root, weights="trained on Monday", tensors="ab12")
        first = Registry(params).register()
        ws.run_stages(root, weights="trained on Tuesday", tensors="ab12")

        assert Registry(params).register().tag == first.tag

    def test_weights_that_were_deprecated_do_not_come_back_as_a_new_version(self, root: Path, params: Params) -> None:
        ws.run_stages(root, weights="trained on Monday", tensors="ab12")
        first = Registry(params).register()
        Registry(params).deprecate(first.version, approver="A", reason="leaked images")
        ws.run_stages(root, weights="trained on Tuesday", tensors="ab12")

        with pytest.raises(RegistryError, match=r"these weights are v1\.0\.0, which was deprecated .* leaked images"):
            Registry(params).register()

        assert sh("git", "tag", "-l", "detector@*").split() == ["detector@v1.0.0", "detector@v1.0.0!"]


@pytest.mark.slow
class TestStages:
    def test_no_version_is_the_champion_at_first(self, root: Path, params: Params) -> None:
        assert Registry(params).champion() is None
        assert Registry(params).pin_champion() is None
        assert (root / "champion.yaml").read_text().endswith("name: detector\nversion: null\n")

    @pytest.mark.slow
    def test_the_latest_assignment_is_the_champion(self, shared: Path, params: Params) -> None:
        Registry(params).register()
        ws.run_stages(shared, weights="second weights")
        Registry(params).register()
        sh("gto", "assign", "detector", "--version", "v1.1.0", "--stage", "production")
        assert Registry(params).champion() == "v1.1.0"

        sh("gto", "assign", "detector", "--version", "v1.0.0", "--stage", "production")
        assert Registry(params).champion() == "v1.0.0"
        assert Registry(params).show("v1.0.0").stages == ("production",)

        sh("gto", "assign", "detector", "--version", "v1.1.0", "--stage", "staging")
        assert Registry(params).champion() == "v1.0.0"

    def test_pinning_writes_the_file_once_and_brings_the_weights(self, shared: Path, params: Params) -> None:
        version = Registry(params).register()
        assert version.record is not None
        sh("gto", "assign", "detector", "--version", "v1.0.0", "--stage", "production")

        assert Registry(params).pin_champion() == "v1.0.0"

        first = (shared / "champion.yaml").stat()
        assert (shared / "champion.yaml").read_text().splitlines()[1:] == [
            "name: detector",
            "version: v1.0.0",
            "weights: models/registered/detector@v1.0.0.pt",
            f"md5: {version.record.md5}",
        ]
        assert (shared / "models/registered/detector@v1.0.0.pt").read_text() == "first weights"
        Registry(params).pin_champion()
        again = (shared / "champion.yaml").stat()
        assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)

    def test_the_pin_has_the_thresholds_that_the_champion_ships(self, shared: Path, params: Params) -> None:
        conf = {"bolt": 0.31, "nut: a": 0.4}
        point = OperatingPoint(
            conf=conf, iou=0.3, mask=0.55, max_det=300, end2end=False, imgsz=128, chosen_on="val", tensors_sha256="c" * 64
        )
        said: dict[str, Any] = {"verdict": Verdict.PROMOTE, "reason": "", "formats": {}, "points": {"candidate": point}}
        Exported(exported=True, **said).write()
        Registry(params).register()
        sh("gto", "assign", "detector", "--version", "v1.0.0", "--stage", "production")

        Registry(params).pin_champion()

        assert pinned_card() == {"imgsz": 128, "end2end": False, "conf": conf, "iou": 0.3, "mask": 0.55, "max_det": 300}

    @pytest.mark.slow
    def test_a_champion_that_somebody_else_promoted_is_seen(self, shared: Path, params: Params, tmp_path: Path) -> None:
        Registry(params).register()
        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        sh("gto", "assign", "detector", "--version", "v1.0.0", "--stage", "production", "--push", cwd=tmp_path / "clone")

        assert Registry(params).pin_champion() == "v1.0.0"

    def test_a_remote_that_does_not_answer_leaves_the_champion_known_here(
        self, shared: Path, params: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "origin.git").rename(tmp_path / "away.git")

        assert Registry(params).pin_champion() is None
        assert "the champion is the one known here" in caplog.text


@pytest.mark.slow
class TestFetch:
    def test_an_older_version_comes_back(self, root: Path, params: Params) -> None:
        Registry(params).register()
        ws.run_stages(root, weights="second weights")

        path = Registry(params).fetch("detector@v1.0.0")

        assert path == Path("models/registered/detector@v1.0.0.pt")
        assert path.read_text() == "first weights"

    def test_a_fresh_clone_fetches_from_the_dvc_remote(
        self, shared: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Registry(params).register()
        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        monkeypatch.chdir(tmp_path / "clone")

        assert Registry(params).fetch("v1.0.0").read_text() == "first weights"

    def test_the_report_of_a_version_says_in_a_frame_what_became_of_it(
        self, shared: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Registry(params).register()
        ws.run_stages(shared, weights="second weights")
        sh("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
        monkeypatch.chdir(tmp_path / "clone")
        Registry(params).promote("v1.0.0", approver="<b>Ada</b>", reason="it holds")

        path = Registry(params).report("v1.0.0")

        text = path.read_text()
        assert path == Path("runs/reports/detector@v1.0.0.html")
        assert text.endswith("</dl></aside><p>first weights")
        assert re.search(r"晋级</dt><dd[^>]*>20\d\d-.*v1\.0\.0  &lt;b&gt;Ada&lt;/b&gt;: it holds</dd>", text)
        assert re.search(r"阶段</dt><dd[^>]*>production</dd>", text)
        assert Registry(params).report("v1.0.0", Path("here.html")).read_text() == text
        for cached in (shared / ".dvc/cache", tmp_path / "store", Path(".dvc")):
            for file in cached.rglob("*"):
                if file.is_file() and file.read_bytes().endswith(b"<p>first weights"):
                    file.unlink()
        assert "it is in no DVC cache and on no remote" in the_error(lambda: Registry(params).report("v1.0.0")).what

    def test_what_is_here_and_right_is_kept_and_what_is_wrong_is_replaced(self, root: Path, params: Params) -> None:
        Registry(params).register()
        path = Registry(params).fetch("v1.0.0")
        before = path.stat()

        Registry(params).fetch("v1.0.0")
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

        path.write_text("first weightz")
        assert Registry(params).fetch("v1.0.0").read_text() == "first weights"

    def test_a_changed_byte_in_the_cache_is_not_passed_on(self, root: Path, params: Params) -> None:
        version = Registry(params).register()
        assert version.record is not None
        cached = root / ".dvc/cache/files/md5" / version.record.md5[:2] / version.record.md5[2:]
        cached.chmod(0o644)
        cached.write_text("first weightz")

        error = the_error(lambda: Registry(params).fetch("v1.0.0"))

        assert error.where == "detector@v1.0.0"
        assert not list((root / "models/registered").iterdir())

    def test_an_unknown_version_names_the_known_ones(self, root: Path, params: Params) -> None:
        Registry(params).register()

        assert the_error(lambda: Registry(params).fetch("v7.0.0")).what == "no version v7.0.0 of detector; known: v1.0.0"

    def test_a_version_that_gto_registered_by_hand_can_be_fetched(self, root: Path, params: Params) -> None:
        sh("gto", "register", "detector", "HEAD", "--version", "v1.0.0")

        assert Registry(params).show("v1.0.0").record is None
        assert Registry(params).fetch("v1.0.0").read_text() == "first weights"


@pytest.mark.slow
class TestProgram:
    @pytest.mark.slow
    def test_the_verbs_print_text_and_json(self, root: Path) -> None:
        def verb(*args: str) -> str:
            return sh(sys.executable, "-m", "tasks.registry", *args)

        assert verb("list") == "no version of detector yet"
        assert verb("register").startswith("detector@v1.0.0  20")
        assert json.loads(verb("list", "--json"))[0]["record"]["verdict"] == "PROMOTE"
        assert "PROMOTE, box.mAP50 0.5000 -> 0.6000 (+20.00%)" in verb("show", "v1.0.0")
        assert "artifacts  none was kept" in verb("show", "v1.0.0")
        assert verb("fetch", "v1.0.0") == "models/registered/detector@v1.0.0.pt"
        assert verb("champion") == "detector has no champion yet"
        assert json.loads(verb("champion", "--json")) == {"name": "detector", "version": None}

    def test_an_error_is_a_block_and_exit_code_1(self, root: Path) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "tasks.registry", "show", "v3.0.0"], capture_output=True, text=True, check=False
        )

        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("error: no version v3.0.0 of detector; known: none\nwhere: detector@v3.0.0\nnext:  ")
