"""A picture at once: feed-forward networks that apply a style, and how they are trained and exported."""
