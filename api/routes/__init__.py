"""The routes: parse, call one service, shape, return."""
