"""Why a stage is built, in words that name the key, the file or the room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.common import dvcstale

LOCK = """\
schema: '2.0'
stages:
  finetune:
    cmd: python -m tasks.train finetune
    params:
      params.yaml:
        finetune:
          epochs: 3
          recipes: {careful: {lr0_share: 0.1}}
        gate.metric: box.mAP50
    outs:
    - {path: models/finetune, md5: 0123.dir, size: 1, nfiles: 1}
"""


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        (
            [{"changed deps": {"params.yaml": {"finetune": "modified", "gate.metric": "modified"}}}],
            (
                "finetune.epochs: 3 -> 5 in params.yaml",
                "finetune.recipes.careful.lr0_share: 0.1 -> None in params.yaml",
                "finetune.recipes.bold in params.yaml",
                "gate.metric: box.mAP50 -> mask.mAP50 in params.yaml",
            ),
        ),
        (
            [{"changed deps": {"tasks/train": "modified", "models/baseline": "deleted"}}, "changed command"],
            ("the code of tasks/train", "models/baseline is gone", "changed command"),
        ),
        ([{"changed outs": {"models/finetune": "not in cache"}}], ("its result models/finetune is not in the cache",)),
    ],
    ids=["parameters", "code, data and command", "results"],
)
def test_a_reason_names_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Sequence[Any], reasons: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(LOCK)
    Path("params.yaml").write_text(
        "finetune: {epochs: 5, recipes: {careful: {}, bold: {lr0_share: 1.0}}}\ngate: {metric: mask.mAP50}\n"
    )
    stages: Mapping[str, Sequence[Any]] = {"finetune": status, "gate": ["changed command"]}

    assert dvcstale.reasons_by_stage(stages) == {"finetune": tuple(reasons), "gate": ("not built yet",)}
