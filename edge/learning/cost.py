"""What a network costs on the chip, by the compiler's cycle model: no build, no emulation, half a second."""

from __future__ import annotations

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.placement import fitting, place
from firmware_sim.compiler.prediction import layers_by_operator, predict

CLOCK_MHZ = 125


def predicted_cycles(graph: Graph, cores: int = 1) -> int:
    """Cycles of one inference. Raises BadInputError for a network that does not fit the chip."""
    graph = fitting(simplified(graph), cores=cores)
    placed = place(graph, "the network", cores=cores)
    return sum(predict(graph, placed, layers_by_operator(graph, placed)))


def predicted_ms(graph: Graph, cores: int = 1) -> float:
    """Milliseconds of one inference at CLOCK_MHZ."""
    return predicted_cycles(graph, cores) / (1e3 * CLOCK_MHZ)
