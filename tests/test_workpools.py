"""The files for other machines: templates of work pools, the image, the values of Helm's chart, the script for Slurm."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from flows import deploy, workpools
from tasks.common.errors import WorkspaceError
from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]
CONTAINERS = ("docker", "kubernetes")
PACKAGES = (
    *("prefect-docker==0.7.4", "python-on-whales==0.81.0", "prefect-kubernetes==0.8.0", "kubernetes-asyncio==36.1.0"),
    *("kopf==1.45.2", "iso8601==2.1.0", "pyopenssl==26.4.0", "tenacity==9.2.1", "kubernetes-validate==1.37.0"),
    "importlib-resources==7.1.0",
)
"""The workers of Docker and Kubernetes, and the schemas of Kubernetes' API: 120 MB that nothing else here needs."""


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_template_uses_each_of_its_variables_and_no_other(kind: str) -> None:
    template = workpools.template(kind)

    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))

    assert used == set(template["variables"]["properties"])


def test_a_container_has_shared_memory_a_cache_a_gpu_and_a_secret() -> None:
    pod = workpools.template("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    docker = workpools.template("docker")["job_configuration"]

    assert pod["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/dev/shm", "/cache"]
    assert "nvidia.com/gpu" in pod["containers"][0]["resources"]["limits"]
    assert pod["containers"][0]["envFrom"][0]["secretRef"]["optional"] is True
    assert set(docker["container_create_kwargs"]) == {"shm_size", "device_requests"}
    assert docker["volumes"] == ["{{ cache_volume }}:/cache"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_are_not_given_the_deployments_without_a_repository_to_clone(kind: str) -> None:
    with pytest.raises(WorkspaceError, match=f"make deploy POOL={kind} CLONE=URL"):
        deploy.put_pool(kind, None, None)


def test_the_image_holds_the_pinned_set_with_extras_that_exist_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", "\n".join(lines))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert all("--constraint constraints.txt" in line for line in lines if "pip install" in line)
    assert lines[-1] == "USER 1000"
    kept = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)


def test_helm_and_slurm_start_workers_of_the_pool_that_the_docs_name() -> None:
    script = ROOT / "deploy/worker.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)

    assert load_yaml(ROOT / "deploy/helm-values.yaml")["worker"]["config"]["workPool"] == "gpu"
    assert "${RATCHET_POOL:-gpu}" in script.read_text()


@pytest.mark.nightly
def test_what_the_workers_make_of_the_templates_is_what_docker_and_kubernetes_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, *PACKAGES], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    validate = importlib.import_module("kubernetes_validate").validate
    container = rendered("docker", importlib.import_module("prefect_docker.worker").DockerWorkerJobConfiguration)
    job = rendered("kubernetes", importlib.import_module("prefect_kubernetes.worker").KubernetesWorkerJobConfiguration)

    validate(job.job_manifest, "1.34")  # raises where a field has another type, or is missing
    pod = job.job_manifest["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)  # see deploy/kubernetes.yaml
    validate(job.job_manifest, "1.34", strict=True)  # and where one is unknown
    assert {"name": "RATCHET_GIVEN", "value": "refs/x"} in pod["containers"][0]["env"]
    assert pod["containers"][0]["args"] == ["prefect", "flow-run", "execute"]
    assert container.env["RATCHET_GIVEN"] == "refs/x"
    docker = importlib.import_module("docker.types")
    host = docker.HostConfig(version="1.44", **container.container_create_kwargs)
    assert host["ShmSize"] == 8 * 2**30
    assert host["DeviceRequests"][0]["Capabilities"] == [["gpu"]]


def rendered(kind: str, configuration: Any) -> Any:
    """The configuration of a run, as the worker makes it; no server is asked, since the templates name no block."""
    from asyncio import run

    from prefect.client.schemas.objects import FlowRun

    values = {"env": {"RATCHET_GIVEN": "refs/x"}}
    made = run(configuration.from_template_and_values(workpools.template(kind), values, client=AsyncMock()))
    made.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="detector: baseline"))
    return made
