"""What happens in which order: provision a deployment, build a bundle."""
