"""A store whose process dies: from its n-th write on, every call ends as kill -9 ends it."""

WRITES = {
    *("upsert", "set_payload", "write", "write_payload"),
    *("delete_points", "delete_payload", "create_collection"),
}


class Killed(BaseException):
    """Nothing catches this."""


class DyingStore:
    """Another store until its n-th write, of which it does the first half if it has two."""

    def __init__(self, store, writes_left):
        self._store = store
        self._left = writes_left

    def __getattr__(self, name):
        found = getattr(self._store, name)
        return self._until_killed(name, found) if callable(found) else found

    def _until_killed(self, name, call):
        def watched(*arguments, **options):
            if self._left < 0:
                raise Killed
            if name in WRITES:
                self._left -= 1
                if self._left < 0:
                    self._half(call, *arguments)
                    raise Killed
            return call(*arguments, **options)

        return watched

    def _half(self, call, collection, content, *rest):
        if isinstance(content, dict):
            content = dict([*content.items()][: len(content) // 2])
        elif isinstance(content, list):
            content = content[: len(content) // 2]
        else:
            return
        if content:
            call(collection, content, *rest)
