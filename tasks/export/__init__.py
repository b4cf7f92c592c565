"""Convert the candidate for other runtimes, measure each artifact, and keep those that are as good and fast enough.

reads   reports/{dataset,evaluation,decision}.json, models/finetune/best.pt; splits train (INT8), val (thresholds) and the gate's
writes  models/export/             the artifacts that are kept, card.json and card.md
        reports/export.json        each format: kept, refused or skipped, and why; mAP with its interval, parity, size, hashes
        reports/export_speed.json  measured times and memory; apart, so that the other file is the same after every repeat

A candidate that the gate rejects is not exported. The rest is Ultralytics' exporter, evaluate's harness, the gate's resamples,
and a clean process for each artifact that has its runtime and nothing else.
"""

from __future__ import annotations

import logging
from typing import Any

from tasks.common.params import Params
from tasks.common.paths import DECISION, EXPORT, EXPORT_SPEED, EXPORTED
from tasks.common.replace import replace_files, replacing
from tasks.common.stage import as_json, read_json

log = logging.getLogger(__name__)


def run(params: Params) -> dict[str, Any]:
    """Export the candidate in `export.formats`.

    Raises:
        PipelineError: a stage's result is missing, or the gate split changed since it was validated.
    """
    verdict = str(read_json(DECISION, "gate")["verdict"])
    reason = "the gate rejected the candidate" if verdict == "REJECT" else "export.formats is empty"
    with replacing(EXPORT) as folder:
        folder.mkdir()
        if verdict == "REJECT" or not params.export.formats:
            content: dict[str, Any] = {"verdict": verdict, "exported": False, "reason": reason, "formats": {}}
            speed: dict[str, Any] = {}
            log.info("export: nothing, %s", reason)
        else:
            from tasks.export.artifacts import export

            content, speed = export(params, verdict, folder)
    replace_files({EXPORT_SPEED: as_json(speed), EXPORTED: as_json(content)})
    return content
