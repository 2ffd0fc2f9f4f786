"""What intake needs of the outside."""
