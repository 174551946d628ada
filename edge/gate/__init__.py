"""The gate: does the edge answer a frame alone, or does it escalate? Integers only, the same on every device."""

from edge.gate.gate_file import GateFile, load_gate
from edge.gate.integer import NEVER_ALONE, Decision, GateTable

__all__ = ["NEVER_ALONE", "Decision", "GateFile", "GateTable", "load_gate"]
