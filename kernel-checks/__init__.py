"""Checks of the kernel and the platform, one a module, with the standard library alone.

Runs before anything is installed (``python3 kernel-checks`` in a checkout), so it imports
neither the rest of enforcer nor any third party, and can say why importing those would fail.
"""
