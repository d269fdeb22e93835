"""Damaged images, each read or refused in this process."""

import random
from collections import Counter

import numpy as np
import psutil
import pytest
from rich.progress import track

from handler.errors import RequestError
from handler.images import read_field
from handler.limits import Limits
from tests.fuzz.memory import course_of, growth_of, megabytes
from tests.fuzz.mutations import corpus, mutate

# Damaged headers often claim more; the test would only take longer.
LIMITS = Limits(max_pixels=1_000_000)


@pytest.mark.filterwarnings("ignore:::PIL")  # pytest would keep them all
def test_damaged_images_are_read_or_refused_and_nothing_else(pytestconfig, console):
    count = pytestconfig.getoption("fuzz_inputs")
    files, process = corpus(), psutil.Process()
    memory: list[int] = []
    results: Counter[int] = Counter()
    for i in track(range(count), "Damaged images", console=console):
        if i % 100 == 0:
            memory.append(process.memory_info().rss)
        results[_read(i, mutate(random.Random(i), files))] += 1
    course = course_of(memory)
    console.print(f"{dict(results)}; memory in the course {megabytes(course)}")
    assert set(results) == {200, 400, 413, 415}
    assert growth_of(course) < 0.05


def _read(i: int, data: bytes) -> int:
    try:
        pixels = read_field(data, LIMITS).pixels
    except RequestError as error:
        assert str(error)
        return error.code
    except BaseException as error:
        raise AssertionError(f"input {i}, made by mutate(random.Random({i}), corpus())") from error
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return 200
