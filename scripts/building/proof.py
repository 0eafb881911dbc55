"""Proves of which commit an archive is: its function, started as on Vercel, answers `/version` with it."""

from __future__ import annotations

from pathlib import Path

import httpx

from scripts.artifact import Artifact
from scripts.building.blocking import to_the_end
from scripts.building.pack import OUTPUT, find_functions
from scripts.function import Function, FunctionFailedError, serve_function
from scripts.release import Sha, parse_sha, short
from scripts.verdict import Verdict, failed, passed

ANSWER_LIMIT_S = 15.0
VARIABLES = {"VERCEL_URL": "build.localhost", "VERCEL_DEPLOYMENT_ID": "dpl_build"}


async def prove(artifact: Artifact, folder: Path) -> Verdict:
    """Unpack the archive, start the function in it, and ask which commit it is."""
    await to_the_end(artifact.unpack, folder)
    log = folder.with_suffix(".log")
    try:
        async with serve_function(find_functions(folder / OUTPUT)[0], log, VARIABLES) as function:
            return await _ask(function, artifact.commit)
    except FunctionFailedError as error:
        return failed(str(error), "mend the service; nothing was deployed")


async def _ask(function: Function, commit: Sha) -> Verdict:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_LIMIT_S) as client:
            answer = await client.get(f"{function.url}/version")
        told = answer.json().get("commit") if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return failed(f"the function gives no answer to /version: {error!r}\n{function.last_lines()}".strip())
    if parse_sha(told) == commit:
        return passed(f"its function answers /version with {short(commit)}")
    said = f"status {answer.status_code}" if told is None else f"commit {told!r}"
    what = f"the function answers /version with {said}, and {commit} was built"
    return failed(f"{what}\n{function.last_lines()}".strip(), "let /version report the content of baked_commit.txt")
