"""Many images: a manifest of jobs, a journal of what happened, and executors that paint."""
