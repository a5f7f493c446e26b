"""The studio's data folder: its tables, leases, events and exports."""
