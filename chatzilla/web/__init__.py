"""The HTTP door: pages, static files, health."""
