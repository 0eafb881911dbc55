"""How a start command becomes a process, and what is read from render.yaml."""

import subprocess

import pytest

from scripts.rehearsal.blueprint import Blueprint, BlueprintError, read_blueprint, with_exec


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python app.py", "exec env python app.py"),
        ("python migrate.py && python app.py", "python migrate.py && exec env python app.py"),
        ("a && b && NAME=1 c --port $PORT", "a && b && exec env NAME=1 c --port $PORT"),
        ("python -c 'a && b'", "exec env python -c 'a && b'"),
        ("a && python -c 'b && c'", "a && exec env python -c 'b && c'"),
        ("exec python app.py", "exec python app.py"),
        ("a && exec b", "a && exec b"),
        ("a && b | c", "a && b | c"),
        ("a; b", "a; b"),
        ("a && (b)", "a && (b)"),
        ("a &&", "a &&"),
    ],
)
def test_the_last_command_replaces_the_shell(command: str, expected: str) -> None:
    """The last plain command after `&&` gets `exec`; quotes are respected, and anything more is left to the shell."""
    assert with_exec(command) == expected


@pytest.mark.parametrize("command", ["true && echo $$", "NAME=1 sh -c 'echo $$ && true'", "echo 'a && b' && echo $$"])
def test_commands_keep_their_meaning(command: str) -> None:
    """A command still does what it did before it got `exec`."""
    said = [
        subprocess.run(["/bin/sh", "-c", each], check=True, capture_output=True, text=True).stdout.splitlines()
        for each in (command, with_exec(command))
    ]
    assert [len(lines) for lines in said] == [len(said[0])] * 2
    assert said[0][:-1] == said[1][:-1]
    assert all(lines[-1].isdigit() for lines in said)


def test_the_first_web_service_counts() -> None:
    """Commands, health path and plain variables come from the first web service; other variables are left out."""
    text = """
services:
  - {type: worker, startCommand: work}
  - type: web
    startCommand: serve
    buildCommand: build
    preDeployCommand: migrate
    healthCheckPath: /healthz
    envVars:
      - {key: TEXT, value: x}
      - {key: NUMBER, value: 3}
      - {key: FLAG, value: true}
      - {key: PYTHON_VERSION, value: 3.13.0}
      - {key: SECRET, sync: false}
      - {key: MADE, generateValue: true}
      - {key: URL, fromDatabase: {name: db, property: connectionString}}
      - {key: PLACE, fromDatabase: {name: db, property: host}}
      - {fromGroup: group}
  - {type: web, startCommand: other}
"""
    assert read_blueprint(text) == Blueprint(
        start_command="serve",
        build_command="build",
        pre_deploy_command="migrate",
        health_check_path="/healthz",
        variables={"TEXT": "x", "NUMBER": "3", "FLAG": "true"},
        databases={"URL": "db"},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a mapping"),
        ("[]", "not a mapping"),
        ("services: [", "not YAML"),
        ("services: []", "no service of type web"),
        ("services: [{type: worker}]", "no service of type web"),
        ("services: [{type: web}]", "no startCommand"),
    ],
)
def test_an_unusable_file_is_an_error(text: str, reason: str) -> None:
    """A render.yaml that gives nothing to start is an error that says why."""
    with pytest.raises(BlueprintError, match=reason):
        read_blueprint(text)
