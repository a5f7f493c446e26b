"""Where the pictures and figures in the documentation come from."""
