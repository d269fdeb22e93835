"""Starts, stops and talks to TorchServe."""
