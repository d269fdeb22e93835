"""Scores archives of images: many files in, a table of verdicts out."""
