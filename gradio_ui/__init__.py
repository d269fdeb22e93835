"""The web demo. It reaches the model only through the client in ``serve``."""
