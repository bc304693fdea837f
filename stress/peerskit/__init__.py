"""Holdfast's sessions to real targets, measured while their connections are cut."""
