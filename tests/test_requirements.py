"""The requirements files are what `make lock` makes of pyproject.toml; if not, run that."""

import re
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT, ROOT, needed, pins

EXTRAS = PROJECT["optional-dependencies"]
FILES = {"requirements.txt": ("page", "slides"), "requirements-dev.txt": tuple(EXTRAS)}
# What PyTorch's build with CUDA brings, and its build for CPUs does not.
CUDA = re.compile("nvidia-|cuda-|triton$")


def direct(extras: tuple[str, ...]) -> list[str]:
    """What pyproject.toml names for an installation with these extras."""
    return [*PROJECT["dependencies"], *(each for extra in extras for each in EXTRAS[extra])]


def installed(name: str) -> str | None:
    """The version that is installed, without what its build adds."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


@pytest.mark.parametrize("file", FILES)
def test_what_pyproject_pins_is_there_in_the_same_version(file):
    pinned = pins(file)
    for text in direct(FILES[file]):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert str(requirement.specifier) == f"=={pinned.get(name)}", name


@pytest.mark.parametrize("file", FILES)
def test_all_that_those_need_is_there_and_nothing_else(file):
    there = pins(file).keys()
    # Whatever pip is there installs the file, so it is not in it.
    wanted = needed(direct(FILES[file])) - {"pip"}
    assert not {name for name in wanted - there if not CUDA.match(name)}
    assert not {name for name in there - wanted if installed(name)}


def test_what_is_installed_is_what_is_pinned():
    pinned = pins("requirements-dev.txt")
    found = {name: installed(name) for name in pinned}
    assert {name: at for name, at in found.items() if at not in (None, pinned[name])} == {}
    assert pins("requirements.txt").items() <= pinned.items()


@pytest.mark.parametrize("file", FILES)
def test_no_address_no_option_and_no_build_of_one_machine(file):
    for line in (ROOT / file).read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( +# via [\w.(), -]+)?|#.*|", line), line
        assert "/" not in line
