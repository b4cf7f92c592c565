"""Run the checks with Great Expectations, one suite a table, and point at the failing rows.

What is measured, and why it is done so: `unexpected_index_column_names` costs 115 us a failing row, so the plain row positions
of `COMPLETE` are mapped to file and line here; only int64, float64 and category columns are compared as whole arrays; every
expectation hashes the whole frame, so it gets the used columns only. Importing great_expectations takes seconds, hence inside.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tasks.common.errors import PipelineError
from tasks.common.progress import tracked
from tasks.validate.expectations import Check, refuse_unknown

if TYPE_CHECKING:
    import pandas as pd

_INDEX = {"class_name": "DefaultSiteIndexBuilder"}


@dataclass(frozen=True)
class Issue:
    """A failing row of a table, or a whole table (file is '')."""

    file: str
    line: int
    """1-based; 0 for the whole file."""
    value: str
    split: str = ""
    image: str = ""
    """The image that is concerned, below the dataset; '' where none is."""


@dataclass(frozen=True)
class Outcome:
    check: Check
    passed: bool
    """What the expectation says: rows within its `mostly` may fail."""
    issues: tuple[Issue, ...]
    """Sorted by file and line."""

    @property
    def stops(self) -> bool:
        """Whether training must not go on."""
        return not self.passed and self.check.severity == "critical"


def evaluate(checks: Sequence[Check], frames: Mapping[str, pl.DataFrame]) -> list[Outcome]:
    """The outcome of every check, in the order of `checks`.

    Raises:
        PipelineError: a column, expectation type or argument is unknown, or an expectation cannot run; the message names it.
    """
    for check in checks:
        for column in check.columns:
            refuse_unknown(column, frames[check.table].columns, f"check `{check.id}`: column", check.where)
    context = _context()
    outcomes: dict[str, Outcome] = {}
    for table, frame in tracked(frames.items(), "Checking tables", len(frames)):
        if table_checks := {check.id: check for check in checks if check.table == table}:
            for result in _results(context, table, frame, table_checks.values()):
                check = table_checks[result.expectation_config.meta["id"]]
                outcomes[check.id] = _outcome(check, result, frame)
    return [outcomes[check.id] for check in checks]


def _context() -> Any:
    """A Great Expectations context that keeps nothing and prints nothing."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types import base

    base.logger.setLevel(logging.WARNING)  # it sets itself to INFO and announces a folder that it never makes
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = base.ProgressBarsConfig(globally=False)
    return context


def _results(context: Any, table: str, frame: pl.DataFrame, checks: Collection[Check]) -> list[Any]:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=table, expectations=[_expectation(check) for check in checks])
    asset = context.data_sources.add_pandas(table).add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe(table).get_batch({"dataframe": _to_pandas(frame, checks)})
    return list(batch.validate(suite, result_format={"result_format": "COMPLETE"}).results)


def write_data_docs(checks: Sequence[Check], frames: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Great Expectations' own pages, one a table, in `folder`. They load scripts and styles from the network."""
    context = _context()
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    context.add_data_docs_site("local", {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": _INDEX})
    import great_expectations as gx

    for table, frame in frames.items():
        if table_checks := [check for check in checks if check.table == table]:
            asset = context.data_sources.add_pandas(table).add_dataframe_asset(table)
            suite = context.suites.add(
                gx.ExpectationSuite(name=table, expectations=[_expectation(check) for check in table_checks])
            )
            batch = asset.add_batch_definition_whole_dataframe(table)
            definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batch, suite=suite))
            action = gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["local"])
            checkpoint = gx.Checkpoint(name=table, validation_definitions=[definition], actions=[action])
            context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": _to_pandas(frame, table_checks)})


def _expectation(check: Check) -> Any:
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    try:
        configuration = ExpectationConfiguration(
            type=check.type,
            kwargs=dict(check.kwargs),
            severity=check.severity,
            meta={"id": check.id},
        )
        return configuration.to_domain_obj()
    except ExpectationNotFoundError:
        types = list_registered_expectation_implementations()
        refuse_unknown(check.type, types, f"check `{check.id}`: expectation type", check.where)
    except Exception as error:  # whatever GX says here is about the user's kwargs
        raise PipelineError(
            f"check `{check.id}`: {check.type} refuses its kwargs: {_words(error)}",
            where=check.where,
            fix="Correct the kwargs; https://greatexpectations.io/expectations lists them.",
        ) from None
    raise AssertionError("a registered type was not found")


def _words(error: Exception) -> str:
    """The error in a line; pydantic's are listed argument by argument."""
    errors = error.errors() if hasattr(error, "errors") else ()
    parts = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in errors
        if problem["loc"] != ("__root__",)
    ]
    return "; ".join(dict.fromkeys(parts)) or " ".join(str(error).split())


def _to_pandas(frame: pl.DataFrame, checks: Iterable[Check]) -> pd.DataFrame:
    """The columns that `checks` use (all, if one has a row_condition), text as categories."""
    import pandas as pd

    used = dict.fromkeys(column for check in checks for column in check.columns)
    if any("row_condition" in check.kwargs for check in checks):
        used = dict.fromkeys(frame.columns)
    columns = {
        name: pd.Categorical(frame[name].to_list()) if frame[name].dtype == pl.String else frame[name].to_numpy() for name in used
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)))


def _outcome(check: Check, validation: Any, frame: pl.DataFrame) -> Outcome:
    if message := _exception(validation.exception_info):
        raise PipelineError(f"check `{check.id}` cannot run: {message}", where=check.where, fix="Correct its type or its kwargs.")
    positions = validation.result.get("unexpected_index_list")
    if positions:
        rows = frame[list(positions)].iter_rows(named=True)
        issues = tuple(sorted((_issue(check, row) for row in rows), key=lambda issue: (issue.file, issue.line, issue.value)))
    elif validation.success:
        issues = ()
    else:
        issues = (Issue("", 0, f"observed {validation.result.get('observed_value')}"),)
    return Outcome(check, bool(validation.success), issues)


def _issue(check: Check, row: Mapping[str, Any]) -> Issue:
    form = check.shows or "; ".join(f"{column} {{{column}}}" for column in check.columns)
    try:
        value = form.format_map(row)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise PipelineError(
            f"check `{check.id}`: `shows: {form}` cannot be filled from table {check.table}: {error}",
            where=check.where,
            fix=f"Use its columns: {', '.join(row)}.",
        ) from None
    image = row["file"] if check.table == "images" else row.get("image")
    return Issue(row["file"], row["line"], value, row.get("split") or "", image or "")


def _exception(info: Any) -> str:
    """The first exception message in GX's `exception_info`, which is either one record or one a metric; '' for none."""
    if not isinstance(info, Mapping):
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "").partition("\n")[0] if info["raised_exception"] else ""
    return next((text for text in map(_exception, info.values()) if text), "")
