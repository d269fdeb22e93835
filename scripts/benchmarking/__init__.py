"""What `scripts.benchmark` measures with: the services, the load and the limit."""
