"""Whether a process needs more memory the longer it runs."""

from statistics import median


def course_of(readings: list[int]) -> list[float]:
    """Return the median of each tenth of the readings.

    Medians, since a single large image, while it is decoded, is no growth.
    """
    tenth = max(1, len(readings) // 10)
    return [median(readings[at : at + tenth]) for at in range(0, 10 * tenth, tenth)]


def growth_of(course: list[float]) -> float:
    """Compare the end with the half, up to which the process warms up: 0.05 is 5 % more."""
    return course[-1] / course[4] - 1


def megabytes(course: list[float]) -> str:
    """Write the course as text."""
    return ", ".join(f"{size / 1e6:.0f}" for size in course) + " MB"
