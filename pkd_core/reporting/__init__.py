"""What results look like: grouped over seeds, as a page, as a picture, and as a table for the terminal."""
