"""What is painted where: region specs, masks, faces, colors, and the view that the losses have of the canvas."""
