"""Write the report of a run: one page for a person, one Markdown file, and the training curves as a table.

reads   reports/{dataset,validation,evaluation,speed,decision,export,export_speed}.json, reports/{evaluation,operating}.npz,
        models/{baseline,finetune}/;
        the images and labels of the gate split for the gallery, where they are here
writes  reports/report.md      every section, readable in a terminal and on GitHub
        reports/report.html    the same with pictures, self-contained
        reports/worsened.svg   the images that got worse most, for places that show a picture and no page
        reports/errors.json    counts of errors in service, confusions that grew, and every image that got worse
        reports/curves.csv     a row an epoch, both phases on one axis, for `dvc plots`

Everything comes from stored files, so the report can be rebuilt at any time. Texts are in tasks/report/catalogue/.
"""

from __future__ import annotations

import logging

from tasks.common.params import Params
from tasks.common.paths import CURVES, REPORT, REPORT_PAGE, WORSENED

log = logging.getLogger(__name__)


def run(params: Params) -> None:
    """Write the report in `report.language`.

    Raises:
        PipelineError: a stage's result is missing or broken; the message names the stage to run. Nothing is written then.
        EvaluationError: the results are not about the same models.
    """
    from tasks.common.page import render as page
    from tasks.common.page.document import Cell, Document
    from tasks.report import gallery, inputs, markdown, sections
    from tasks.report.curves import curves_csv
    from tasks.report.facts import Facts
    from tasks.report.sections.brief import TONES
    from tasks.report.sections.outcome import headline

    facts = Facts(inputs.read(), params.report, params.finetune.recipe)
    verdict = facts.decision.verdict
    badge = Cell(facts.words(f"verdict.{verdict}"), TONES[verdict])
    document = Document(facts.words("document.title"), headline(facts), badge, sections.write(facts))
    text, html, table = markdown.render(document, facts.words), page.render(document, facts.words), curves_csv(facts.all_epochs)
    files = {CURVES: table, REPORT_PAGE: html, REPORT: text, WORSENED: gallery.worsened(facts)}
    facts.errors.write({path: content.encode() for path, content in files.items()})
    log.info("report: %s, %s %s -> %s, %s", verdict, facts.metric, facts.words.gain(facts.decision.gain), REPORT, REPORT_PAGE)
