"""Where tables lie: Delta tables and scratch under a root, the lease that keeps two runs apart, and the opened hub."""
