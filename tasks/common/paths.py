"""Where things lie, relative to the root of the repository. Every stage runs there, as DVC does."""

from pathlib import Path

PARAMS = Path("params.yaml")
EXPECTATIONS = Path("expectations.yaml")
CHAMPION = Path("champion.yaml")
SAMPLE = Path("data/sample")

REPORTS = Path("reports")
DATASET = REPORTS / "dataset.json"
VALIDATION = REPORTS / "validation.json"
ISSUES = REPORTS / "issues.csv"
EVALUATION = REPORTS / "evaluation.json"
STATISTICS = REPORTS / "evaluation.npz"
METRICS = REPORTS / "metrics.json"
SPEED = REPORTS / "speed.json"
DECISION = REPORTS / "decision.json"
GAIN = REPORTS / "gain.json"
EXPORTED = REPORTS / "export.json"
EXPORT_SPEED = REPORTS / "export_speed.json"
REPORT = REPORTS / "report.md"
REPORT_PAGE = REPORTS / "report.html"
CURVES = REPORTS / "curves.csv"

MODELS = Path("models")
BASELINE = MODELS / "baseline"
FINETUNE = MODELS / "finetune"
EXPORT = MODELS / "export"
REGISTERED = MODELS / "registered"

RUNS = Path("runs")
"""Unfinished work: a stage moves its result to `models/` when it is complete. Ignored by git and DVC."""
PROGRESS = RUNS / "progress.jsonl"
TAKEN = RUNS / "snapshot.json"
"""The version of the last snapshot: what the next one is compared with where git does not know it."""
CHECKED = RUNS / "checked"
"""Validation reports of a folder that was checked by itself."""
REFUSED = RUNS / "refused"
"""Validation reports of data that was refused."""
