"""The candidate in other runtimes, as stage `export` measured and judged it: the content of reports/export.json.

It lies here and not in tasks/export because report and registry read it too, and no stage imports another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.common.paths import EXPORTED
from tasks.common.stored import Stored
from tasks.measure.compare import Comparison
from tasks.measure.decision import Verdict
from tasks.measure.operating import OperatingPoint


@dataclass(frozen=True)
class KeptFile:
    """A file below models/export."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What was measured of one model file, see docs/export.md; None or empty where it was not."""

    bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics by their names, such as `box.mAP50`."""
    changes: Mapping[str, Comparison] = field(default_factory=dict)
    """The comparison of each metric with that of the .pt."""
    verified: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    serving: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    files: Mapping[str, KeptFile] = field(default_factory=dict)
    """The files of a kept artifact, by their paths below models/export."""


@dataclass(frozen=True, kw_only=True)
class ExportedFormat(Measures):
    """The candidate in one format."""

    status: Literal["kept", "refused", "skipped"]
    reasons: tuple[str, ...] = ()
    """Why the format is not kept."""


@dataclass(frozen=True, kw_only=True)
class Exported(Stored):
    """Every format with its verdict."""

    FILE = EXPORTED
    STAGE = "export"

    verdict: Verdict
    """The verdict of the gate."""
    exported: bool
    reason: str
    """Why nothing was exported."""
    formats: Mapping[str, ExportedFormat]
    card: Mapping[str, Any] = field(default_factory=dict)
    """The model card without the measured figures."""
    card_files: Mapping[str, KeptFile] = field(default_factory=dict)
    """Files of the model card, by their paths below models/export; empty in files of early releases."""
    pt: Measures = field(default_factory=Measures)
    """The candidate itself, on the same images."""
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """Where reference and candidate operate, by name of the model; empty in files of early releases."""

    @property
    def sha256s(self) -> dict[str, str]:
        """{path below models/export: SHA-256} of artifacts and model card; empty without artifacts."""
        files = {path: file for entry in self.formats.values() for path, file in entry.files.items()}
        return {path: file.sha256 for path, file in {**files, **self.card_files}.items()} if files else {}
