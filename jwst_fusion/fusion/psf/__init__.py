"""The optics of an observation: PSFs of its cube and images on the common grid."""
