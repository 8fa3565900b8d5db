"""The compose file, the manifests and the image: valid, pinned, and true of the code."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from connectors.secret_files import SUFFIX, secret_variables
from connectors.settings import Settings
from headrace.chaos.outcome import MOST_MEMORY_MB
from headrace.cli import COMMANDS
from streams.engine.app import STOP_SECONDS, App
from tests.unit import deployed

WORKERS = ("app", "views", "archive")
STORES = {"kafka", "redis", "cassandra"}
PYTHONS_OWN = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
PIPS_OWN = {"PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_CACHE_DIR", "PIP_ROOT_USER_ACTION"}
NEEDS = {
    "prepare": {"kafka", "cassandra"},
    "app": {"kafka"},
    "views": {"kafka", "redis"},
    "archive": {"kafka", "cassandra"},
    "api": STORES,
}
"""Which stores each process reaches."""


@cache
def worker(name: str) -> App:
    """The app of a worker, as `faust -A topology:<name>` finds it."""
    import topology

    found = getattr(topology, name)
    assert isinstance(found, App)
    return found


def port(name: str) -> int:
    """The port of a worker's monitor, or of the API, without any setting."""
    return (
        Settings.model_fields["api_port"].default if name == "api" else worker(name).conf.web_port
    )


def serves(name: str, path: str) -> bool:
    """Whether a process answers at a path."""
    return path in (deployed.api_paths() if name == "api" else set(worker(name).web.views))


