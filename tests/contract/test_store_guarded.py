"""Writes that say what they expect: nothing of another writer is erased, on any engine."""

import pytest
from qdrant_rest.examples import SCHEMA, point

from common.errors import InputError
from search.store.revisions import REVISION, revisions_of


def read(store, name, *ids):
    """Points as they are now, and their revisions."""
    found = store.read(name, [*ids])
    return found, revisions_of(found.values())


def payloads(store, name):
    return {record.id: record.payload for record in store.scroll(name)[0]}


def test_a_point_that_is_as_it_was_read_is_replaced_whole(store, collection):
    store.upsert(collection, [point(1, {"obsid": 1, "note": "a"}, own=[1, 0, 0])])
    _, revisions = read(store, collection, 1)
    written = store.write(collection, [point(1, {"obsid": 2}, wide=[1, 0, 0, 0, 0, 0])], revisions)
    assert not written.lost
    (record,) = store.retrieve(collection, [1], with_vectors=True)
    assert record.payload == {"obsid": 2}
    assert record.vector.keys() == {"wide"}


@pytest.mark.parametrize(
    "change",
    [
        lambda store, name: store.upsert(name, [point(1, {"obsid": 7})]),
        lambda store, name: store.set_payload(name, {1: {"obsid": 7}}),
        lambda store, name: store.write(name, [point(1, {"obsid": 7})], read(store, name, 1)[1]),
        lambda store, name: store.write_payload(name, {1: {"obsid": 7}}, read(store, name, 1)[1]),
    ],
    ids=["upsert", "set_payload", "write", "write_payload"],
)
@pytest.mark.parametrize("guarded", ["write", "write_payload"])
def test_a_point_that_another_has_changed_is_left_alone_and_named(
    store, collection, change, guarded
):
    store.upsert(collection, [point(1, {"obsid": 1}), point(2, {"obsid": 2})])
    _, revisions = read(store, collection, 1, 2)
    change(store, collection)
    if guarded == "write":
        points = [point(1, {"obsid": 10}), point(2, {"obsid": 20})]
        written = store.write(collection, points, revisions)
    else:
        written = store.write_payload(collection, {1: {"obsid": 10}, 2: {"obsid": 20}}, revisions)
    assert written.lost == {"1"}
    assert payloads(store, collection) == {1: {"obsid": 7}, 2: {"obsid": 20}}


def test_a_point_that_was_not_there_is_inserted_unless_it_is_there_by_now(store, collection):
    _, revisions = read(store, collection, 1, 2)
    store.upsert(collection, [point(1, {"obsid": 7})])
    written = store.write(collection, [point(1, {"obsid": 10}), point(2)], revisions)
    assert written.lost == {"1"}
    assert payloads(store, collection) == {1: {"obsid": 7}, 2: {}}


def test_a_point_that_is_gone_does_not_come_back(store, collection):
    store.upsert(collection, [point(1), point(2)])
    _, revisions = read(store, collection, 1, 2)
    store.delete_points(collection, [1, 2])
    assert store.write(collection, [point(1)], revisions).lost == {"1"}
    assert store.write_payload(collection, {2: {"obsid": 1}}, revisions).lost == {"2"}
    assert payloads(store, collection) == {}


def test_payload_of_a_point_that_was_never_there_is_lost(store, collection):
    assert store.write_payload(collection, {5: {"obsid": 1}}, {}).lost == {"5"}


def test_who_has_written_can_write_again_without_reading(store, collection):
    written = store.write(collection, [point(1, {"obsid": 1})], {})
    again = store.write_payload(collection, {1: {"obsid": 2}}, written.revisions)
    assert not again.lost
    assert store.write_payload(collection, {1: {"obsid": 3}}, written.revisions).lost == {"1"}
    assert payloads(store, collection) == {1: {"obsid": 2}}


def test_many_points_are_guarded_each_by_its_own_revision(store, collection):
    store.upsert(collection, [point(i, {"obsid": i}, own=[1, i, 0]) for i in range(300)])
    _, revisions = read(store, collection, *range(300))
    store.set_payload(collection, {i: {"note": "b"} for i in range(0, 300, 3)})
    points = [point(i, {"obsid": -i}, own=[1, i, 1]) for i in range(320)]
    written = store.write(collection, points, revisions)
    assert written.lost == {str(i) for i in range(0, 300, 3)}
    assert store.count(collection) == 320


def test_revisions_are_no_part_of_an_answer_unless_asked_for(store, collection):
    store.upsert(collection, [point(1, {"obsid": 1}, own=[1, 0, 0])])
    assert store.retrieve(collection, [1])[0].payload == {"obsid": 1}
    assert store.scroll(collection)[0][0].payload == {"obsid": 1}
    assert store.query(collection, [1, 0, 0], "own")[0].payload == {"obsid": 1}
    held = store.read(collection, [1])["1"]
    assert (held.payload, held.revision is not None) == ({"obsid": 1}, True)
    asked = store.retrieve(collection, [1], [REVISION])[0].payload
    assert asked == {REVISION: held.revision}


def test_vectors_come_with_what_is_read_if_asked_for(store, collection):
    store.upsert(collection, [point(1, {}, own=[1, 0, 0])])
    assert store.read(collection, [1])["1"].vectors == {}
    assert store.read(collection, [1], True)["1"].vectors == {"own": [1, 0, 0]}
    assert store.read(collection, [9]) == {}


def test_what_cannot_be_stored_is_refused_before_anything_is_written(store, collection):
    store.upsert(collection, [point(1)])
    _, revisions = read(store, collection, 1)
    bad = point(2, {}, own=[1.0, float("nan"), 0.0])
    with pytest.raises(InputError, match="not finite"):
        store.write(collection, [point(1, {"obsid": 1}), bad], revisions)
    with pytest.raises(InputError, match="not JSON"):
        store.write_payload(collection, {1: {"obsid": {1}}}, revisions)
    assert payloads(store, collection) == {1: {}}


def test_other_names_and_indexes_are_as_before(store, collection):
    store.create_collection(collection, SCHEMA)
    assert store.index_state(collection).points == 0
