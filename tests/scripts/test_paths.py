"""Where scripts look for the data set."""

import argparse

from scripts.paths import SHARED, add_data_argument


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("BREAKHIS_DATA", "")
    parser = argparse.ArgumentParser()
    add_data_argument(parser)
    assert parser.parse_args([]).data == SHARED / "breakhis"
