"""The deployment files: valid, pinned, hardened, and in step with the settings and the metrics."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from cli.main import app
from common.settings import SharedSettings
from encoders.settings import EncoderSettings
from ingest.archives.settings import ArchiveSettings
from ingest.settings import IngestSettings
from search.api.metrics import Metrics
from search.settings import SearchSettings
from workers.metrics import LedgerCollector, StageMetrics
from workers.queue.beat import QueueWatch
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (DEPLOY / "env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
SETTING = re.compile(r"\$\{(\w+):-(\S+)\}")
MOUNT_POINTS = {"/tmp"}  # of `tmpfs`: folders that are there in every image
# The plugin is in no package registry that CI reaches (Debian's docker-compose is the old one).
WITHOUT_COMPOSE = "`docker compose` is not installed: only the schema was checked"


def has_compose():
    return (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    )


def test_compose_file_follows_the_compose_specification():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_schema_would_have_found_a_mistake(tmp_path):
    wrong = tmp_path / "compose.yml"
    wrong.write_text("services: {api: {imagee: x}}")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(wrong)], capture_output=True, text=True, check=False)
    assert "imagee" in done.stdout


@pytest.mark.skipif(not has_compose(), reason=WITHOUT_COMPOSE)
def test_compose_file_is_read_by_docker_compose():
    filled = {name: value or "x" * 24 for name, value in EXAMPLE.items()}
    subprocess.run(
        ["docker", "compose", "config", "--quiet"], cwd=ROOT, env=os.environ | filled, check=True
    )


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_limited_watched_and_hardened(name):
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+", tag)
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name == "qdrant" or service["user"].split(":")[0] != "0"  # its image is unprivileged


def test_nothing_is_written_into_a_read_only_container():
    # Compose copies what is no file of the host into the container, and refuses: compose#12531
    for name in ("secrets", "configs"):
        assert [one for one, how in COMPOSE.get(name, {}).items() if "file" not in how] == []
    assert SERVICES["qdrant"]["environment"]["QDRANT_INIT_FILE_PATH"].startswith("/tmp/")


@pytest.mark.parametrize("name", SERVICES)
def test_limits_are_settings_whose_defaults_any_machine_takes(name):
    prefix = name.upper().replace("-", "_")
    for what, limit in SERVICES[name]["deploy"]["resources"]["limits"].items():
        setting, default = SETTING.fullmatch(limit).groups()
        assert setting == f"{prefix}_{what.upper()}"
        assert EXAMPLE[setting] == default
    # "Range of CPUs is from 0.01 to 2.00": docker starts nothing that wants more than there are
    assert 0.01 <= float(EXAMPLE[f"{prefix}_CPUS"]) <= 1


def test_folders_in_memory_are_mounted_where_images_have_folders():
    # Debian 12's engine loses the mode of others when a container starts again
    mounted = {
        one.partition(":")[0] for service in SERVICES.values() for one in service.get("tmpfs", ())
    }
    assert mounted == MOUNT_POINTS


def test_keys_of_prometheus_are_where_it_reads_them(tmp_path):
    service = SERVICES["prometheus"]
    program = tmp_path / "prometheus"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    shell, option, script, *rest = service["entrypoint"]
    script = script.replace("$$", "$").replace("/dev/shm", str(tmp_path))
    keys = {name: f"{name} of the environment" for name in service["environment"]}
    environment = keys | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, option, script, *rest, *service["command"]],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == service["command"]
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    read = [
        Path(job["authorization"]["credentials_file"])
        for job in config["scrape_configs"]
        if "authorization" in job
    ]
    assert {path.parent for path in read} == {Path("/dev/shm")}
    assert {(tmp_path / path.name).read_text() for path in read} == {*keys.values()}


def test_page_names_the_sum_of_the_limits():
    cores = sum(float(value) for name, value in EXAMPLE.items() if name.endswith("_CPUS"))
    memory = [value for name, value in EXAMPLE.items() if name.endswith("_MEMORY")]
    megabytes = sum(int(most[:-1]) * {"g": 1024, "m": 1}[most[-1]] for most in memory)
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    assert f"{cores:g} cores and {megabytes / 1024:g} GB" in page


@pytest.fixture(scope="module")
def steps():
    """The steps of the Dockerfile: instruction and what it is given."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


def given(steps, instruction):
    return [what for name, what in steps if name == instruction]


def test_image_has_a_health_check_of_its_own(steps):
    assert given(steps, "HEALTHCHECK")


