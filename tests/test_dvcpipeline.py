"""Only our own pipeline counts, whatever else lies in the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from flows.improve import makers_of_data
from flows.stages import STAGES
from tasks.common import dvc, params
from tasks.common.dvcpipeline import Pipeline, built_from
from tasks.common.errors import WorkspaceError
from tasks.common.stage import disk_full
from tasks.registry import Registry
from tests import workspace as ws

ROOT = Path(__file__).parents[1]
NEVER_RUN = "stages:\n  crawl:\n    cmd: echo hi > out.txt\n    outs: [out.txt]\n"
FOREIGN = {
    "a pipeline that never ran": ("prep/dvc.yaml", NEVER_RUN),
    "a stage of the same name": ("prep/dvc.yaml", NEVER_RUN.replace("crawl", "evaluate")),
    "a broken pipeline": ("prep/dvc.yaml", "stages: [\n"),
    "a pipeline of another version of DVC": ("prep/dvc.yaml", "stages:\n  a: {cmd: x, unheard: of}\n"),
    "a broken .dvc file": ("prep/data.dvc", "outs: [\n"),
    "data that is not here": ("prep/data.dvc", f"outs:\n- md5: {'0' * 32}\n  path: data\n  hash: md5\n"),
    "parameters without a meaning here": ("prep/params.yaml", "{"),
}
foreign = pytest.mark.parametrize(("file", "content"), FOREIGN.values(), ids=FOREIGN)


@pytest.mark.slow
@foreign
def test_another_pipeline_makes_no_stage_stale(root: Path, file: str, content: str) -> None:
    (root / "prep").mkdir()
    (root / file).write_text(content)

    assert dvc.stale_stages(lock_wait_s=5) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a broken pipeline", "data that is not here"])
def test_a_version_is_registered_and_pushed_beside_another_pipeline(shared: Path, kind: str) -> None:
    file, content = FOREIGN[kind]
    (shared / "prep").mkdir()
    (shared / file).write_text(content)
    ws.sh("git", "add", "-A")  # a .dvc file that is not committed is refused, as it may be the dataset's

    version = Registry(params.load()).register()

    assert version.record is not None
    md5 = version.record.md5
    assert (shared.parent / "store" / "files" / "md5" / md5[:2] / md5[2:]).is_file()


@pytest.mark.slow
def test_a_stage_that_a_user_added_counts_only_where_ours_are_built_from_it(root: Path) -> None:
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text())
    pipeline["stages"]["notes"] = {"cmd": "echo > notes.txt", "deps": ["reports/report.md"], "outs": ["notes.txt"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))

    assert dvc.stale_stages(STAGES, lock_wait_s=5) == {}
    assert set(dvc.stale_stages(lock_wait_s=5)) == {"notes"}


def test_a_stage_comes_after_everything_that_it_is_built_from(root: Path) -> None:
    pipeline = {
        "last": {"cmd": "x", "deps": ["b/file.txt", "raw", "${data.path}"]},
        "other": {"cmd": "x", "outs": ["c"]},
        "middle": {"cmd": "x", "wdir": "b", "deps": ["../a"], "outs": [{"file.txt": {"cache": False}}]},
        "first": {"cmd": "x", "metrics": [{"a/metrics.json": {"cache": False}}]},
        "drawn": {"cmd": "x", "outs": ["data/mine"]},
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline}, sort_keys=False))
    (root / "params.yaml").write_text("data: {path: data/mine}\n")
    (root / "raw.dvc").write_text("outs: []\n")

    assert built_from(["last", "no such stage"]) == ("first", "middle", "raw.dvc", "drawn", "last")
    assert built_from() == ("first", "middle", "raw.dvc", "drawn", "last", "other")


def test_the_sample_is_drawn_only_for_a_run_on_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)

    assert makers_of_data() == ("sample",)

    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("path: data/sample", "path: data/mine"))
    assert makers_of_data() == ()
    assert built_from(["validate"]) == ("validate",)


@pytest.mark.slow
def test_the_advice_for_a_full_disk_keeps_the_weights_of_registered_versions(root: Path) -> None:
    Registry(params.load()).register()
    ws.run_stages(root, weights="second weights", candidate="0.7")

    advice = disk_full(OSError(28, "No space left on device")).fix
    command = advice.partition("`")[2].partition("`")[0].split()
    ws.dvc(*command[1:], "--force")

    assert Registry(params.load()).fetch("v1.0.0").is_file()


@pytest.mark.slow
def test_a_broken_file_of_somebody_else_is_named_where_dvc_must_read_all(root: Path) -> None:
    (root / "prep").mkdir()
    (root / "prep/dvc.yaml").write_text("stages: [\n")
    (root / "data/mine").mkdir()
    (root / "data/mine/data.yaml").write_text("names: [a]\n")

    with pytest.raises(WorkspaceError) as caught:
        dvc.run(["add", "data/mine"], lock_wait_s=5)

    assert caught.value.fix == "Mend ./prep/dvc.yaml. If it is not Ratchet's, .dvcignore can hide its folder from DVC."

    (root / ".dvcignore").write_text("prep\n")
    dvc.run(["add", "data/mine"], lock_wait_s=5)
    assert (root / "data/mine.dvc").is_file()


@pytest.mark.slow
def test_a_tracked_dataset_is_compared_once_and_what_its_file_names_still_counts(root: Path) -> None:
    (root / "raw").mkdir()
    (root / "raw/0.txt").write_text("0")
    ws.dvc("add", "-q", "raw")
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text())
    pipeline["stages"]["finetune"]["deps"].append("raw")
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    ws.run_stages(root)
    assert Pipeline.read().compared_by_stages(built_from(["finetune"])) == {"raw.dvc": Path("raw")}
    assert dvc.stale_stages(["finetune"], lock_wait_s=5) == {}
    before = (root / "raw.dvc").read_text()

    (root / "raw/0.txt").write_text("1")
    assert dvc.stale_stages(["finetune"], lock_wait_s=5) == {"finetune": ("raw changed",)}
    ws.dvc("add", "-q", "raw")
    assert set(dvc.stale_stages(["finetune"], lock_wait_s=5)) == {"finetune", "raw.dvc"}
    ws.run_stages(root)
    (root / "raw.dvc").write_text(before)
    assert dvc.stale_stages(["finetune"], lock_wait_s=5) == {"raw.dvc": ("it names another version of raw than dvc.lock",)}
    ws.dvc("add", "-q", "raw")
    shutil.rmtree(root / ".dvc/cache")
    assert dvc.stale_stages(["finetune"], lock_wait_s=5)["raw.dvc"] == ("its result raw is not in the cache",)
