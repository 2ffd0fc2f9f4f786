"""Mode A: a shared Hub per region and cell, and one slice of it per tenant."""
