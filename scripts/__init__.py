"""What a person runs now and then; one task a file."""
