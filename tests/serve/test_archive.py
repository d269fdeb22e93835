"""What is read of an archive before TorchServe gets it."""

import json
import zipfile
from pathlib import Path

import pytest

from serve.archive import Archive
from serve.errors import VersionError
from serve.restart import ServedArchive


def packed(path: Path, version: str = "1.3", model: str = "breakhis") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        described = {"model": {"modelName": model, "modelVersion": version}}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(described))
        archive.writestr("manifest.json", "{}")
    return path


def test_an_archive_is_known_by_its_name_and_by_its_path(tmp_path, monkeypatch):
    path = packed(tmp_path / "new.mar")
    assert Archive.open(tmp_path, "new.mar") == Archive.open(tmp_path, path)
    assert Archive.open(tmp_path, "new.mar").version == "1.3"
    monkeypatch.chdir(tmp_path.parent)
    assert Archive.open(tmp_path, f"{tmp_path.name}/new.mar").file == "new.mar"


@pytest.mark.parametrize(
    "version", ["1.3.1", "0", "0.0", "-1", "1e3", "nan", "new", "", "1.", "1/2"]
)
def test_a_version_that_torchserve_would_not_take_is_refused(version, tmp_path):
    packed(tmp_path / "new.mar", version)
    with pytest.raises(VersionError, match="not a positive number"):
        Archive.open(tmp_path, "new.mar")


def test_another_model_is_refused(tmp_path):
    packed(tmp_path / "new.mar", model="other")
    with pytest.raises(VersionError, match="the model other"):
        Archive.open(tmp_path, "new.mar")


def test_a_changed_byte_is_found(tmp_path):
    path = packed(tmp_path / "new.mar")
    path.write_bytes(path.read_bytes().replace(b"1.3", b"1.4"))
    with pytest.raises(VersionError, match="damaged"):
        Archive.open(tmp_path, "new.mar")


def test_an_archive_elsewhere_of_the_same_name_is_not_taken_for_it(tmp_path):
    packed(tmp_path / "new.mar")
    (tmp_path / "elsewhere").mkdir()
    other = packed(tmp_path / "elsewhere" / "new.mar")
    for given in (other, f"../{tmp_path.name}x/new.mar", "absent.mar", "", ".."):
        with pytest.raises(VersionError, match="not in the model store"):
            Archive.open(tmp_path, given)


def test_the_record_knows_what_was_served_before(fresh_settings):
    assert ServedArchive.read(fresh_settings) == ServedArchive("breakhis.mar", None)
    ServedArchive.record(fresh_settings, "b.mar")
    ServedArchive.record(fresh_settings, "b.mar")
    assert ServedArchive.read(fresh_settings) == ServedArchive("b.mar", "breakhis.mar")
    assert [file.name for file in fresh_settings.run_dir.iterdir()] == ["served.json"]
