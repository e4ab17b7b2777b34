"""Who is kept: near-duplicates by exact Jaccard, MinHash and cosine, removed only where a kept neighbour represents them."""
