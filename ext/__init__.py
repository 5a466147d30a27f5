"""Compiled: what touches every byte or every tick."""
