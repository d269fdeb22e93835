"""`breakhis deploy`: a new version under load, and what fails on the way."""

import pytest

from serve.description import RunningModel
from serve.management import Management
from serve.torchserve import TorchServe
from tests.serve.conftest import SERVED, registered, run, under_load


def test_a_deployed_version_is_served_also_after_a_restart_and_can_be_rolled_back(
    changing, field_png
):
    model = RunningModel(Management.from_settings(changing))
    assert model.describe().model.version == SERVED
    with under_load(changing, field_png, SERVED) as load, load.switching("2.1"):
        done = run(changing, "deploy", "breakhis-2.1.mar")
    assert done.returncode == 0, done.stderr
    assert "Version 2.1 is served" in done.stdout
    assert f"Unregister version {SERVED}" in done.stderr
    load.check()
    assert set(load.models.values()) == {SERVED, "2.1"}
    assert registered(changing) == {"2.1": True}
    # The page asks again when an answer names a model that it does not know.
    (now,) = (sha256 for sha256, version in load.models.items() if version == "2.1")
    assert model.behind(now).model.version == "2.1"

    service = TorchServe(changing)
    service.stop()
    service.start()
    assert registered(changing) == {"2.1": True}

    done = run(changing, "models", "rollback")
    assert done.returncode == 0, done.stderr
    assert registered(changing) == {SERVED: True}


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("truncated.mar", "is damaged"),
        ("breakhis.mar", f"Version {SERVED} is registered already"),
        ("tampered.mar", "could not load tampered.mar"),
        ("wrong.mar", "The probe of version 2.1 failed"),
    ],
)
def test_a_bad_archive_leaves_the_old_version_in_service(file, told, changing, field_png):
    with under_load(changing, field_png, SERVED) as load:
        done = run(changing, "deploy", file)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    load.check()
    assert set(load.models.values()) == {SERVED}
    assert registered(changing) == {SERVED: True}
