#!/bin/sh
# What each process may do in Redis or Valkey, as ACL users without a password yet. An administrator
# runs it for each server (of a cluster too: rights are not passed on), at first and after an upgrade
# that changes it; passwords stay as they are:
#
#   export REDIS_ADMIN="valkey-cli --tls --cacert ca.pem -h redis.example.com --user admin --askpass"
#   sh deploy/rights/redis.sh
#
# It needs Redis 7 or Valkey: earlier ones know no %R~ (keys that are read); write ~ there. `ACL SAVE`
# keeps it where the server has an aclfile.
set -euf

user() {
  name=$1
  shift
  $REDIS_ADMIN ACL SETUSER "$name" on resetkeys resetchannels -@all "$@"
}

# What every client asks of a server, and of a cluster.
client="+hello +ping +client|setinfo +cluster|slots +command"

# What the sink of views writes, and what the API keeps for itself.
views= read_views=
for kind in affinity aversions awaiting best_comments blocks counters devices favourites feed floor \
  following heavy hidden interests kinds mutes name notices notifications pos post reacted recent \
  seen shared source trending user; do
  views="$views ~$kind:*" read_views="$read_views %R~$kind:*"
done
ranked= read_ranked=
for kind in viewed viewed_before rankings ranked; do
  ranked="$ranked ~$kind:*" read_ranked="$read_ranked %R~$kind:*"
done

reads="+exists +get +hget +hmget +mget +smembers +smismember +zcard +zmscore +zrange +zrevrange
  +zrevrangebyscore +srandmember +client|id +client|tracking +client|caching +subscribe"

# faust -A topology:views worker
user headrace-views $client $views $ranked '~opened:*' '~told:*' \
  +watch +multi +exec +evalsha '+script|load' +get +set +del +hdel +hgetall +hset +sadd +srem \
  +zadd +zcard +zrange +zrem +zremrangebyrank

# headrace api
user headrace-api $client $read_views $ranked '~request:*' '~limit:*' '&__redis__:invalidate' \
  $reads +eval +set +del +expire +hdel +hset +zadd +zrem +bitcount +rename +setbit +time

# headrace deliver
user headrace-deliver $client $read_views '~told:*' '&__redis__:invalidate' $reads \
  +del +expire +hset

# headrace erase, rebuild
user headrace-operator $client '~pos:*' '~feed:*' '~floor:*' '~shadow:*' $read_views $read_ranked \
  '%R~told:*' +eval +exists +get +hlen +scan +scard +zcard +zrange +del +expire +persist +rename \
  +set +zadd
