"""Write the report as Markdown: its tables line up in a terminal, and it has no pictures."""

from __future__ import annotations

from tasks.common.page.document import Advice, Block, Brief, Bullets, Callout, Cards, Document, Paragraph, Suggestion, Table, cell
from tasks.common.paths import REPORT_PAGE
from tasks.common.text import table as markdown_table
from tasks.report.catalogue import Words


def render(document: Document, words: Words) -> str:
    """The content of report.md."""
    parts = [
        f"# {document.title}",
        f"**{document.badge.text}** · {document.subtitle}",
        words("document.pictures", file=REPORT_PAGE.name),
    ]
    for number, section in enumerate(document.sections, 1):
        parts.append(f"## {number}. {section.title}")
        parts += [text for block in section.blocks if (text := _block(block, words))]
        if section.sources:
            parts.append(words("document.source", source="; ".join(f"`{source}`" for source in section.sources)))
    return "\n\n".join(parts) + "\n"


def _block(block: Block, words: Words) -> str:
    text = ""  # a figure or a gallery has none
    match block:
        case Paragraph():
            text = block.text
        case Callout():
            text = f"> **{words('document.note')}** {block.text}"
        case Bullets():
            text = "\n".join(f"- {item}" for item in block.items)
        case Brief():
            lines = [f"- **{name}**: {value.text}" for name, value in block.rows]
            text = "\n".join([*lines, f"- **{block.command_name}**: `{block.command}`"])
        case Advice():
            text = "\n".join(_suggestion(number, item) for number, item in enumerate(block.items, 1))
        case Cards():
            header = words.columns("figure", "value", "note")
            rows = tuple((card.label, card.value, card.note or words.none) for card in block.items)
            text = _table(Table(header, rows, block.source, num_text_columns=3))
        case Table():
            text = _table(block)
    return text


def _suggestion(number: int, item: Suggestion) -> str:
    command = f" `{item.command}`" if item.command else ""
    return f"{number}. **{item.deed}** {item.reason}{command}"


def _table(table: Table) -> str:
    if not table.rows:
        return table.empty
    rows = [tuple(cell(value).text for value in row) for row in table.rows]
    caption = f"{table.caption}\n\n" if table.caption else ""
    return caption + markdown_table(table.header, rows, table.num_text_columns)
