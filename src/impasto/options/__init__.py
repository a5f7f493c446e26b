"""What a person can choose: the settings with their defaults, how they are checked, and the recipes. No torch."""
