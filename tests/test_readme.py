"""Every snippet of the README, run as it stands but for the ports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

SNIPPETS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
TOKEN = next(code for _, code in SNIPPETS if code.startswith("TOKEN="))


@pytest.mark.parametrize(
    ("language", "code"), SNIPPETS, ids=[code.splitlines()[0][:50] for _, code in SNIPPETS]
)
def test_snippet(language, code, service, page_url, field_png, tmp_path):
    (tmp_path / "field.png").write_bytes(field_png)
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    for default, port in [
        ("127.0.0.1:8080", service.inference_port),
        ("127.0.0.1:8081", service.management_port),
    ]:
        code = code.replace(default, f"127.0.0.1:{port}")
    code = code.replace("http://127.0.0.1:7860", page_url)
    if language == "bash":
        # -f makes curl fail on an HTTP error.
        code = f"set -euo pipefail\n{TOKEN}\n{code}".replace("curl ", "curl -sS -f ")
        command = ["bash", "-c", code]
    else:
        command = [sys.executable, "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(service, PATH=path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "heatmap.png" in code:
        assert (tmp_path / "heatmap.png").read_bytes().startswith(b"\x89PNG")
