"""Parts of a Hub that more than one mode is made of."""
