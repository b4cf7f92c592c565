"""Versions of the model, kept where registry.backend says: as git tags, or in the model registry of an MLflow server.

reads   reports/decision.json, reports/evaluation.json, dvc.lock, champion.yaml
writes  the versions in git or in MLflow, models/registered/, champion.yaml, lineage.json, looks.json

With `registry.backend: git` no server is needed. The tag NAME@vX.Y.Z is annotated: a line of summary, then the record as JSON.
It points to a commit with the code, params.yaml, dvc.lock and reports of the run. The tag NAME#STAGE#N puts a version into a
stage and says who decided, why and when. The tag NAME@vX.Y.Z! withdraws a version. NAME@vX.Y.Z.rejected.ID and
NAME@vX.Y.Z.unanswered.ID say that somebody was asked about a version and did not promote it. NAME@vX.Y.Z.look.N is the Nth
candidate that the gate judged against a champion. No tag is ever moved. GTO, DVC and
plain git read the tags with these commands (`--rev` takes the bare version, with the v):

    gto show detector
    dvc artifacts get . detector --rev v1.0.0 -o best.pt
    dvc get . models/finetune/best.pt --rev detector@v1.0.0 -o best.pt
    dvc artifacts get . detector --stage production -o best.pt
    git show detector@v1.0.0:reports/report.md
    git tag -n1 -l 'detector#production#*'

`registry.backend: mlflow` keeps the same versions in MLflow's model registry instead; `tasks.registry.in_mlflow` says how.
Every verb is the same with both: `Registry(params).promote("v1.2.0", approver=..., reason=...)`.
"""

from tasks.registry.approvers import is_approver
from tasks.registry.judged import why
from tasks.registry.lineage import Champions
from tasks.registry.record import Record, Version
from tasks.registry.registration import Registration
from tasks.registry.stages import Stages
from tasks.registry.types import Assignment, Fault, Look, Refusal
from tasks.registry.verify import Verification

__all__ = ["Assignment", "Fault", "Look", "Record", "Refusal", "Registry", "Version", "is_approver", "why"]


class Registry(Registration, Stages, Champions, Verification):
    """The versions of registry.name, in the place that registry.backend names; each part has the verbs of one kind.

    All of them read: list_versions, show, champion, history, refusals, read_file, doubt, unknown_champion, refresh.
    Registration: register, registered.
    Stages: promote, rollback, deprecate, refuse; decision_of, gate_since and since_judged say how a version was judged, and
    what has changed since.
    Champions: fetch, artifacts, line, lineage, evaluation, output, kept_split, pin_champion.
    Counting, the base of Registration and Champions: looks, budget, take_look, record_looks.
    Verification: verify.
    """