def megabytes(quantity: str) -> float:
    """`512Mi`, `1Gi`, `768m` or `1g` in MB."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 2**20, "m": 2**20, "Gi": 2**30, "g": 2**30}[unit] / 1e6


def test_compose_file_is_as_its_schema_says() -> None:
    said = CliRunner().invoke(
        check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(deployed.COMPOSE)]
    )
    assert said.exit_code == 0, said.output


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_manifests_are_as_their_schemas_say(version: str) -> None:
    assert len(deployed.manifests()) > 20
    for manifest in deployed.manifests():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_kustomization_has_every_file() -> None:
    paths = {path.name for path in deployed.K8S.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(deployed.kustomization()["resources"]) == paths
    (settings,) = deployed.kustomization()["configMapGenerator"]
    for name, container in deployed.containers().items():
        assert container["envFrom"] == [{"configMapRef": {"name": settings["name"]}}], name


def test_images_are_pinned_to_a_version() -> None:
    for image in deployed.images():
        assert re.search(r":v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?$", image), image


def test_our_image_has_the_version_of_the_project() -> None:
    version = tomllib.loads((deployed.ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = {image for image in deployed.images() if image.startswith("headrace")}
    assert ours == {f"headrace:{version}"}
    (image,) = deployed.kustomization()["images"]
    assert image == {"name": "headrace", "newTag": version}


def test_compose_has_the_versions_of_the_local_stack() -> None:
    jars = (deployed.ROOT / "connectors" / "stack" / "jars.txt").read_text()
    for name, jar in (("kafka", "kafka_2.13"), ("cassandra", "cassandra-all")):
        version = re.search(rf":{jar}:(\S+)", jars)
        assert version is not None
        assert deployed.services()[name]["image"].endswith(f":{version[1]}")


def test_variables_are_settings() -> None:
    settings = {str(field.alias) for field in Settings.model_fields.values()}
    settings |= {variable + SUFFIX for variable in secret_variables(Settings)}
    found = dict(deployed.variables())
    assert len(found) > 10
    unknown = {variable: where for variable, where in found.items() if variable not in settings}
    assert set(unknown) == PYTHONS_OWN | PIPS_OWN, unknown


def test_values_of_settings_are_valid() -> None:
    for environment in (
        deployed.k8s_settings(),
        *(each["environment"] for each in deployed.our_services().values()),
    ):
        given = {name: value for name, value in environment.items() if not name.endswith(SUFFIX)}
        Settings(**given)


def test_secrets_are_nowhere_in_the_files() -> None:
    assert not deployed.of_kind("Secret")
    secret = set(secret_variables(Settings))
    assert secret.isdisjoint(variable for variable, _ in deployed.variables())


def commands() -> Iterator[tuple[str, list[str]]]:
    yield from ((name, each["command"]) for name, each in deployed.our_services().items())
    yield from ((name, each["command"]) for name, each in deployed.containers().items())


def test_commands_are_there() -> None:
    assert sorted({name for name, _ in commands()}) == sorted(NEEDS)
    for name, command in commands():
        if name in WORKERS:
            start = ["faust", "-A", f"topology:{name}", "worker", "--loglevel", "info"]
            assert command == start
            worker(name)
        else:
            assert command[0] == "headrace"
            assert command[1] in COMMANDS


@pytest.mark.parametrize("name", [*WORKERS, "api"])
def test_probes_ask_what_is_served(name: str) -> None:
    container = deployed.containers()[name]
    (named,) = container["ports"]
    assert named["containerPort"] == port(name)
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    for probe in probes:
        assert probe["port"] == named["name"]
        assert serves(name, probe["path"]), probe
    assert "readyz" in probes[2]["path"]
    assert "readyz" not in probes[1]["path"], "who waits for a store would be killed"


@pytest.mark.parametrize("name", [*WORKERS, "api"])
def test_services_and_scrapes_go_to_ports_that_listen(name: str) -> None:
    number = port(name)
    (service,) = deployed.of_kind("Service")[name]["spec"]["ports"]
    (named,) = deployed.containers()[name]["ports"]
    assert (service["port"], service["targetPort"]) == (number, named["name"])
    notes = deployed.pods()[name]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(number)
    assert serves(name, notes["prometheus.io/path"])
    assert deployed.services()[name]["ports"] == [f"127.0.0.1:{number}:{number}"]
    assert re.search(rf"^EXPOSE .*\b{number}\b", deployed.dockerfile(), re.MULTILINE)


def test_prometheus_scrapes_every_process() -> None:
    found = {}
    for job in deployed.prometheus_jobs():
        for target in [each for config in job["static_configs"] for each in config["targets"]]:
            name, _, number = target.partition(":")
            assert job["job_name"] == f"headrace-{name}"
            assert serves(name, job["metrics_path"])
            found[name] = int(number)
    assert found == {name: port(name) for name in (*WORKERS, "api")}


def test_without_profiles_there_are_the_stores_alone() -> None:
    plain = {name for name, each in deployed.services().items() if "profiles" not in each}
    assert plain == STORES


def test_compose_publishes_on_the_loopback_interface_only() -> None:
    for name, each in deployed.services().items():
        for published in each.get("ports", []):
            assert published.startswith("127.0.0.1:"), name


def test_what_others_wait_for_has_a_health_check() -> None:
    services = deployed.services()
    for each in services.values():
        for name, wanted in each.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert services[name]["healthcheck"]["test"]
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert services[name]["command"] == ["headrace", "stack", "up"]


def test_containers_may_do_nothing_but_their_work() -> None:
    uid = int(re.search(r"^USER (\d+):\1$", deployed.dockerfile(), re.MULTILINE)[1])  # type: ignore[index]
    for name, pod in deployed.pods().items():
        spec, container = pod["spec"], deployed.containers()[name]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == uid
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        assert not spec["enableServiceLinks"], "a service `headrace-api` would set a setting"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    for name, each in deployed.our_services().items():
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"], name


@pytest.mark.parametrize("name", WORKERS)
def test_workers_keep_names_and_data_and_have_time_to_stop(name: str) -> None:
    spec = deployed.of_kind("StatefulSet")[name]["spec"]
    pod, container = spec["template"]["spec"], deployed.containers()[name]
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS + 2
    (identity,) = [each for each in container["env"] if each["name"] == "HEADRACE_WORKER_ID"]
    assert identity["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    held = mounts[re.search(r"HEADRACE_DATA_DIR=(\S+)", deployed.dockerfile())[1]]  # type: ignore[index]
    claims = {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", [])}
    assert (held in claims) == (name == "app"), "only the folds keep rows"


def test_memory_is_what_is_promised() -> None:
    for name, most in MOST_MEMORY_MB.items():
        resources = deployed.containers()[name]["resources"]
        asked, limit = (megabytes(resources[kind]["memory"]) for kind in ("requests", "limits"))
        assert most <= asked < limit, name
        assert megabytes(deployed.services()[name]["mem_limit"]) == limit, name


def test_no_more_workers_than_partitions() -> None:
    scalers = deployed.of_kind("HorizontalPodAutoscaler")
    assert set(scalers) == set(deployed.of_kind("PodDisruptionBudget")) == {*WORKERS, "api"}
    for name, scaler in scalers.items():
        target = scaler["spec"]["scaleTargetRef"]
        assert name in deployed.of_kind(target["kind"])
        assert target["name"] == name
        if name in WORKERS:
            most = int(deployed.k8s_settings()["HEADRACE_PARTITIONS"])
            assert scaler["spec"]["maxReplicas"] <= most


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector takes a pod with these labels."""
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )


