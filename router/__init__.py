"""The decision: which model, which strategy, how much compute. Read `router/allocator.py` first."""
