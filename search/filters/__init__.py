"""What restricts a search: fields, the where language, cones."""
