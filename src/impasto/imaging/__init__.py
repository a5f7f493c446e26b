"""Image files: decoding, encoding, color profiles, metadata, and resampling."""
