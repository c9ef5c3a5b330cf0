"""Shapes: frames and slots, matrices and positions, alignment, motifs and fingerprints."""
