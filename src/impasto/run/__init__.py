"""One run: prepared, optimized scale by scale, kept in checkpoints, recorded and saved."""
