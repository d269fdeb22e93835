"""Whole slides: find the tissue, judge it field by field, and draw what came of it."""
