"""The commands of ``jwst-fusion``, one module each."""
