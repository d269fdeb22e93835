"""`python -m serve deploy`: a new version under load, and what fails on the way."""

import pytest

from serve.description import RunningModel
from serve.management import Management
from serve.torchserve import TorchServe
from tests.serve.conftest import registered, run, under_load


def test_a_deployed_version_is_served_also_after_a_restart_and_can_be_rolled_back(
    changing, field_png
):
    model = RunningModel(Management.from_settings(changing))
    assert model.describe().model["version"] == "1.2"
    with under_load(changing, field_png, "1.2") as load, load.switching("1.3"):
        done = run(changing, "deploy", "breakhis-1.3.mar")
    assert done.returncode == 0, done.stderr
    assert "Version 1.3 is served" in done.stdout
    assert "Unregister version 1.2" in done.stderr
    load.check()
    assert set(load.models.values()) == {"1.2", "1.3"}
    assert registered(changing) == {"1.3": True}
    # The page asks again when an answer names a model that it does not know.
    (now,) = (sha256 for sha256, version in load.models.items() if version == "1.3")
    assert model.behind(now).model["version"] == "1.3"

    service = TorchServe(changing)
    service.stop()
    service.start()
    assert registered(changing) == {"1.3": True}

    done = run(changing, "models", "rollback")
    assert done.returncode == 0, done.stderr
    assert registered(changing) == {"1.2": True}


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("truncated.mar", "is damaged"),
        ("breakhis.mar", "Version 1.2 is registered already"),
        ("tampered.mar", "could not load tampered.mar"),
        ("wrong.mar", "The smoke test of version 1.3 failed"),
    ],
)
def test_a_bad_archive_leaves_the_old_version_in_service(file, told, changing, field_png):
    with under_load(changing, field_png, "1.2") as load:
        done = run(changing, "deploy", file)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    load.check()
    assert set(load.models.values()) == {"1.2"}
    assert registered(changing) == {"1.2": True}
