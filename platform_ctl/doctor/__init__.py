"""What is wrong with this home, and how it is put right."""
