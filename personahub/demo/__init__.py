"""What `personahub demo` runs on: forty short texts of our own, laid out on the fly as the corpus they stand in for."""
