"""Associations of a cube with images, and the rule that describes them."""

__all__ = [
    "FusionMembers",
    "collect_members",
    "make_association",
    "split_science",
    "write_association",
]


def __getattr__(name):
    # The rule file is given to jwst's own tools by its path, which must not need all the rest.
    if name in __all__:
        from jwst_fusion.associations import members

        return getattr(members, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
