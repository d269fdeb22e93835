"""Whether a process needs more memory the longer it runs."""

from statistics import median


def growth_of(readings: list[int]) -> float:
    """Compare the last fifth of the readings with the second one: 0.05 is 5 % more.

    Medians, since a single large image, while it is decoded, is no growth.
    """
    fifth = max(1, len(readings) // 5)
    return median(readings[-fifth:]) / median(readings[fifth : 2 * fifth]) - 1
