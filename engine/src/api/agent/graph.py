"""Build the graph `entry -> model -> gate -> final`; each node returns the next route."""

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from src.api.agent.context import RunContext
from src.api.agent.nodes import Nodes, State

__all__ = ["Graph", "build_graph", "steps"]

Graph = CompiledStateGraph[State, RunContext, State, State]


def build_graph(checkpointer: "BaseCheckpointSaver[Any] | None") -> Graph:
    """Compile the graph, once per process.

    The checkpointer stores ids and routes for inspection only; recovery reads rows.
    """
    nodes = Nodes()
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("entry", nodes.entry)
    graph.add_node("model", nodes.model)
    graph.add_node("gate", nodes.gate)
    graph.add_node("final", nodes.final)
    graph.add_edge(START, "entry")
    for name in ("entry", "model", "gate"):
        graph.add_conditional_edges(name, _route, {"model": "model", "gate": "gate", "final": "final", "rest": "final"})
    graph.add_edge("final", END)
    return graph.compile(checkpointer=checkpointer)


def steps(max_turns: int) -> int:
    """Return the most graph steps that a run may need, so that LangGraph's recursion limit never ends one."""
    return 2 * max_turns + 10


async def _route(state: State) -> str:
    """Return the next node. A coroutine: LangGraph runs a plain function in a thread."""
    return state["route"]
