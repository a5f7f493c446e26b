"""The objective: from images and options to a function of the canvas, evaluated in tiles, with its gradient."""
