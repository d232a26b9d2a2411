"""Errors that all engines share."""

__all__ = ["NotFusableError"]


class NotFusableError(Exception):
    """Sound data that cannot be fused; the message names them, what is wrong and what to do."""
