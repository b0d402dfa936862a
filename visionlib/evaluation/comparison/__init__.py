"""Paired comparison of runs on the same test images."""
