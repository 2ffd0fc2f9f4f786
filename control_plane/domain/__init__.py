"""The model and its rules: plain Python, no input or output."""
