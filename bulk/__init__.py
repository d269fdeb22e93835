"""Work without a service: archives of images, and whole slides."""
