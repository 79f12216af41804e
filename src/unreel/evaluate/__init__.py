"""Turn features into published numbers."""
