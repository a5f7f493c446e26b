"""The arithmetic that losses share: their protocol, tile windows, samples, moments and nearest neighbors."""
