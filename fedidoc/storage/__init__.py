"""Storage: tables, and plain async functions with their SQL beside them. Keeps no state."""
