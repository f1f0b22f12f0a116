"""Image data sets as classes with their images: reading, caching and splitting them."""
