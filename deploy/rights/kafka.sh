#!/bin/sh
# What each process may do in Kafka, as ACLs. An administrator runs it with Kafka's kafka-acls.sh on
# the PATH, at first and after an upgrade that changes it; it adds, and takes nothing away:
#
#   export KAFKA_ADMIN="--bootstrap-server kafka-1.example.com:9093 --command-config admin.properties"
#   sh deploy/rights/kafka.sh
#
# Read, Write and Create of a topic let a user see it (Describe) too. Brokers before 2.8 want
# IdempotentWrite on the cluster, besides, of whoever writes. Internal topics are given by how their
# names begin: those of a later generation have its number behind. `headrace migrate` is run by an
# administrator: it makes and deletes topics, and adds partitions.
set -euf

# USER OPERATIONS OPTION NAME...: names of one sort, exactly these.
allow() {
  user=$1 operations= option=$3
  for each in $2; do operations="$operations --operation $each"; done
  shift 3
  names=
  for each in "$@"; do names="$names $option $each"; done
  kafka-acls.sh $KAFKA_ADMIN --add --force --allow-principal "User:$user" \
    --resource-pattern-type "$pattern" $operations $names
}
allow_prefixed() { pattern=prefixed; allow "$@"; pattern=literal; }
pattern=literal

events="posts engagements follows users moderations feedback"
streamed="timeline-writes view.posts view.counters view.mine view.relations view.recents
  view.notifications"

# Makes the topics: `headrace stack up`, once for each version.
allow          headrace-prepare  "Create Describe"  --topic  $events exposures
allow_prefixed headrace-prepare  "Create Describe"  --topic  by- view. changelog. timeline-writes dead-letters

# faust -A topology:app worker
allow          headrace-app      "Read"             --topic  $events
allow_prefixed headrace-app      "Read Write"       --topic  by- changelog.
allow_prefixed headrace-app      "Write"            --topic  view. timeline-writes
allow          headrace-app      "Write"            --topic  dead-letters
allow          headrace-app      "Read"             --group  headrace-app
allow          headrace-app      "Describe"         --group  headrace-views standbys
allow_prefixed headrace-app      "Describe"         --group  restore-
allow_prefixed headrace-app      "Write Describe"   --transactional-id  headrace-app-

# faust -A topology:views worker
allow_prefixed headrace-views    "Read"             --topic  view. timeline-writes
allow          headrace-views    "Write"            --topic  dead-letters
allow          headrace-views    "Read"             --group  headrace-views

# faust -A topology:archive worker
allow_prefixed headrace-archive  "Read"             --topic  view. timeline-writes
allow          headrace-archive  "Write"            --topic  dead-letters
allow          headrace-archive  "Read"             --group  headrace-archive

# headrace api
allow          headrace-api      "Write"            --topic  $events exposures
allow_prefixed headrace-api      "Read"             --topic  $streamed
allow          headrace-api      "Describe"         --group  headrace-live

# headrace deliver
allow_prefixed headrace-deliver  "Read"             --topic  view.notifications
allow          headrace-deliver  "Read"             --group  headrace-deliver

# Producers; one that publishes by its own client needs only the topics that it writes.
allow          headrace-producer "Write"            --topic  $events

# headrace dead-letters, erase, experiment, rebuild, source, train, and publishing on behalf of users
allow          headrace-operator "Read Write"       --topic  $events
allow          headrace-operator "Read"             --topic  exposures
allow_prefixed headrace-operator "Read"             --topic  timeline-writes
allow_prefixed headrace-operator "Describe"         --topic  view.
allow_prefixed headrace-operator "Write"            --topic  by-
allow_prefixed headrace-operator "Read Write"       --topic  dead-letters
allow_prefixed headrace-operator "Describe"         --group  headrace-
allow_prefixed headrace-operator "Write Describe"   --transactional-id  headrace-dead-letters-
