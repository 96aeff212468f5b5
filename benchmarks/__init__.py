"""Measurements that anybody can run: `python -m benchmarks.inbox`, `… .fanout`, `… .libraries`."""
