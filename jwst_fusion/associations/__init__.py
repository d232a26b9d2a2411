"""Associations of a cube with images, and the rule that describes them."""

import lazy_loader

# The rule file is given to jwst's own tools by its path, which must not need all the rest.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "members": [
            "FusionMembers",
            "collect_members",
            "make_association",
            "split_science",
            "write_association",
        ],
    },
)
