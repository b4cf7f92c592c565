"""What an approver is shown, made of a random evaluation."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from flows.evidence import Evidence
from tasks.common.looks import Looks
from tasks.gate import decide
from tasks.registry import Version
from tests.gate_data import gate_params, random_evaluation
from tests.registry_data import RECORD

DECISION = decide(random_evaluation(reference="champion"), gate_params("slices=[site]"), looks=Looks("v1.0.0"))
REPORT = "# The report\n"
EVIDENCE = Evidence(
    version=Version("detector", "v1.1.0", "c" * 40, "2026-01-01T00:00:00+00:00", (), replace(RECORD, parent="v1.0.0")),
    newest="v1.1.0",
    champion="v1.0.0",
    decision=DECISION,
    report=REPORT,
    report_sha256=hashlib.sha256(REPORT.encode()).hexdigest(),
)
