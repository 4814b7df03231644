"""HTTP: bytes in, one flow or one read, bytes out."""
