from personahub.dedup import kernels
from personahub.dedup.kernels import jaccard


def test_what_is_kept_on_disk_goes_with_all_files_of_the_kernels():
    cache = jaccard.overlap._cache._cache_file
    assert {"jaccard.py", "prefix_filter.py", "tokenize.py"} <= {name for name, _ in kernels._STAMP}
    assert cache._source_stamp == kernels._STAMP
    jaccard.min_overlaps(7, 0.5)
    assert cache._load_index() is not None
    cache._source_stamp = (("jaccard.py", 0),)
    try:
        assert cache._load_index() == {}  # another stamp: nothing of it is used
    finally:
        cache._source_stamp = kernels._STAMP
