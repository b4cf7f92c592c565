"""Write the few lines that end a run: what was compared, what was decided, and where to read more.

reads   reports/decision.json, reports/evaluation.json, dvc.lock
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.common import dvcfiles
from tasks.common.errors import WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import REPORT_PAGE
from tasks.common.text import gain, line
from tasks.gate.wording import cumulative_words
from tasks.measure.decision import Decision, Verdict
from tasks.measure.files import Scores
from tasks.registry import Registry, Version, why


def summarise(params: Params, version: Version | None, is_known: bool = False) -> str:
    """The outcome of the last run as aligned lines. `is_known` says that the candidate was `version` before the run.

    Raises:
        WorkspaceError: a stage has not run.
    """
    decision, measured = Decision.read(), Scores.read()
    part, metric = params.gate.metric.split(".")
    in_question = {name: model for name, model in measured.models.items() if name != "first"}
    models = {name: model for name, model in in_question.items() if not _is_champion_too(name, in_question)}
    scores = {name: model[part][metric] for name, model in models.items()}
    if decision.metric == params.gate.metric:  # on the classes that both know
        scores |= {decision.reference_model: decision.reference, "candidate": decision.candidate}
    split = measured.split
    rows = [
        ("data", f"{_data_version(params)}  {params.data.path}, gate split {split['name']} of {split['images']} images"),
        *((name, f"{part} {metric} {score:.4f}") for name, score in scores.items()),
        ("gain", f"{gain(decision.gain)} over the {decision.reference_model} (threshold {gain(decision.threshold)})"),
        *([("in all", cumulative_words(decision.cumulative))] if decision.cumulative else []),
        *([("classes", decision.classes.summary())] if decision.classes else []),
        ("verdict", decision.verdict + ("" if decision.verdict is Verdict.PROMOTE else f": {why(decision)}")),
        ("version", _version(params, version, is_known) if version else "none registered; the reference stays"),
        *(("warning", text) for text in (Registry(params).since_judged(version, today=decision) if version else ())),
        ("report", str(REPORT_PAGE)),
    ]
    if version and params.registry.stage not in version.stages:
        command = f"python -m tasks.registry promote {version.version} --approver NAME --reason WHY"
        rows.append(("next", f"{command}, or the flow promote (`make serve`)"))
    return "\n".join(f"{head:10} {line(text)}" for head, text in rows)


def _version(params: Params, version: Version, is_known: bool) -> str:
    """The version's tag and, if it was registered before this run, how it was judged then."""
    if not is_known:
        return version.tag
    stages = f", in {' and '.join(version.stages)}" if version.stages else ""
    then = Registry(params).decision_of(version)
    at = "" if then is None else f" at a threshold of {gain(then.threshold)}"
    judged = f"; judged then {version.record.summary()}{at}" if version.record else ""
    return f"this model is {version.tag} already (registered {version.created[:10]}{stages}){judged}"


def _is_champion_too(name: str, models: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the model `name` is a baseline with the champion's tensors, so that its line would repeat the champion's."""
    baseline, champion = (models.get(model, {}).get("tensors_sha256") for model in ("baseline", "champion"))
    return name == "baseline" and baseline is not None and baseline == champion


def _data_version(params: Params) -> str:
    version = dvcfiles.data_version(Path(params.data.path))
    if version is None:
        raise WorkspaceError("DVC does not know the dataset", where=params.data.path, fix="Run `python -m tasks.snapshot`.")
    return version[:12]
