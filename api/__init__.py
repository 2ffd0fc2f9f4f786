"""The HTTP API: parses, calls one service, shapes the answer."""
