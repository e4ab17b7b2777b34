from collections import Counter
from urllib.parse import urlsplit

from personahub.config import Documents
from personahub.demo import corpus


def test_forty_different_texts_of_60_to_180_words_on_hosts_that_belong_to_nobody():
    pages = corpus.texts()
    assert len(pages) == 40 == len({page["text"] for page in pages}) == len({page["url"] for page in pages})
    for page in pages:
        assert page.keys() == {"url", "title", "text"}
        assert 60 <= len(page["text"].split()) <= 180, page["title"]
        assert urlsplit(page["url"]).hostname.endswith((".example.org", ".example.com"))


def test_the_tree_is_the_same_bytes_each_time(tmp_path):
    def contents(folder):
        return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}

    first, second = contents(corpus.lay_out(tmp_path / "a")), contents(corpus.lay_out(tmp_path / "b"))
    assert first == second
    assert len(first) == 4 + 4 + 1


def test_the_front_door_reads_forty_documents_and_three_rejects(tmp_path):
    from personahub.documents import redpajama_v2
    from personahub.documents.files import Place

    settings = Documents(path=str(corpus.lay_out(tmp_path)))
    place = Place(settings.path)
    files = redpajama_v2.choose(settings)
    rows = [row for index, file in enumerate(files) for row in redpajama_v2.read_file(place, file, index, settings)]
    assert Counter(row.reason for row in rows) == {None: 40, "bad_json": 1, "duplicate": 1, "too_short": 1}
    documents = [row for row in rows if row.reason is None]
    assert {row.text for row in documents} == {page["text"] for page in corpus.texts()}
    assert all(row.quality["rps_doc_word_count"] == len(row.text.split()) for row in documents)
    assert documents[0].document_id == "2023-06/0000/en_head.json.gz/0"
