"""The studio: a local server with a web page that starts, shows and steers runs.

``worker`` and ``http`` import ``store``, ``server`` imports all three. The worker processes and the server communicate
only through the store, so that either may be killed at any moment.
"""
