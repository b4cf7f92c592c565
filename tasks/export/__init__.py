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
from tasks.common.paths import EXPORT, EXPORT_SPEED
from tasks.common.replace import replacing
from tasks.common.stage import as_json
from tasks.measure.decision import Decision, Verdict
from tasks.measure.exported import Exported

log = logging.getLogger(__name__)


def run(params: Params) -> Exported:
    """Export the candidate in `export.formats`.

    Raises:
        PipelineError: a stage's result is missing, or the gate split changed since it was validated.
    """
    verdict = Decision.read().verdict
    reason = "the gate rejected the candidate" if verdict is Verdict.REJECT else "export.formats is empty"
    with replacing(EXPORT) as folder:
        folder.mkdir()
        if verdict is Verdict.REJECT or not params.export.formats:
            exported, speed = Exported(verdict=verdict, exported=False, reason=reason, formats={}), dict[str, Any]()
            log.info("export: nothing, %s", reason)
        else:
            from tasks.export.artifacts import export

            exported, speed = export(params, verdict, folder)
    exported.write({EXPORT_SPEED: as_json(speed)})
    return exported
