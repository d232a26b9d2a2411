"""Responses of instruments as matrices with exact adjoints."""
