"""The checks of each lab, and what they are held to."""
