"""One run: prepared, optimized scale by scale, checkpointed, recorded and saved."""
