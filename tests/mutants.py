"""Deliberate defects: for each, the tests and the fault run named with it must fail.

A mutant is one edit of a copy of the tree; `tests.mutate` makes it and runs what must notice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """An edit that breaks a promise, the quick tests that must notice, and the fault after which
    the running pipeline must be seen to be wrong: a case of `tests/fault/alone.py`, "" if there is
    none (docs/reliability.md says why)."""

    name: str
    defect: str
    file: str
    search: str
    replacement: str
    tests: str
    fault: str = ""


MUTANTS = (
    Mutant(
        "ack-before-sink",
        "a sink says that a batch is done before its store has confirmed it",
        "streams/engine/sink.py",
        "await self._persist(partition, self._write, partition, part, position)",
        "loop.create_task(self._persist(partition, self._write, partition, part, position))",
        "tests/unit/test_sink.py",
        "redis-kill",
    ),
    Mutant(
        "no-fence",
        "every process has a transactional id of its own, so that no former owner is fenced",
        "streams/engine/checkpoint.py",
        'f"{app}-{topic}-{partition}"',
        "f\"{app}-{topic}-{partition}-{id(app)}-{__import__('uuid').uuid4()}\"",
        "tests/integration/test_exactly_once.py",
        "zombie-app-with-engagements",
    ),
    Mutant(
        "no-redis-fence",
        "a sink writes whatever its mark in Redis says",
        "connectors/redis_fence.py",
        "        if self._transaction.watch(self._key) != self._left:",
        "        if not self._transaction.watch(self._key) and not self._left:",
        "tests/integration/test_redis_fence.py",
    ),
    Mutant(
        "redis-position-apart",
        "what a batch wrote in Redis and its position are not one transaction",
        "connectors/redis_fence.py",
        '            fenced.add("SET", key, after)\n'
        "            try:\n                fenced.send()\n",
        "            try:\n                fenced.send()\n"
        "                self._client.set(key, after)\n",
        "tests/unit/test_views_sink.py tests/integration/test_redis_fence.py",
    ),
    Mutant(
        "redis-slot-not-followed",
        "a sink asks the server that had a slot of the cluster, though it has moved",
        "connectors/redis_servers.py",
        "        servers.move_slot(error)\n",
        "",
        "tests/integration/test_redis_cluster.py",
    ),
    Mutant(
        "redis-move-taken-for-loss",
        "a mark that goes to another server of the cluster is taken for another writer's",
        "connectors/redis_fence.py",
        "            self._transaction.watch(self._key)  # raises",
        "            pass  # raises",
        "tests/integration/test_redis_cluster.py",
    ),
    Mutant(
        "redis-position-first",
        "the position in Redis is written with the first round trip of a batch",
        "connectors/redis_fence.py",
        '            yield fenced\n            fenced.add("SET", key, after)\n',
        '            fenced.add("SET", key, after)\n'
        "            fenced._left = fenced._within = after\n"
        "            yield fenced\n",
        "tests/integration/test_redis_fence.py",
        "kill-views-mid-sink",
    ),
    Mutant(
        "changelog-apart",
        "outputs and changelog are two transactions",
        "streams/engine/checkpoint.py",
        "    for key, value in state.changes():",
        "    producer.commit_transaction(COMMIT_TIMEOUT_S)\n"
        "    producer.begin_transaction()\n"
        "    for key, value in state.changes():",
        "tests/unit/test_stage.py",
        "kill-app-after-changelog-of-engagements",
    ),
    Mutant(
        "position-too-far",
        "the position of a checkpoint skips a record",
        "streams/engine/state.py",
        'position.to_bytes(8, "big")',
        '(position + 1).to_bytes(8, "big")',
        "tests/unit/test_stage.py",
        "state-deleted",
    ),
    Mutant(
        "position-too-near",
        "the position of a checkpoint repeats a record",
        "streams/engine/state.py",
        'position.to_bytes(8, "big")',
        '(position - 1).to_bytes(8, "big")',
        "tests/unit/test_stage.py",
        "state-deleted",
    ),
    Mutant(
        "record-repeated",
        "the record before the position is folded again",
        "streams/engine/stage.py",
        "if record.offset >= position]",
        "if record.offset >= position - 1]",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "restore-without-tail",
        "the last rows of a changelog are not restored",
        "streams/engine/restore.py",
        "{m.key(): m.value() for m in messages}",
        "{m.key(): m.value() for m in messages[:-3]}",
        "tests/integration/test_exactly_once.py",
        "state-deleted",
    ),
    Mutant(
        "restore-ends-early",
        "a restore ends where a new leader of the changelog shows an end too early",
        "streams/engine/restore.py",
        "            if error.code() != KafkaError._PARTITION_EOF or offset >= end:\n"
        "                return _is_at_end(error, state, began, progress)\n",
        "            return _is_at_end(error, state, began, progress)\n",
        "tests/unit/test_restore.py",
    ),
    Mutant(
        "tail-too-short",
        "rows on disk say that they hold the beginning of the next transaction",
        "streams/engine/checkpoint.py",
        "last[0].offset() + 1",
        "last[0].offset() + 3",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "restore-makes-young",
        "a restore that was interrupted makes rows younger than their deletions",
        "streams/engine/restore.py",
        "at = began if stood is None else stood.at",
        "at = began",
        "tests/integration/test_restore.py",
    ),
    Mutant(
        "endless-log",
        "a log that RocksDB would read for ever is opened",
        "connectors/rocksdb_logs.py",
        "        if kind > _PLAIN_TYPES or",
        "        if",
        "tests/unit/test_rocksdb_logs.py",
    ),
    Mutant(
        "databases-at-once",
        "databases are opened beside each other, so that the event loop does not run",
        "connectors/rocksdb.py",
        "            with _opening:",
        "            with contextlib.nullcontext():",
        "tests/integration/test_disk_rows.py",
    ),
    Mutant(
        "damage-ends-scan",
        "a scan of rows on disk ends at damage as if there were no more",
        "connectors/rocksdb.py",
        "            found.status()\n",
        "",
        "tests/integration/test_disk_rows.py",
    ),
    Mutant(
        "damage-in-dead-letters",
        "rows that cannot be read make a dead letter of a good record",
        "streams/engine/stage.py",
        "            except LocalStateError:\n                raise\n",
        "",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "restore-uncommitted",
        "a restore reads what was never committed",
        "streams/engine/restore.py",
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        "tests/integration/test_exactly_once.py",
        "kill-app-before-commit-of-engagements",
    ),
    Mutant(
        "read-uncommitted",
        "workers read what was never committed",
        "connectors/consumer_thread.py",
        'isolation_level="read_committed"',
        'isolation_level="read_uncommitted"',
        "tests/integration/test_exactly_once.py",
        "kill-app-before-commit-of-by-post",
    ),
    Mutant(
        "standby-ahead",
        "a standby says that it holds a record more than it has applied",
        "streams/engine/standby.py",
        "            reached = records[-1].offset() + 1\n",
        "            reached = records[-1].offset() + 2\n",
        "tests/unit/test_standby.py",
    ),
    Mutant(
        "standby-uncommitted",
        "a standby applies what was never committed",
        "streams/engine/standby.py",
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        "tests/integration/test_exactly_once.py",
    ),
    Mutant(
        "standby-gap",
        "a standby applies what was read before it was given up and followed again",
        "streams/engine/standby.py",
        "            if self._is_stale:\n                return\n",
        "",
        "tests/unit/test_standby.py",
    ),
    Mutant(
        "standby-makes-young",
        "a standby that stood still for too long is taken for fresh at the changelog's end",
        "streams/engine/standby.py",
        "        if why is not None:\n            raise _LostError(why)\n",
        "        assert why or True\n",
        "tests/unit/test_standby.py",
    ),
    Mutant(
        "standby-reloads",
        "who loses a partition and becomes its standby begins without its rows",
        "streams/engine/stage.py",
        "            None if owned is None else owned.replica,\n",
        "            None,\n",
        "tests/unit/test_standby.py",
    ),
    Mutant(
        "standby-passed-over",
        "a partition whose owner is gone goes to anybody, not to its standby",
        "connectors/deal.py",
        "            _give(tp, followers[tp], room, owners)\n",
        "            _give(tp, [], room, owners)\n",
        "tests/unit/test_assignor.py tests/property/test_assignor.py",
    ),
    Mutant(
        "owner-not-kept",
        "a partition moves though its owner is there and has room",
        "connectors/deal.py",
        '            _give(tp, [former.get(tp, "")], room, owners)\n',
        "            _give(tp, [], room, owners)\n",
        "tests/property/test_assignor.py",
    ),
    Mutant(
        "state-before-commit",
        "changes become the state before the transaction is committed",
        "streams/engine/checkpoint.py",
        '    reach("before-commit", place, in_flight)\n',
        "    state.commit(position, state.snapshot.changelog_offset if state.snapshot else 0)\n"
        '    reach("before-commit", place, in_flight)\n',
        "tests/unit/test_stage.py",
        "kill-app-before-commit-of-engagements",
    ),
    Mutant(
        "unknown-commit-taken",
        "a commit that failed is taken for one that did not",
        "streams/engine/checkpoint.py",
        "            if attempt == 2 or not error.args[0].retriable():\n                raise",
        "            if attempt == 2 or not error.args[0].retriable():\n                return",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "letter-not-sent",
        "a record that is refused goes nowhere",
        "streams/engine/stage.py",
        "                owned.outbox.add(letter)",
        "                pass",
        "tests/unit/test_stage.py",
        "poison",
    ),
    Mutant(
        "rest-of-batch-dropped",
        "what is behind a cut of a batch is dropped",
        "streams/engine/stage.py",
        "            start = stop\n",
        "            start = len(records)\n",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "changes-of-failed-record-kept",
        "what a record changed before its fold failed stays",
        "streams/engine/stage.py",
        "                owned.state.rollback()",
        "                pass",
        "tests/unit/test_stage.py",
    ),
    Mutant(
        "equal-outputs-once",
        "of two equal events in a batch only one is passed on",
        "streams/engine/outbox.py",
        "        self._outputs.append(Output(topic, partition, entity.encode(), value, headers))",
        "        if all(value != output.value for output in self._outputs):\n    "
        "        self._outputs.append(Output(topic, partition, entity.encode(), value, headers))",
        "tests/unit/test_stage.py",
        "poison",
    ),
    Mutant(
        "group-offsets-read",
        "a partition is read from where the group's offsets stand",
        "connectors/transport.py",
        "            await self._thread.seek_wait({tp: position})",
        "            pass",
        "tests/unit/test_transport.py",
    ),
    Mutant(
        "two-batches-in-flight",
        "the next batch of a partition does not wait for the one in flight",
        "connectors/slots.py",
        "        if self.in_flight:\n            return None\n",
        "",
        "tests/unit/test_transport.py",
    ),
    Mutant(
        "rebalance-does-not-wait",
        "a rebalance takes a partition away while a batch is in flight",
        "connectors/transport.py",
        "            await self._landed.wait()",
        "            return",
        "tests/unit/test_transport.py",
    ),
    Mutant(
        "fetch-outlives-rebalance",
        "a fetch that was under way takes records that the next seek would have brought",
        "connectors/consumer_thread.py",
        "        if generation != self.consumer.generation:\n            return {}\n",
        "",
        "tests/unit/test_consumer_thread.py",
    ),
    Mutant(
        "gap-not-seen",
        "a partition is read on whatever was dropped since the last fetch",
        "connectors/transport.py",
        "            if position is not None and position != end:",
        "            if position is not None and position < 0:",
        "tests/unit/test_transport.py",
    ),
    Mutant(
        "push-to-late-followers",
        "fan-out that was put off reaches who followed after it, whose backfill decides",
        "streams/fan_out.py",
        "if follower.is_following and follower.since < place and",
        "if follower.is_following and",
        "tests/unit/test_fan_out.py",
    ),
    Mutant(
        "push-to-who-left",
        "fan-out that was put off reaches who has left since",
        "streams/fan_out.py",
        "if follower.is_following and follower.since < place and",
        "if follower.since < place and",
        "tests/property/test_fan_out.py",
    ),
    Mutant(
        "fan-out-overtakes",
        "what a source does next is fanned out at once, while earlier work of it waits",
        "streams/fan_out.py",
        "if queue is None and size <= room:",
        "if size <= room:",
        "tests/unit/test_fan_out.py",
    ),
    Mutant(
        "fan-out-page-lost",
        "a pass over the followers ends with its second page",
        "streams/fan_out.py",
        "        if len(page) == size:",
        "        if len(page) == size and not queue.done:",
        "tests/unit/test_fan_out.py",
    ),
    Mutant(
        "fan-out-is-no-lag",
        "work that waits is not lag, so that a view that lacks it is taken for whole",
        "connectors/transport.py",
        "                reached = max(0, slot.position - 1)",
        "                reached = slot.position",
        "tests/unit/test_transport.py",
    ),
    Mutant(
        "heavy-crossing-pushes-nothing",
        "a source that becomes light again does not push what it holds",
        "streams/sources.py",
        "                self._fan_out.spread(source, _push(key, held), place, now.followers)",
        "                pass",
        "tests/unit/test_fan_out.py",
    ),
    Mutant(
        "backfill-while-heavy",
        "who follows a heavy source is given what it holds, though that is pulled",
        "streams/sources.py",
        "            if not now.is_heavy:\n                self._backfill",
        "            if True:\n                self._backfill",
        "tests/unit/test_source_fold.py",
    ),
    Mutant(
        "feed-there-too-early",
        "a feed that is opened is there before all of its sources have answered",
        "streams/feeds.py",
        "        is_last = 0 if feed.missing else 1\n",
        "        is_last = 1\n",
        "tests/unit/test_views_sink.py",
    ),
    Mutant(
        "floor-forgotten",
        "a source answers as if it held all that it ever spread",
        "streams/sources.py",
        "fact.epoch, self._floor(fact.source), entries)",
        "fact.epoch, 0, entries)",
        "tests/unit/test_readers.py",
    ),
    Mutant(
        "any-answer-counts",
        "answers to an opening that was given up are counted",
        "streams/feeds.py",
        "feed.missing and feed.epoch == epoch:",
        "feed.missing:",
        "tests/unit/test_views_sink.py",
    ),
    Mutant(
        "late-after-erasure-stays",
        "what comes to the log of a user who is erased is not answered",
        "streams/erasure.py",
        "                self._outbox.tell(Topic.BY_POST, post_id, Erased(",
        "                (Topic.BY_POST, post_id, Erased(",
        "tests/unit/test_erasure.py",
    ),
    Mutant(
        "followers-of-the-erased-not-told",
        "who follows a source after it was erased is not told that it is",
        "streams/sources.py",
        "            case RelationFact(source, user_id):\n                self._tell_erasure",
        "            case FollowerErased(source, user_id):\n                self._tell_erasure",
        "tests/unit/test_erasure.py",
    ),
    Mutant(
        "old-rows-win",
        "a row in Cassandra bears no order, so that a late write wins",
        "streams/archive_sink.py",
        "    return GENERATION * 2**50 + offset * 2**14 + index",
        "    return GENERATION * 2**50 + index",
        "tests/unit/test_archive_sink.py",
    ),
    Mutant(
        "cassandra-position-back",
        "a writer that was taken over sets the position in Cassandra back",
        "streams/archive_sink.py",
        "    return GENERATION * 2**52 + position",
        "    return int(time.time() * 1e6)",
        "tests/integration/test_archive.py",
    ),
    Mutant(
        "cassandra-position-first",
        "the position in Cassandra is written before the rows",
        "streams/archive_sink.py",
        "        if topic == Topic.TIMELINE_WRITES:\n            self._timelines(writes)\n"
        "        else:\n            self._views(topic, writes)\n"
        '        reach("mid-sink", f"{topic}/{partition}", len(writes))\n',
        "        self._left[topic, partition].add(position)\n"
        "        self._session.execute(self._prepare(_MOVE), (topic.value, partition, "
        "self._log_id, position, timestamp_of_position(position)))\n"
        '        reach("mid-sink", f"{topic}/{partition}", len(writes))\n'
        "        if topic == Topic.TIMELINE_WRITES:\n            self._timelines(writes)\n"
        "        else:\n            self._views(topic, writes)\n",
        "tests/unit/test_archive_sink.py",
        "kill-archive-mid-sink",
    ),
)
