"""What a version is, its number, and its text in an annotated tag."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from tasks.common.text import gain, line

NUMBER = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
Number = tuple[int, int, int]


@dataclass(frozen=True)
class Record:
    """What a version pins besides its commit; the body of its tag."""

    weights: str
    """Path of the weights in the version's commit."""
    md5: str
    """DVC's hash of the weights, which is the MD5 of the file."""
    data: str
    """Folder of the dataset."""
    data_version: str
    """DVC's hash of that folder, 32 hexadecimal digits."""
    verdict: str
    """PROMOTE or INCONCLUSIVE."""
    metric: str
    """The metric that decided, such as box.mAP50."""
    reference: float
    candidate: float
    gain: float
    """Relative gain of the candidate, (c - r) / r; 0.01 means 1 %."""
    parent: str | None
    """The version that was the champion when this one was judged."""
    task: str
    """detect or segment."""
    names: tuple[str, ...]
    """Class names; the index is the class id."""
    metrics: Mapping[str, Mapping[str, float]]
    """`box` and, for segmentation, `mask`: each metric of the candidate on the gate split."""
    libraries: Mapping[str, str]
    """Versions of Python and of the libraries that decide about numbers."""
    code: str = ""
    """The commit that was checked out; the version's own commit adds the files of the run. Empty in tags before 0.2."""
    tensors: str = ""
    """SHA-256 over the tensors of the weights, which a training repeated gives again though its file has another date."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of params.yaml, dvc.lock, metrics, decision, report and the other evidence in the version's commit, by path."""

    lower_bound: float | None = None
    """What the gain is at least with the confidence that its look needed; None where none was asked for, and in old tags.

    Releases before this one stored the bound at gate.confidence.
    """
    after: str | None = None
    """Hash of the last assignment when it was registered; empty for none, None in an earlier release."""
    new_names: tuple[str, ...] = ()
    """Classes that the reference did not know: `reference`, `candidate` and `gain` are about the others."""

    def summary(self) -> str:
        """Verdict and figures in one line; of an INCONCLUSIVE one also the bound that made it so."""
        bound = self.lower_bound if self.verdict == "INCONCLUSIVE" else None
        luck = "" if bound is None else f", at least {gain(bound)}" if bound > -1 else ", too few images to tell"
        on = f" on {len(self.names) - len(self.new_names)} of {len(self.names)} classes" if self.new_names else ""
        return f"{self.verdict}, {self.metric} {self.reference:.4f} -> {self.candidate:.4f} ({gain(self.gain)}{luck}){on}"


@dataclass(frozen=True)
class Version:
    """A registered version."""

    name: str
    version: str
    """Such as v1.2.0."""
    commit: str
    created: str
    """ISO 8601, UTC."""
    stages: tuple[str, ...]
    """The stages it is in now, such as production."""
    record: Record | None
    """None for a tag that was made by hand."""
    deprecated: str | None = None
    """When, by whom and why it was withdrawn; None for a version that is in use."""
    link: str = ""
    """Address of its page; empty where it has none."""

    @property
    def tag(self) -> str:
        """The git tag."""
        return f"{self.name}@{self.version}"

    def summary(self) -> str:
        """The version in one line."""
        stages = f"  [{', '.join(self.stages)}]" if self.stages else ""
        stages += f"  deprecated {line(self.deprecated)}" if self.deprecated else ""
        text = self.record.summary() if self.record else "registered by hand, without a record"
        return f"{self.tag}  {self.created[:10]}  {text}{stages}"


def next_number(taken: Collection[Number], previous: Record | None, present: Record) -> Number:
    """The number after the highest one: a minor step, or a major one where classes or task are not those before."""
    if not taken:
        return 1, 0, 0
    major, minor, _ = max(taken)
    is_other = previous is not None and (previous.names, previous.task) != (present.names, present.task)
    return (major + 1, 0, 0) if is_other else (major, minor + 1, 0)


def parse_number(version: str) -> Number | None:
    """(1, 2, 0) of `v1.2.0`; None for anything else."""
    match = NUMBER.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def spell(number: Number) -> str:
    """`v1.2.0` of (1, 2, 0)."""
    return "v{}.{}.{}".format(*number)


def encode(name: str, version: str, record: Record) -> str:
    """The message of the tag: a summary line, an empty line, the record as JSON."""
    return f"{name} {version}: {record.summary()}\n\n{to_json(record)}\n"


def to_json(record: Record) -> str:
    """The record as JSON, the same text for the same record."""
    return json.dumps(asdict(record), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)


def decode(message: str) -> Record | None:
    """The record in a tag's message; None where there is none."""
    return from_json(message.partition("\n\n")[2])


def from_json(text: str) -> Record | None:
    """The record; None where `text` is none. Keys of a later release are left out.

    Those of an earlier release lack the fields that have defaults.
    """
    try:
        body: dict[str, Any] = json.loads(text)
        is_needed = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(Record)}
        known = {name: body[name] for name, needed in is_needed.items() if needed or name in body}
        return Record(**(known | {name: tuple(known[name]) for name in ("names", "new_names") if name in known}))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
