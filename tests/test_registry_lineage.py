"""Where the champion comes from: its line of versions, and the gate splits that judged them, from real DVC caches and remotes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tasks.common import dvcfiles
from tasks.common import params as params_module
from tasks.common.dataset import digest, read_dataset
from tasks.common.lineage import Lineage
from tasks.common.manifest import AcceptedSplit, Manifest
from tasks.common.params import Params
from tasks.measure import files
from tasks.measure.evaluation import Evaluation
from tasks.registry import Registry
from tests import workspace as ws
from tests.gate_data import random_evaluation
from tests.history_data import CACHE, cached
from tests.registry_data import RECORD, WHO
from tests.workspace import sh

pytestmark = pytest.mark.slow
DATA = Path("data/kept")


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml", ["evaluate.golden=auto"])


def tracked_data(mark: str) -> tuple[str, Evaluation]:
    """The md5 of a version of the data, whose three test images hold `mark`, and the evaluation on these."""
    shutil.rmtree(DATA, ignore_errors=True)
    for split in ("train", "val", "test"):
        for folder, suffix in (("images", "png"), ("labels", "txt")):
            for i in range(3):
                path = DATA / folder / split / f"{i}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{mark} {split} {i} {suffix}")
    (DATA / "data.yaml").write_text("train: images/train\nval: images/val\ntest: images/test\nnames: [bolt, nut]\n")
    paths = sorted(path for path in DATA.rglob("*") if path.is_file())
    listing = [{"md5": cached(path.read_bytes()), "relpath": path.relative_to(DATA).as_posix()} for path in paths]
    images = read_dataset(DATA).splits["test"]
    evaluation = random_evaluation(num_images=3)
    split = {**evaluation.split, "name": "test", "sha256": digest(DATA, images), "images": 3}
    below = tuple(image.relative_to(DATA).as_posix() for image in images)
    return cached(json.dumps(listing).encode(), ".dir"), replace(evaluation, split=split, images=below)  # type: ignore[arg-type]


def make_version(params: Params, weights: str, mark: str, parent: str | None, gain: float) -> str:
    """A version with its weights in the cache, and the files that a run leaves behind."""
    data, evaluation = tracked_data(mark)
    files.write(evaluation, {})
    statistics = cached(Path("reports/evaluation.npz").read_bytes())
    split = AcceptedSplit(3, 3, evaluation.split["sha256"])
    Manifest(
        path=DATA.as_posix(),
        task="segment",
        names=("bolt", "nut"),
        splits={"test": split},
        sha256="0" * 64,
        metadata_sha256=None,
        quarantined={},
    ).write()
    outs = [{"path": "reports/evaluation.npz", "md5": statistics, "size": 1, "hash": "md5"}]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": {"cmd": "true", "outs": outs}}}))
    sh("git", "add", "-f", "dvc.lock", "reports/evaluation.json", "reports/dataset.json")
    sh("git", "commit", "-q", "--allow-empty", "-m", weights)
    record = replace(
        RECORD,
        md5=cached(weights.encode()),
        data=DATA.as_posix(),
        data_version=data.removesuffix(".dir"),
        parent=parent,
        gain=gain,
    )
    return Registry(params).backend.add(record, sh("git", "rev-parse", "HEAD")).version


@pytest.fixture
def line(shared: Path, params: Params) -> Path:
    """v1.0.0, v1.1.0 on the same gate split, and v1.2.0 on another one; v1.2.0 is the champion."""
    turns = (("first", "one", None, 0.1), ("second", "one", "v1.0.0", 0.2), ("third", "two", "v1.1.0", 0.3))
    for turn in turns:
        Registry(params).promote(make_version(params, *turn), **WHO)
    return shared


def test_a_pin_holds_the_first_version_the_steps_and_each_gate_split_once(line: Path, params: Params) -> None:
    assert Registry(params).pin_champion() == "v1.2.0"

    lineage = Lineage.read()
    assert lineage.first is not None
    assert (lineage.champion, lineage.first.version) == ("v1.2.0", "v1.0.0")
    assert [(step.version, step.gain) for step in lineage.steps] == [("v1.1.0", 0.2), ("v1.2.0", 0.3)]
    assert [split.version for split in lineage.golden] == ["v1.2.0", "v1.1.0"]
    assert Path(lineage.first.weights).read_text() == "first"
    for split, mark in zip(lineage.golden, ("two", "one"), strict=True):
        kept = read_dataset(Path(split.folder))
        assert kept.names == ("bolt", "nut")
        assert digest(kept.root, kept.splits["val"]) == split.sha256
        assert {image.read_text().split()[0] for image in kept.images} == {mark}
    written = (line / "lineage.json").stat()
    Registry(params).pin_champion()
    assert (line / "lineage.json").stat() == written


def test_after_a_rollback_the_line_is_that_of_the_old_version(line: Path, params: Params) -> None:
    Registry(params).rollback(**WHO)
    Registry(params).pin_champion()

    lineage = Lineage.read()
    assert (lineage.champion, len(lineage.steps), len(lineage.golden or ())) == ("v1.1.0", 1, 1)


def test_a_clone_brings_the_split_from_the_dvc_remote(
    line: Path, params: Params, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.move(line / CACHE, tmp_path / "store/files/md5")
    Registry(params).pin_champion()

    assert len(Lineage.read().golden or ()) == 2
    assert "is not part of" not in caplog.text


@pytest.mark.parametrize("broken", ["lost", "other bytes"])
def test_a_split_that_cannot_be_had_is_left_out_and_named_until_it_is_back(
    line: Path, params: Params, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = dvcfiles.cache_object(line / ".dvc/cache", hashlib.md5(b"two test 1 png").hexdigest())
    image.unlink()
    if broken == "other bytes":
        image.write_text("something else")
    assert Registry(params).pin_champion() == "v1.2.0"

    assert [split.version for split in Lineage.read().golden or ()] == ["v1.1.0"]
    assert "detector@v1.2.0: its gate split is not part of the golden set" in caplog.text
    assert Lineage.read().left_out == ("v1.2.0",)
    assert list((line / "models/registered/golden").glob(".*")) == []
    image.write_text("two test 1 png")
    Registry(params).pin_champion()
    assert [split.version for split in Lineage.read().golden or ()] == ["v1.2.0", "v1.1.0"]
    assert Lineage.read().left_out == ()


def test_without_auto_nothing_is_brought(line: Path, params: Params) -> None:
    Registry(replace(params, evaluate=replace(params.evaluate, golden=None))).pin_champion()

    assert Lineage.read().golden is None
    assert not Path("models/registered/golden").exists()
