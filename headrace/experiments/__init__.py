"""What experiments upon the ranked feed have shown."""
