"""Found by a Python that has this folder on its path: gives a test's gateway the faults that its environment names."""

from gateway.testing.faults import install_from_environment

install_from_environment()
