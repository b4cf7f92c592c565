"""Show in the Prefect UI what a person should look at next, and the command that asks about it or takes the answers.

reads   what `tasks.annotate.choose` reads for a list; ask.csv, bundle.json and project.json of a bundle
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from flows.naming import artifact_key, deployment
from tasks.common.dataset import read_dataset
from tasks.common.errors import PipelineError
from tasks.common.params import Params
from tasks.common.text import code, counted, markdown, table

if TYPE_CHECKING:
    from tasks.annotate.bundle import Bundle
    from tasks.annotate.project import Project
    from tasks.annotate.types import Choice

Listed = Literal["doubts", "drift"]
MAX_ROWS, MAX_CELL = 20, 300


def publish(what: Listed, params: Params) -> None:
    """Create the artifact DETECTOR-next-LIST with the first images of a list, unless it is empty or cannot be made.

    A failure here must not stop a run.
    """
    from tasks.annotate import choose  # with OpenCV a third of what a run with nothing to do imports

    log = get_run_logger()
    try:
        dataset = read_dataset(Path(params.data.path))
        choices = choose.doubts(dataset, params)[0] if what == "doubts" else choose.drift(dataset, params)
        if choices:
            key, description = artifact_key(params.registry.name, f"next-{what}"), "What a person should look at next"
            create_markdown_artifact(page(what, choices, params.registry.name), key=key, description=description)
    except PipelineError as error:  # the review is switched off, or its model too weak to judge
        log.info("no list of what to look at next: %s", error)
    except Exception as error:
        log.warning("what to look at next is not shown in the UI: %s: %s", type(error).__name__, error)


def page(what: Listed, choices: Sequence[Choice], detector: str) -> str:
    """The first images of a list with their reasons as Markdown, and how to ask about them."""
    rows = [(str(i), choice.file, choice.split or "new", choice.reason) for i, choice in enumerate(choices, 1)]
    command = f"python -m tasks.annotate ask --what {what} --tool label-studio"
    num, by_hand = len(choices), deployment(detector, "annotate")
    return "\n\n".join(
        [
            f"# What to look at next: {what}",
            f"{counted(num, 'image')}. {_shown(num)}Hand them to a labelling tool with the deployment `{by_hand}`, or",
            f"```\n{command}\n```",
            "This writes a bundle; with `--to URL` it goes straight into a project of Label Studio or CVAT.",
            _table(rows),
        ]
    )


def publish_bundle(folder: Path, detector: str) -> str:
    """Create the artifact DETECTOR-asked-LIST about a bundle; in a sentence where it is."""
    from tasks.annotate.bundle import Bundle
    from tasks.annotate.project import Project

    bundle, project = Bundle.open(folder), Project.of_bundle(folder)
    with (folder / "ask.csv").open(encoding="utf-8", newline="") as content:
        rows = [(row["rank"], row["file"], row["split"] or "new", row["reason"]) for row in csv.DictReader(content)]
    key, description = artifact_key(detector, f"asked-{bundle.what}"), f"Bundle {bundle.name}"
    create_markdown_artifact(bundle_page(bundle, folder, project, rows), key=key, description=description)
    return f"{counted(len(rows), 'image')} in {project.url if project else folder}"


def bundle_page(bundle: Bundle, folder: Path, project: Project | None, rows: Sequence[tuple[str, ...]]) -> str:
    """Where a bundle lies, how the answers come back, and its first images with their reasons, as Markdown."""
    from tasks.annotate.types import splits_in_words

    num, where = len(rows), f"The folder is {code(folder)}; docs/annotate.md says how it comes into {bundle.tool}."
    if project:
        where = f"The project is [{markdown(project.title)}]({project.url})."
    parts = [
        f"# Asked: {bundle.what}",
        f"{counted(num, 'image')}. {where} The answers go to {splits_in_words(bundle.what)}.",
        f"Take them, in {code(Path.cwd())}, with",
        f"```\npython -m tasks.annotate take {folder if project else 'EXPORT'}\n```",
        f"{_shown(num)}All of it: {code(folder / 'ask.csv')}",
        _table(rows),
    ]
    return "\n\n".join(parts)


def _shown(num: int) -> str:
    return f"The first {MAX_ROWS} are below. " if num > MAX_ROWS else ""


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    cells = [tuple(markdown(cell[:MAX_CELL]) for cell in row) for row in rows[:MAX_ROWS]]
    return table(("rank", "image", "split", "reason"), cells)
