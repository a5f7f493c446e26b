"""From images and options to one function of the canvas: its tiles, its terms, its values and gradient."""
