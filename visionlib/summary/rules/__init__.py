"""Receptive-field rules, one per ATen operation: from the fields of its arguments to those of its outputs."""
