"""The studio's REST API and its page."""
