"""Names made fit for where they are shown: a terminal, a spreadsheet."""

# A spreadsheet takes what starts with one of these for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(name: str) -> str:
    """Make a name fit for a line on a terminal, which control characters would steer."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def as_text(name: str) -> str:
    """Mark a name as text where a spreadsheet would take it for a formula."""
    return f"'{name}" if name.startswith(FORMULA) else name
