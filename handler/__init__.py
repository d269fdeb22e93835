"""What goes into the model archive: from image bytes to a verdict.

Self-contained: nothing here imports from the rest of the project, so the
archive runs in any TorchServe that has its requirements.
"""
