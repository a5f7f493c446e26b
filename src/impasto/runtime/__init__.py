"""Where a run computes: the device, the group of processes, and the allocator."""
