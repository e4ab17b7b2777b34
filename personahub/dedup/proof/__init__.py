"""What is proven of a result, by other roads than it came: the audit of every claim, and recall measured on an exact sample."""
