"""The studio: a local server whose page starts runs, watches them and turns their knobs.

The arrows inside: ``store`` <- ``worker`` on one side, ``store`` <- ``http`` <- ``server`` on the other. The two sides
meet in the store alone, so that either may be killed at any moment.
"""
