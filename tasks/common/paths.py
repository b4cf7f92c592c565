"""Where things lie, relative to the root of the repository. Every stage runs there, as DVC does."""

from pathlib import Path

PARAMS = Path("params.yaml")
EXPECTATIONS = Path("expectations.yaml")
CHAMPION = Path("champion.yaml")
LOOKS = Path("looks.json")
LINEAGE = Path("lineage.json")
SAMPLE = Path("data/sample")

REPORTS = Path("reports")
DATASET = REPORTS / "dataset.json"
VALIDATION = REPORTS / "validation.json"
VALIDATION_PAGE = REPORTS / "validation.html"
VALIDATION_GALLERY = REPORTS / "validation.svg"
ISSUES = REPORTS / "issues.csv"
REVIEW = REPORTS / "review.json"
REVIEW_LIST = REPORTS / "review.csv"
REVIEW_PAGE = REPORTS / "review.html"
QUARANTINE = REPORTS / "quarantine.csv"
ACCEPTED = REPORTS / "accepted.json"
EVALUATION = REPORTS / "evaluation.json"
STATISTICS = REPORTS / "evaluation.npz"
METRICS = REPORTS / "metrics.json"
SPEED = REPORTS / "speed.json"
DECISION = REPORTS / "decision.json"
GAIN = REPORTS / "gain.json"
EXPORTED = REPORTS / "export.json"
EXPORT_SPEED = REPORTS / "export_speed.json"
OPERATING = REPORTS / "operating.npz"
REPORT = REPORTS / "report.md"
ERRORS = REPORTS / "errors.json"
REPORT_PAGE = REPORTS / "report.html"
WORSENED = REPORTS / "worsened.svg"
CURVES = REPORTS / "curves.csv"

MODELS = Path("models")
BASELINE = MODELS / "baseline"
FINETUNE = MODELS / "finetune"
CANDIDATE = FINETUNE / "best.pt"
EXPORT = MODELS / "export"
REGISTERED = MODELS / "registered"
KEPT_SPLITS = REGISTERED / "golden"
"""Gate splits of earlier champions, each in a folder with the start of its SHA-256 as name."""

RUNS = Path("runs")
"""Unfinished work: a stage moves its result to `models/` when it is complete. Ignored by git and DVC."""
PROGRESS = RUNS / "progress.jsonl"
TAKEN = RUNS / "snapshot.json"
"""The version of the last snapshot: what the next one is compared with where git does not know it."""
CHECKED = RUNS / "checked"
"""Validation reports of a folder that was checked by itself."""
DATA_DOCS = RUNS / "data_docs"
"""Great Expectations' own pages."""
ERRORS_PAGE = RUNS / "errors.html"
"""Every image that got worse, made on demand."""
HISTORY = RUNS / "history.html"
"""Every version, what it gained, and who decided."""
REFUSED = RUNS / "refused"
"""Validation reports of data that was refused."""
VERSION_REPORTS = RUNS / "reports"
"""Reports of versions, each in its frame, made on demand."""
WATCH = RUNS / "watch" / "watch.json"
WATCH_PAGE = RUNS / "watch" / "watch.md"
WATCH_PICTURES = RUNS / "watch" / "watch.html"
WATCH_GALLERY = RUNS / "watch" / "watch.svg"
"""Of the watch, some of its pictures in one."""
WATCH_UNLIKE = RUNS / "watch" / "unlike.csv"
"""The images that are least like those at registration, the least like first."""
