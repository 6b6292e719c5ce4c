"""The execution: the OpenAI-compatible service around the decision."""