def test_image_has_torch_for_cpus_unless_told_otherwise(steps, tmp_path):
    (default,) = given(steps, "ARG")
    name, _, url = default.partition("=")
    assert url == EXAMPLE[name] == "https://download.pytorch.org/whl/cpu"
    assert COMPOSE["services"]["api"]["build"]["args"] == {name: f"${{{name}-{url}}}"}
    first, second = (run for run in given(steps, "RUN") if "pip install" in run)

    def words(given):
        echoed = "python() { :; }; " + first.replace("/venv/bin/pip", "echo")
        shell = ["sh", "-c", echoed]
        return subprocess.run(
            shell,
            env={"PATH": os.environ["PATH"], name: given},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    assert words(url)[-3:] == ["--index-url", url, "torch"]
    assert "--index-url" not in words("")
    assert words("")[-1] == "torch"
    assert name not in second  # what else is installed does not come from there


def test_image_is_made_of_files_that_there_are(steps):
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [what.split()[:-1] for what in given(steps, "COPY") if not what.startswith("--from")]
    sources = [one for some in copied for one in some]
    assert [one for one in sources if not (ROOT / one).exists() or one in ignored] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert {*packages["targets"]["wheel"]["packages"]} <= {*sources}


def test_containers_run_commands_that_there_are(steps):
    assert given(steps, "ENTRYPOINT") == ['["chandra-search"]']
    known = {one.name or one.callback.__name__ for one in app.registered_commands}
    for name, service in SERVICES.items():
        if service["image"].startswith("chandra-search:"):
            assert service["command"][0] in known, name


def test_nothing_listens_beyond_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_redis_forgets_nothing():
    command = SERVICES["redis"]["command"][-1]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_secrets_come_from_the_environment_alone():
    secret = re.compile(r"PASSWORD|API_KEY|TOKEN")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert value.startswith("${"), name
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert asked == EXAMPLE.keys()
    assert all(not value for name, value in EXAMPLE.items() if secret.search(name))


def test_variables_are_settings_of_ours():
    kinds = (SharedSettings, IngestSettings, ArchiveSettings, EncoderSettings)
    known = {
        f"CHANDRA_{field.upper()}"
        for kind in (*kinds, SearchSettings, WorkerSettings)
        for field in kind.model_fields
    }
    used = {name for service in SERVICES.values() for name in service.get("environment", {})}
    written = set(re.findall(r"CHANDRA_\w+", (ROOT / "Dockerfile").read_text()))
    asked = {name for name in EXAMPLE if name.startswith("CHANDRA_")}
    ours = {name for name in used | written | asked if name.startswith("CHANDRA_")}
    assert ours - known == set()


def test_io_and_encode_workers_share_their_downloads():
    for name in ("worker-io", "worker-encode"):
        assert {"data:/data", "downloads:/downloads"} <= {*SERVICES[name]["volumes"]}


def test_api_and_workers_share_the_queue_and_the_folder_of_uploads():
    services = [SERVICES[name] for name in ("api", "worker-encode")]
    (queue,) = {one["environment"]["CHANDRA_REDIS_URL"] for one in services}
    assert queue.startswith("redis://")
    (folder,) = {one["environment"].get("CHANDRA_UPLOADS_DIR") for one in services}
    assert folder is None  # it is in the data folder, which is a volume of both
    assert all("data:/data" in one["volumes"] for one in services)
    assert "redis" in SERVICES["api"]["depends_on"]


class NoRedis:
    def llen(self, _queue):
        return 0

    def lindex(self, *_):
        return None


@pytest.fixture(scope="module")
def measured():
    """Names of everything that we measure, as Prometheus spells them."""
    registry = CollectorRegistry()
    QueueWatch(NoRedis(), registry=registry)
    found = [*Metrics(lambda: None).registry.collect(), *StageMetrics().registry.collect()]
    names = {family.name for family in [*found, *registry.collect()]}
    source = Path(sys.modules[LedgerCollector.__module__].__file__).read_text()
    names |= set(re.findall(r'GaugeMetricFamily\(\s*"(\w+)"', source))
    return names


def named(text):
    names = set(re.findall(r"chandra_\w+", text))
    return {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in names}


def test_alerts_ask_for_what_is_measured(measured):
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert named(rule["expr"])
        assert named(rule["expr"]) <= measured, rule["alert"]


def test_every_alert_has_a_line_that_says_what_to_do():
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    assert [rule["alert"] for rule in rules if f"| `{rule['alert']}` |" not in page] == []


def test_dashboard_asks_for_what_is_measured(measured):
    dashboard = json.loads((DEPLOY / "grafana/dashboards/chandra-search.json").read_text())
    expressions = [target["expr"] for one in dashboard["panels"] for target in one["targets"]]
    assert len(expressions) >= 12
    assert all(named(one) and named(one) <= measured for one in expressions)


def test_prometheus_reads_services_that_there_are():
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    targets = [
        name.partition(":")[0]
        for job in config["scrape_configs"]
        for how in (*job.get("static_configs", ()), *job.get("dns_sd_configs", ()))
        for name in (*how.get("targets", ()), *how.get("names", ()))
    ]
    assert {*targets} <= SERVICES.keys()
    assert {"worker-io", "worker-encode", "beat", "api", "qdrant"} == {*targets}
