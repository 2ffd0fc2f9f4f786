"""Pages for customers, rendered here: plain HTML that works without JavaScript."""