@pytest.mark.parametrize("name", NEEDS)
def test_network_lets_each_reach_what_it_needs(name: str) -> None:
    labels = deployed.pods()[name]["metadata"]["labels"]
    mine = [
        each["spec"]
        for each in deployed.of_kind("NetworkPolicy").values()
        if selects(each["spec"]["podSelector"], labels)
    ]
    assert any(set(each["policyTypes"]) == {"Ingress", "Egress"} for each in mine)
    reached = {
        (to["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], each["port"])
        for spec in mine
        for rule in spec.get("egress", [])
        for to in rule["to"]
        for each in rule["ports"]
    }
    addresses = " ".join(deployed.k8s_settings().values())
    stores = {
        (store, int(number))
        for store, number in re.findall(r"\.(\w+)\.svc:(\d+)", addresses)
        if store in NEEDS[name]
    }
    assert len(stores) == len(NEEDS[name])
    assert reached == {*stores, ("kube-system", 53)}
    open_ports = {
        each["port"] for s in mine for rule in s.get("ingress", []) for each in rule["ports"]
    }
    assert ("http" in open_ports) or name == "prepare"


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "Service"])
def test_selectors_take_their_own_pods(kind: str) -> None:
    for name, each in deployed.of_kind(kind).items():
        selector = each["spec"]["selector"]
        chosen = selector.get("matchLabels", selector)
        taken = [
            pod
            for pod, template in deployed.pods().items()
            if selects({"matchLabels": chosen}, template["metadata"]["labels"])
        ]
        assert taken == [name]


def test_image_is_made_of_what_may_be_copied() -> None:
    """The context has all that the package lists, and nothing of what is not for it."""
    allowed = [
        line[1:]
        for line in (deployed.ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    project = tomllib.loads((deployed.ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for package in project["packages"]:
        assert package.partition(".")[0] in allowed
    for path in [*(f"{module}.py" for module in project["py-modules"]), *allowed]:
        assert any(fnmatch.fnmatch(path, pattern) for pattern in allowed)
        assert (deployed.ROOT / path).exists(), path
    for copied in re.findall(r"^COPY (?!--from)(\S+) ", deployed.dockerfile(), re.MULTILINE):
        assert copied == "." or copied in allowed


def test_package_has_every_package() -> None:
    project = tomllib.loads((deployed.ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = {package.partition(".")[0] for package in project["packages"]}
    found = {
        str(path.parent.relative_to(deployed.ROOT)).replace("/", ".")
        for top in tops
        for path in (deployed.ROOT / top).rglob("__init__.py")
    }
    assert set(project["packages"]) == found
