"""Measurements that anybody can run: `python -m benchmarks.inbox`, `python -m benchmarks.fanout`."""
