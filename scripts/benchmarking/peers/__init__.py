"""What other services do with the same weights, as their users write it."""
