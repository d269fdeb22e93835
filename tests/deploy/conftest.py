"""What the Dockerfile and the manifests say, read from them."""

import json
import re
import shlex
from typing import Any

import yaml

from tests.conftest import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
INSTRUCTIONS = re.sub(r"\\\n", "", DOCKERFILE.read_text())
# From the base image on.
LAST_STAGE = INSTRUCTIONS.rpartition("\nFROM ")[2]

(IMAGE_ENVIRONMENT,) = (
    dict(each.split("=", 1) for each in shlex.split(line))
    for line in re.findall(r"^ENV (.*)$", LAST_STAGE, re.M)
)
(COMMAND,) = (json.loads(line) for line in re.findall(r"^CMD (.*)$", LAST_STAGE, re.M))
(HEALTH,) = (json.loads(line) for line in re.findall(r"^HEALTHCHECK.* CMD (.*)$", LAST_STAGE, re.M))


def copied(instructions: str, *, from_build: bool = False) -> list[tuple[str, str]]:
    """Sources and targets of COPY: of the first stage's results, or of the repository's files."""
    lines = re.findall(r"^COPY (--from=build )?(\S+) (\S+)$", instructions, re.M)
    return [(source, target) for stage, source, target in lines if bool(stage) == from_build]


def manifests() -> list[dict[str, Any]]:
    """Everything that Kubernetes is given."""
    files = sorted((ROOT / "deploy").glob("k*/*.yaml"))
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]
