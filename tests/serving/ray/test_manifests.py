"""The files for Kubernetes say what KubeRay, Ray Serve and this package expect."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "serving"
DOCKERFILE = FOLDER / "Dockerfile"


@pytest.fixture
def service():
    return yaml.safe_load((FOLDER / "rayservice.yaml").read_text())


def test_the_manifest_is_a_ray_service(service):
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    assert set(service["spec"]) == {"serveConfigV2", "rayClusterConfig"}
    cluster = service["spec"]["rayClusterConfig"]
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert cluster["rayVersion"] == pinned[1]
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (cluster["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_ray_serve_and_the_builder_accept_its_configuration(service):
    pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")
    from ray.serve.schema import ServeDeploySchema

    from optimum_dynexec.serving.ray import app
    from optimum_dynexec.serving.ray.builder import AppArguments

    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    (application,) = config.applications
    assert application.import_path == f"{app.__module__.rpartition('.')[0]}:{app.__name__}"
    arguments = AppArguments.model_validate(application.args)
    cluster = service["spec"]["rayClusterConfig"]
    ports = {port["containerPort"] for port in cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]}
    assert config.http_options.port in ports
    # A replica fills a worker, and the largest number of both is the same.
    (workers,) = cluster["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert arguments.num_cpus == int(container["resources"]["requests"]["cpu"])
    assert (arguments.num_replicas, arguments.max_replicas) == (workers["minReplicas"], workers["maxReplicas"])


def hadolint(path):
    command = shutil.which("hadolint", path=f"{Path(sys.executable).parent}") or shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed: make venv")
    return subprocess.run([command, "--no-color", str(path)], capture_output=True, text=True)


def test_the_dockerfile_is_clean(tmp_path):
    assert hadolint(DOCKERFILE).stdout == ""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python\nRUN sudo pip install x\n")
    assert "DL3004" in hadolint(wrong).stdout


def test_the_image_has_what_it_needs():
    lines = re.sub(r"\\\n", " ", DOCKERFILE.read_text()).splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["1000"]
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    pinned = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert f'"torch=={pinned[1]}+cpu"' in "\n".join(lines)
