"""A deterministic planner behind an OpenAI-compatible endpoint."""
