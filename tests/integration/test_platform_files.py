"""What render.yaml, vercel.json and .env.example say, against the service and against Render's own schema."""

import copy
import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from app.identity import COMMIT_VARIABLES
from app.lifecycle import CLOSING_LIMIT_S
from app.settings import Settings
from scripts.gates.settings_files import SCHEMAS, judge_render
from tests.integration.servers import ROOT, read_web_service, running_service

SCHEMA = ROOT.parent / "shared" / "data" / "render-blueprint.schema.json"
RENDERS_SHUTDOWN_LIMIT_S = 30  # https://render.com/docs/blueprint-spec, where maxShutdownDelaySeconds is not given


@pytest.fixture
def validator() -> Draft202012Validator:
    """Load Render's schema of Blueprints, where it is at hand."""
    if not SCHEMA.is_file():
        pytest.skip("Render's Blueprint schema is not part of this repository, and not beside it")
    return Draft202012Validator(json.loads(SCHEMA.read_text()))


def read_blueprint() -> Any:
    """Read render.yaml."""
    return yaml.safe_load((ROOT / "render.yaml").read_text())


def read_vercel() -> Any:
    """Read vercel.json."""
    return json.loads((ROOT / "vercel.json").read_text())


def read_variables() -> dict[str, Any]:
    """Read the variables that render.yaml sets; those that it takes from elsewhere have no value there."""
    return {variable["key"]: variable["value"] for variable in read_web_service()["envVars"] if "value" in variable}


def test_render_accepts_the_blueprint(validator: Draft202012Validator) -> None:
    """The Blueprint fits Render's own schema."""
    assert [error.message for error in validator.iter_errors(read_blueprint())] == []


@pytest.mark.parametrize("slip", [{"autoDeployTrigger": False}, {"runtime": "snake"}, {"plan": "gratis"}])
def test_the_schema_finds_a_slip(validator: Draft202012Validator, slip: dict[str, object]) -> None:
    """A slip in the Blueprint, such as an unquoted off, does not pass the check above."""
    blueprint = copy.deepcopy(read_blueprint())
    blueprint["services"][0].update(slip)
    assert not validator.is_valid(blueprint)


DEMANDED = json.loads((SCHEMAS / "render.json").read_text())["$defs"]["service"]["properties"]


@pytest.mark.parametrize("key", DEMANDED)
def test_render_allows_what_lint_demands(validator: Draft202012Validator, key: str) -> None:
    """Each key that `lint` looks at is one of Render's, and the one value that it demands of some is allowed there."""
    blueprint = copy.deepcopy(read_blueprint())
    service = blueprint["services"][0]
    service[key] = DEMANDED[key].get("const", service.get(key))
    assert (judge_render(yaml.safe_dump(blueprint)), [*validator.iter_errors(blueprint)]) == ([], [])
    service[f"{key}s"] = service.pop(key)
    assert not validator.is_valid(blueprint)


def test_renders_health_check_passes() -> None:
    """The path that Render asks is one that the running service answers with 200."""
    with running_service() as service:
        assert httpx.get(service.url + read_web_service()["healthCheckPath"]).status_code == 200


def test_a_push_deploys_nowhere_by_itself() -> None:
    """Neither platform deploys a push that the pipeline has not let through."""
    assert read_web_service()["autoDeployTrigger"] == "off"
    assert read_vercel()["git"] == {"deploymentEnabled": False}


def test_what_the_blueprint_costs_is_written_down() -> None:
    """The plan is given, free or not, because Render takes a paid one where it is not."""
    assert read_web_service().get("plan")


def test_render_installs_exactly_the_lock() -> None:
    """The build takes the locked packages with their hashes, and builds none from source."""
    words = shlex.split(read_web_service()["buildCommand"])
    assert "--require-hashes" in words
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert words[words.index("-r") + 1] == "requirements.txt"


def test_the_service_gives_up_before_render_kills_it() -> None:
    """The service's own limit for a graceful shutdown ends before Render's."""
    limit_s = read_web_service().get("maxShutdownDelaySeconds", RENDERS_SHUTDOWN_LIMIT_S)
    own_limit_s = float(read_variables().get("SHUTDOWN_LIMIT_S", Settings().shutdown_limit_s))
    assert 0 < own_limit_s + CLOSING_LIMIT_S < limit_s


def test_the_shutdown_delay_is_left_alone_on_the_free_plan() -> None:
    """The Blueprint sets no maxShutdownDelaySeconds together with a free plan, which Render refuses."""
    service = read_web_service()
    assert not (service.get("plan") == "free" and "maxShutdownDelaySeconds" in service)


def test_both_platforms_run_one_python() -> None:
    """Render's full Python version is of the series that Vercel reads from .python-version."""
    version = read_variables()["PYTHON_VERSION"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert version.startswith((ROOT / ".python-version").read_text().strip() + ".")


def test_variables_are_texts() -> None:
    """Every plain variable is a text, as in an environment, and no YAML number that could lose a digit."""
    assert {type(value) for value in read_variables().values()} == {str}


def test_vercel_builds_the_service() -> None:
    """Vercel is told the framework, without which it publishes the source, and trims the entry point that it finds."""
    vercel = read_vercel()
    (entry,) = vercel["functions"]
    assert vercel["framework"] == "fastapi"
    assert isinstance(import_module(".".join(Path(entry).with_suffix("").parts)).app, FastAPI)


def test_vercel_does_not_upload_secrets() -> None:
    """Files that may hold secrets are kept out of the function."""
    (function,) = read_vercel()["functions"].values()
    assert ".env*" in function["excludeFiles"].strip("{}").split(",")


def test_the_example_names_every_variable() -> None:
    """Whoever sets the service and the pipeline up finds every variable's name in .env.example."""
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^([A-Z_]+)=", example, flags=re.MULTILINE))
    files = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    pipeline = {name for file in files for name in re.findall(r"secrets\.([A-Z_]+)", file.read_text())}
    service = {*COMMIT_VARIABLES, "RENDER_INSTANCE_ID", "HOST", "PORT", "WEB_CONCURRENCY"}
    assert {"RENDER_DEPLOY_HOOK_URL", "SLIPWAY_WEBHOOK_URL"} <= pipeline
    assert pipeline | service <= named
