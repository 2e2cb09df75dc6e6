"""What a base codec missed: residuals that bring every point within its bound."""
