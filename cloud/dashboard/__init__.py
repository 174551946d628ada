"""Dashboards that read the state topics of all lines."""
