"""What other services do with the same model, as their users write it."""
