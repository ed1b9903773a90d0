"""
The Lua scripts behind placement: each one atomic step on the keys of all engines that share cells.

Time is the server's: engines need not agree on theirs. None of it is safety: who may commit to a
cell, its lease and token say.
"""

from typing import Final, NamedTuple

from adapters.redis_log.scripts import Script

# What stands in the braces: no cell can be called so, and the keys share one slot of a cluster.
SLOT: Final = ".placement"


class PlacementKeys(NamedTuple):
    """
    The keys of all engines under one prefix.

    Attributes
    ----------
    engines
        Hash: name -> 32 characters that tell runs of an engine apart, then its heartbeat.
    beats
        Sorted set: name -> until when the engine counts as alive, milliseconds since the Unix
        epoch.
    moves
        Hash: cell -> until when (0: until undone), a space, the engine it was put on.
    drains
        Hash: engine -> until when it is to have no cells (0: until undone).
    """

    engines: bytes
    beats: bytes
    moves: bytes
    drains: bytes

    @classmethod
    def of(cls, prefix: str) -> "PlacementKeys":
        """Keys under a prefix."""
        return cls(*(f"{prefix}:{{{SLOT}}}:{name}".encode() for name in cls._fields))


_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
"""
_ALL: Final = """
return {now, redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4])}
"""

# KEYS engines beats moves drains
# ARGV name, run, heartbeat, expiry ms, 1 where the run begins
BEAT: Final = Script.of(f"""
#!lua flags=allow-oom
{_NOW}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now))) do
  redis.call('ZREM', KEYS[2], name)
  redis.call('HDEL', KEYS[1], name)
end
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before and ARGV[5] ~= '1' and string.sub(before, 1, 32) ~= ARGV[2] then
  return redis.error_reply('REPLACED ' .. ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ARGV[3])
redis.call('ZADD', KEYS[2], text(now + ARGV[4]), ARGV[1])
{_ALL}
""")

# KEYS engines beats moves drains   ARGV name, run
LEAVE: Final = Script.of("""
#!lua flags=allow-oom
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or string.sub(before, 1, 32) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
""")

# KEYS engines beats moves drains
LOOK: Final = Script.of(f"""
#!lua flags=no-writes
{_NOW}
{_ALL}
""")

# KEYS moves or drains   ARGV field, for how many ms (0: until undone), what follows the time
PUT: Final = Script.of(f"""
#!lua
{_NOW}
local until_ms = '0'
if tonumber(ARGV[2]) > 0 then until_ms = text(now + ARGV[2]) end
redis.call('HSET', KEYS[1], ARGV[1], until_ms .. ARGV[3])
return until_ms
""")
