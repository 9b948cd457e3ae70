"""The manifests: their numbers are the code's, their names lead somewhere, and AWS's schema accepts the task definition."""

import json
import math
import re
import shlex
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

from harness.command import COMMANDS
from harness.load.distributed.worker import LONGEST_SHIPPING
from harness.load.stopping.pace import DEFAULT_STOP_RATE
from tests.support.locust_runs import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))
TASK = json.loads((ROOT / "deploy" / "ecs" / "task-definition.json").read_bytes())
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
LONGEST_ON_FARGATE = 120
"""Seconds (https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html, stopTimeout)."""


def documents() -> list[dict[str, Any]]:
    """Every resource of every manifest."""
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def workloads() -> list[dict[str, Any]]:
    """The resources that make pods."""
    return [document for document in documents() if document["kind"] in ("Deployment", "Job")]


def default_chats() -> int:
    """The most chats of a run as the manifests configure it."""
    (configuration,) = (document for document in documents() if document["kind"] == "ConfigMap")
    return int(configuration["data"]["CHATQUOTA_MAX_CHATS"])


def test_grace_periods_are_long_enough_to_stop_every_chat() -> None:
    """Open chats at the default pace of StopContact, then the last samples: within what the orchestrator waits."""
    seconds = math.ceil(default_chats() / DEFAULT_STOP_RATE)
    pods = [document["spec"]["template"]["spec"] for document in workloads() if document["kind"] == "Deployment"]
    periods = [pod["terminationGracePeriodSeconds"] for pod in pods]
    periods += [container["stopTimeout"] for container in TASK["containerDefinitions"]]
    periods.append(int(COMPOSE["x-chatquota"]["stop_grace_period"].removesuffix("s")))
    assert len(periods) == 4
    assert all(seconds + LONGEST_SHIPPING <= period <= LONGEST_ON_FARGATE for period in periods)
    figure = f"{default_chats()} open chats at {DEFAULT_STOP_RATE:g} stops a second need {seconds} s"
    for name in ("master.yaml", "workers.yaml"):
        assert figure in (KUBERNETES / name).read_text()


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_manifests_are_what_kubernetes_publishes(version: str) -> None:
    """Strictly: no field that the schema does not know. Resources of others (kustomize, Locust's operator) are not in it."""
    validator = pytest.importorskip("kubernetes_validate")
    checked = [each for each in documents() if each["kind"] not in ("Kustomization", "LocustTest")]
    assert len(checked) >= 6
    for document in checked:
        validator.validate(document, version, strict=True)
    broken = {**checked[0], "metadata": {**checked[0]["metadata"], "nmae": "x"}}
    with pytest.raises(validator.ValidationError):
        validator.validate(broken, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders a kustomization, is not installed")
def test_the_kustomization_renders_to_what_kubernetes_publishes() -> None:
    """Kustomize itself reads the base, and each resource that it makes of it is valid."""
    validator = pytest.importorskip("kubernetes_validate")
    rendered = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES], check=True, capture_output=True, text=True, timeout=60
    )
    resources = list(yaml.safe_load_all(rendered.stdout))
    base = next(document for document in documents() if document["kind"] == "Kustomization")
    assert len(resources) >= len(base["resources"])
    for resource in resources:
        validator.validate(resource, "1.37", strict=True)


def test_names_lead_to_resources() -> None:
    """Every file of the base is there, and every account, configuration, claim and service that is named is made."""
    base = next(document for document in documents() if document["kind"] == "Kustomization")
    assert all((KUBERNETES / name).exists() for name in base["resources"])
    made = {(document["kind"], document.get("metadata", {}).get("name")) for document in documents()}
    for workload in workloads():
        pod = workload["spec"]["template"]["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
        for volume in pod.get("volumes", ()):
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in made
        for container in pod["containers"]:
            for source in container.get("envFrom", ()):
                assert ("ConfigMap", source["configMapRef"]["name"]) in made
            if "--master-host" in container["args"]:
                assert ("Service", container["args"][container["args"].index("--master-host") + 1]) in made


def test_pods_have_no_privileges_no_credentials_and_ask_for_resources() -> None:
    """Not root, nothing gained, requests and a limit of memory; credentials come from the role of the service account."""
    for workload in workloads():
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
    text = "".join(path.read_text() for path in MANIFESTS) + json.dumps(TASK)
    assert not re.search(r"SECRET|AKIA|ACCESS_KEY", text)


def test_commands_exist() -> None:
    """What the containers are told to do is a command of chatquota."""
    told = [
        container["args"]
        for workload in workloads()
        for container in workload["spec"]["template"]["spec"]["containers"]
    ]
    told += [container["command"] for container in TASK["containerDefinitions"]]
    told += [[*service.get("entrypoint", [])[1:], *service["command"]] for service in COMPOSE["services"].values()]
    assert len(told) == 9
    assert {words[0] for words in told} <= set(COMMANDS)


def test_the_operators_resource_has_only_members_that_it_knows() -> None:
    """As locustio/k8s-operator's CRD has them; the arguments are Locust's, and the operator adds --master or --worker."""
    (test,) = (document for document in documents() if document["kind"] == "LocustTest")
    assert test["apiVersion"] == "locust.cloud/v1"
    spec = test["spec"]
    assert set(spec) <= {
        "image",
        "workers",
        "args",
        "env",
        "master",
        "worker",
        "annotations",
        "labels",
        "locustfile",
        "metrics",
    }
    assert isinstance(spec["args"], str)
    words = shlex.split(spec["args"])
    assert words[words.index("--expect-workers") + 1] == str(spec["workers"])
    for role in ("master", "worker"):
        assert set(spec[role]) <= {"labels", "annotations", "resources"}


def _pascal(value: Any, keep: bool = False) -> Any:
    """A task definition of the API in the names of CloudFormation; the names of log options are the user's own."""
    if isinstance(value, dict):
        return {
            (key if keep else key[0].upper() + key[1:]): _pascal(entry, key == "options")
            for key, entry in value.items()
        }
    return [_pascal(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_task_definition_fits_the_schema_that_aws_publishes() -> None:
    """CloudFormation's schema of AWS::ECS::TaskDefinition, which allows no member that it does not know."""
    manager = pytest.importorskip("cfnlint.schema.manager").PROVIDER_SCHEMA_MANAGER
    schema = manager.get_resource_schema("us-east-1", "AWS::ECS::TaskDefinition").schema
    definition = _pascal(TASK)
    for volume in definition["Volumes"]:  # the one name that CloudFormation writes in another way
        configuration = volume.pop("EfsVolumeConfiguration")
        volume["EFSVolumeConfiguration"] = {
            ("FilesystemId" if key == "FileSystemId" else key): entry for key, entry in configuration.items()
        }
    validator = jsonschema.Draft7Validator({"$schema": "http://json-schema.org/draft-07/schema#", **schema})
    assert [error.message for error in validator.iter_errors(definition)] == []
    definition["ContainerDefinitions"][0]["StopTimeoutt"] = 1
    assert list(validator.iter_errors(definition))
