"""Pictures of what the steps did."""
