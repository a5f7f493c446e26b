"""VGG with named layers, its convolutions, and where its weights come from."""
