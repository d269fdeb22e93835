"""How good the model is on patients it never saw: figures, plots and card."""
