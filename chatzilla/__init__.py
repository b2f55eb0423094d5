"""Chatzilla: a self-hosted place to talk."""

__version__ = "0.1.0"
