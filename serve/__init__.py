"""Starts, stops and talks to TorchServe."""

RESEARCH_ONLY = "Research software, not a medical device: never use it for a diagnosis."
