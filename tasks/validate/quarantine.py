"""The images that are left out, so that a few bad ones need not stop a run: `validate.on_bad: quarantine`.

The dataset on disk stays as it is. reports/dataset.json names the images, and training and evaluation read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tasks.common.dataset import Dataset
from tasks.validate.suite import Outcome

SCHEMA = {"split": pl.String, "image": pl.String, "checks": pl.String}


@dataclass(frozen=True)
class Quarantine:
    """What is left out, and why."""

    table: pl.DataFrame
    """One row an image: split, image, checks (the critical checks that name it, joined by blanks)."""

    @property
    def by_split(self) -> dict[str, tuple[str, ...]]:
        """The images of each split that has any, as reports/dataset.json names them."""
        groups = self.table.group_by("split", maintain_order=True).agg("image")
        return {split: tuple(sorted(images)) for split, images in groups.iter_rows()}

    def excess(self, dataset: Dataset, max_share: float) -> list[str]:
        """Why so many images cannot be left out, a line for each split concerned; empty where they can."""
        lines = []
        for split, images in self.by_split.items():
            total = len(dataset.splits[split])
            if len(images) > max_share * total or len(images) == total:
                lines.append(
                    f"{len(images)} of {total} images of split {split} would be left out, more than {max_share:.4g} of it"
                )
        return lines


EMPTY = Quarantine(pl.DataFrame(schema=SCHEMA))


def collect(outcomes: Sequence[Outcome]) -> Quarantine:
    """Every image that a critical check names. Label files that belong to no image are passed over: nothing trains on them."""
    checks_by_image: dict[tuple[str, str], dict[str, None]] = {}
    for outcome in outcomes:
        for issue in outcome.issues if outcome.stops else ():
            if issue.image:
                checks_by_image.setdefault((issue.split, issue.image), {})[outcome.check.id] = None
    rows = [(split, image, " ".join(checks)) for (split, image), checks in sorted(checks_by_image.items())]
    return Quarantine(pl.DataFrame(rows, schema=SCHEMA, orient="row"))


def is_about_images(outcome: Outcome) -> bool:
    """Whether leaving out images heals the outcome: a check of the whole set, or of a whole table, is about no image."""
    return outcome.check.table in ("images", "labels") and all(issue.file for issue in outcome.issues)


def replaced(outcomes: Sequence[Outcome], again: Sequence[Outcome]) -> list[Outcome]:
    """`outcomes` with those of `again` in the place of the same check."""
    by_id = {outcome.check.id: outcome for outcome in again}
    return [by_id.get(outcome.check.id, outcome) for outcome in outcomes]
