"""Every snippet of the README, run as it stands but for the ports."""

import re

import pytest

from tests.conftest import ROOT, run_snippet

SNIPPETS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
TOKEN = next(code for _, code in SNIPPETS if code.startswith("TOKEN="))


@pytest.mark.parametrize(
    ("language", "code"), SNIPPETS, ids=[code.splitlines()[0][:50] for _, code in SNIPPETS]
)
def test_snippet(language, code, service, page_url, field_png, tmp_path):
    (tmp_path / "field.png").write_bytes(field_png)
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    code = code.replace("http://127.0.0.1:7860", page_url)
    if language == "bash":
        code = f"{TOKEN}\n{code}"
    done = run_snippet(language, code, service, tmp_path)
    assert done.returncode == 0, done.stderr
    if "heatmap.png" in code:
        assert (tmp_path / "heatmap.png").read_bytes().startswith(b"\x89PNG")
