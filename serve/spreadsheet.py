"""Names that a spreadsheet may be given."""

# A spreadsheet takes what starts with one of these for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(name: str) -> str:
    """Mark a name as text where a spreadsheet would take it for a formula."""
    return f"'{name}" if name.startswith(FORMULA) else name
