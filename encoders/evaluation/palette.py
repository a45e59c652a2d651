"""The colours of the figures: one ink, and hues that nearly everyone can tell apart."""

INK = "#1c1d21"
"""Text and lines; a page that shows a figure inline may put its own colour in its place."""
MUTED = "#8a8d94"
BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, YELLOW = COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442"
)  # fmt: skip
"""Okabe and Ito's."""
