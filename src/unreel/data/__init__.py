"""Folder of videos to batches of clips on the CPU."""
