"""What a run will take: the sizes it goes through, the memory and the time. No torch."""
