"""Limits on what escalation may cost, and the governor that spends them where they reduce risk most."""

from edge.budget.governor import Cost, Governor, Limits

__all__ = ["Cost", "Governor", "Limits"]
