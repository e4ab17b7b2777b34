"""What a later batch of personas is compared with."""

from pyspark.sql import types as T

from personahub.schemas.columns import INT, LONG, STRING, table

# what a later batch is compared with: the personas that the lexical methods kept, many in a row, their figures one after the other
LEXICAL_INDEX = table(
    scheme=STRING,  # all that two keys must share to be comparable: tokens, method, threshold, ..., and whose vectors were compared
    persona_ids=T.ArrayType(STRING),
    counts=T.BinaryType(),  # of each, how many keys: int32
    keys=T.BinaryType(),  # by which they meet others, 8 bytes each
    sizes=T.BinaryType(),  # of each, how many tokens: int32
    tokens=T.BinaryType(),  # the sorted 64-bit token hashes, 8 bytes each
)

# where vectors meet, so that a later batch need not train anew
VECTOR_CENTROIDS = table(
    scheme=STRING,  # all that two sets of clusters must share to be the same: model, clusters, seed, ...
    cluster=INT,
    vector=T.ArrayType(T.FloatType()),
    trained_on=LONG,  # vectors that were there when they were trained; of several sets the one with most holds
)

# the vectors of the personas that the vectors kept, by cluster: what a later batch is compared with. Made from `embeddings`, and made again
# when the clusters are trained anew
VECTOR_INDEX = table(
    clusters=STRING,  # names the centroids
    cluster=INT,
    ids=T.ArrayType(STRING),
    vectors=T.BinaryType(),  # one after the other, in the order of the ids; float32, each times a power of two
)
