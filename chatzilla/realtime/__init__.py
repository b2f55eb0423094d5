"""The Socket.IO door: decode, call a verb of the core, encode."""
