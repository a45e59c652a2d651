from upload_requests import folder_of

from search.uploads import Job, Report


def test_uploads_are_listed_while_the_store_is_in_use(ask, answer, tmp_path, monkeypatch):
    monkeypatch.setenv("CHANDRA_UPLOADS_DIR", str(tmp_path))
    assert answer("jobs", "uploads") == []
    folder = folder_of(tmp_path)
    with folder.draft() as draft:
        draft.commit(Job(id=draft.id, kind="papers", files=("1/a.bib",), owner="secret mark"))
    folder.save(draft.id, Report(state="waiting", refused=3, reason="the engine does not answer"))

    (told,) = answer("jobs", "uploads")
    assert (told["id"], told["kind"], told["refused"]) == (draft.id, "papers", 3)
    assert "secret mark" not in str(told)
    shown = ask("jobs", "uploads").out
    assert draft.id in shown
    assert "the engine does not answer" in shown
