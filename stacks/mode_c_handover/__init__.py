"""What goes along with the bundle of a tenant whose data is handed over. Runs at the customer."""
