"""The report as a comment on a pull request: the first screen, the metrics, and the three worst things.

`python -m tasks.report --comment | gh pr comment --body-file -` posts it; docs/ci.md has a workflow that does.
"""

from __future__ import annotations

import sys

from tasks.common.page.document import cell
from tasks.common.params import Params
from tasks.common.paths import REPORT, REPORT_PAGE
from tasks.common.text import code, markdown
from tasks.common.text import table as markdown_table
from tasks.report import inputs
from tasks.report.facts import Facts
from tasks.report.sections import brief, metrics
from tasks.report.sections.lost import lost_parts
from tasks.report.sections.outcome import headline

NUM_WORST = 3


def run(params: Params) -> None:
    """Write the comment to standard output.

    Raises:
        PipelineError: a stage's result is missing or broken.
    """
    sys.stdout.write(text(Facts(inputs.read(), params.report, params.finetune.recipe)))


def text(facts: Facts) -> str:
    """The comment as Markdown, in the report's language."""
    words, first, table = facts.words, brief.block(facts), metrics.table(facts)
    lines = [f"- **{name}**: {value.text}" for name, value in first.rows]
    rows = [tuple(cell(value).text for value in row) for row in table.rows]
    parts = [
        f"## {words('document.title')}: {words(f'verdict.{facts.decision.verdict}')}",
        headline(facts),
        "\n".join([*lines, f"- **{first.command_name}**: `{first.command}`"]),
        markdown_table(table.header, rows, table.num_text_columns),
        "\n".join([f"**{words('comment.worst')}**", "", *(f"- {item}" for item in worst(facts)[:NUM_WORST])]),
        words("comment.more", page=code(REPORT_PAGE), text=code(REPORT)),
    ]
    return "\n\n".join(parts) + "\n"


def worst(facts: Facts) -> list[str]:
    """What speaks against the candidate, the weightiest first: failed guards, losses beyond noise, confusions, images."""
    words, errors = facts.words, facts.errors
    items = [f"{code(guard.name)}: {markdown(guard.text)}" for guard in facts.decision.guards if not guard.passed]
    items += [words("comment.lost", name=name) for name in lost_parts(facts)]
    for pair in errors.grown:
        names = {"labelled": markdown(pair.labelled), "detected": markdown(pair.detected)}
        items.append(words("brief.confusion", **names, before=f"{pair.before:,}", after=f"{pair.after:,}"))
    for image in errors.worsened:
        counts = {
            f"{side}_{name}": getattr(own, name)
            for side, own in (("before", image.before), ("after", image.after))
            for name in ("found", "missed", "false")
        }
        items.append(f"{code(image.image)}: {words('gallery.note', **counts)}")
    return items or [words("comment.none")]
