import hashlib
import json
import zipfile
from pathlib import Path

from serve.archive import MODEL_STORE, build


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path):
    first, second = tmp_path / "first.mar", tmp_path / "second.mar"
    digest = build(MODEL_STORE, first)
    assert build(MODEL_STORE, second) == digest
    assert first.read_bytes() == second.read_bytes()
    assert hashlib.sha256(first.read_bytes()).hexdigest() == digest
    assert sorted(tmp_path.iterdir()) == [first, second]  # no unfinished file is left


def test_the_archive_holds_the_model_as_committed_and_no_more(tmp_path: Path):
    build(MODEL_STORE, tmp_path / "breakhis.mar")
    with zipfile.ZipFile(tmp_path / "breakhis.mar") as archive:
        names = set(archive.namelist())
        for name in ("manifest.json", "MODEL_CARD.md", "svm.pkl", "weights.safetensors"):
            assert archive.read(name) == (MODEL_STORE / name).read_bytes()
        for plot in (MODEL_STORE / "plots").iterdir():
            assert archive.read(f"plots/{plot.name}") == plot.read_bytes()
        described = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert described["model"]["handler"] == "breakhis_handler.py"
    assert {"breakhis_handler.py", "model-config.yaml", "handler/images.py"} <= names
    assert not [name for name in names if "pycache" in name or name.endswith(".mar")]
