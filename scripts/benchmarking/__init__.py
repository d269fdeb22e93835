"""What `scripts.bench` measures with: the services, the load and the limit."""
