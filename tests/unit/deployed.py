"""What stands in docker-compose.yml, deploy/ and the Dockerfile, for the tests of these files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from api.app import create_app
from connectors.settings import Settings
from tests.unit.api_fakes import KEY

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
K8S = ROOT / "deploy" / "k8s"
IMAGE = "headrace"


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def our_services() -> dict[str, dict[str, Any]]:
    """Those that run Headrace."""
    return {name: each for name, each in services().items() if _name(each["image"]) == IMAGE}


@cache
def manifests() -> list[dict[str, Any]]:
    """Every object of deploy/k8s, without the kustomization."""
    paths = sorted(set(K8S.glob("*.yaml")) - {K8S / "kustomization.yaml"})
    return [each for path in paths for each in yaml.safe_load_all(path.read_text())]


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """The objects of these kinds, by name."""
    return {each["metadata"]["name"]: each for each in manifests() if each["kind"] in kinds}


def pods() -> dict[str, dict[str, Any]]:
    """The pod template of each workload, by name."""
    workloads = of_kind("StatefulSet", "Deployment", "Job")
    return {name: each["spec"]["template"] for name, each in workloads.items()}


def containers() -> dict[str, dict[str, Any]]:
    """The container of each workload, by the workload's name."""
    found = {}
    for name, pod in pods().items():
        (found[name],) = pod["spec"]["containers"]
    return found


def kustomization() -> dict[str, Any]:
    """What makes one of deploy/k8s."""
    found: dict[str, Any] = yaml.safe_load((K8S / "kustomization.yaml").read_text())
    return found


def k8s_settings() -> dict[str, str]:
    """The settings of all pods."""
    lines = (K8S / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def dockerfile() -> str:
    """The Dockerfile, each instruction on a line."""
    return re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())


def images() -> Iterator[str]:
    """Every image that is named anywhere."""
    yield from (each["image"] for each in services().values())
    yield from (each["image"] for each in containers().values())
    yield from re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)


def variables() -> Iterator[tuple[str, str]]:
    """Every variable that a process of Headrace gets, with where it stands."""
    for name, each in our_services().items():
        yield from ((variable, f"compose {name}") for variable in each["environment"])
    for line in re.findall(r"^ENV (.+)", dockerfile(), re.MULTILINE):
        yield from ((variable, "Dockerfile") for variable in re.findall(r"(\w+)=", line))
    yield from ((variable, "settings.env") for variable in k8s_settings())
    for name, each in containers().items():
        yield from ((variable["name"], f"k8s {name}") for variable in each.get("env", []))


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards, by the name of their file."""
    paths = (ROOT / "deploy" / "grafana").glob("*.json")
    return {path.stem: json.loads(path.read_text()) for path in paths}


def prometheus_jobs() -> list[dict[str, Any]]:
    """What the Prometheus of the compose file scrapes."""
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    found: list[dict[str, Any]] = yaml.safe_load(text)["scrape_configs"]
    return found


@cache
def api_paths() -> set[str]:
    """The paths that the API serves."""
    return set(create_app(Settings(HEADRACE_JWT_SECRET=KEY)).openapi()["paths"])


def _name(image: str) -> str:
    return image.rpartition(":")[0]
