"""Feed-forward networks that apply a style in one pass, and how they are trained and exported."""
