"""Fusion of one scene on the sky with the native pixels of IFU exposures, without a cube."""
