"""Find where reference and candidate operate, convert the candidate for other runtimes, and keep what is good and fast enough.

reads   reports/{dataset,evaluation,decision}.json, models/{baseline,finetune}/best.pt, champion.yaml;
        splits train (INT8), val (thresholds) and the gate's
writes  models/export/             the artifacts that are kept, card.json and card.md
        reports/export.json        each format: kept, refused or skipped, and why; mAP with its interval, parity, size, hashes
        reports/export_speed.json  measured times and memory; apart, so that the other file is the same after every repeat
        reports/operating.npz      what reference and candidate detect in the gate split at their thresholds, for the report

A candidate that the gate rejects is not exported; thresholds are chosen all the same, so that the report can say what each
model would do in service. The rest is Ultralytics' exporter, evaluate's harness, the gate's resamples, and a clean process for
each artifact that has its runtime and nothing else.
"""

from __future__ import annotations

from tasks.common.params import Params
from tasks.common.paths import EXPORT, EXPORT_SPEED, OPERATING
from tasks.common.replace import replacing
from tasks.common.stage import as_json
from tasks.measure.decision import Decision, Verdict
from tasks.measure.exported import Exported


def run(params: Params) -> Exported:
    """Choose thresholds, and export the candidate in `export.formats`.

    Raises:
        PipelineError: a stage's result is missing, or the gate split changed since it was validated.
    """
    verdict = Decision.read().verdict
    reason = "" if params.export.formats else "export.formats is empty"
    if verdict is Verdict.REJECT:
        reason = "the gate rejected the candidate"
    with replacing(EXPORT) as folder:
        folder.mkdir()
        from tasks.export.artifacts import export

        result = export(params, verdict, reason, folder)
    result.exported.write({EXPORT_SPEED: as_json(result.speed), OPERATING: result.operating})
    return result.exported
