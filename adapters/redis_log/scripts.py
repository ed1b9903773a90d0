"""
The Lua scripts behind a `RedisLog`: each one atomic step on the cell's keys.

Rules they all keep, because Redis does not undo what a script did before it failed:

- decode and check first, write last; the first write of a commit is the one that can be refused
- a retry that finds its group already there writes all the same: WAIT counts replicas up to the
  last write of the connection, and on Valkey 8 a script that only read leaves that mark where it
  was, so that WAIT would answer for a group no replica holds
- `#!lua` makes the server refuse a script as a whole, before its first line, on a replica, above
  `maxmemory`, with too few replicas or a failing disk

A token is 32 hexadecimal digits, so that it may stand in an error reply.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple

# Version of the keys below; what the rows in them mean is SCHEMA_VERSION.
LAYOUT_VERSION: Final = 1
# One call of `unpack` may put 8,000 values on Lua's stack.
_CHUNK: Final = 3_998
# Groups of events that one commit forgets at most, where they exceed the bound in bytes.
_FORGET_MAX: Final = 32


class Keys(NamedTuple):
    """The keys of one cell, all in one slot of a cluster."""

    meta: bytes
    lease: bytes
    log: bytes
    rows: bytes
    payloads: bytes
    replies: bytes

    @classmethod
    def of(cls, prefix: str, cell: str) -> "Keys":
        """Keys of a cell: the braces make a cluster look at the cell's name alone."""
        return cls(*(f"{prefix}:{{{cell}}}:{name}".encode() for name in cls._fields))


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script and the hash by which a server that has seen it runs it.

    Attributes
    ----------
    text
        Lua source.
    sha
        SHA-1 of the source, in hexadecimal.
    """

    text: bytes
    sha: bytes

    @classmethod
    def of(cls, text: str) -> "Script":
        """Script of a source."""
        source = text.strip().encode()
        return cls(source, hashlib.sha1(source).hexdigest().encode())


# KEYS meta lease log rows payloads replies
# ARGV owner, lease ms, schema and layout up to which this version reads, schema it writes, 1 where
#      the cell must be there
ACQUIRE: Final = Script.of(
    """
#!lua
local kinds = {'hash', 'string', 'stream', 'hash', 'hash', 'stream'}
local found = 0
for i, kind in ipairs(kinds) do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= kind then
    return redis.error_reply('STRANGER ' .. KEYS[i] .. ' is a ' .. is .. ', expected a ' .. kind)
  end
  if is ~= 'none' and i > 2 then found = found + 1 end
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[2]), holder}
end
local m = redis.call('HMGET', KEYS[1], 'epoch', 'schema', 'layout', 'migration')
if m[4] then return redis.error_reply('HALF ' .. KEYS[1] .. ' is of a migration') end
if not m[1] and found > 0 then
  return redis.error_reply('HEADLESS ' .. KEYS[1] .. ' is gone, other keys of the cell are not')
end
if not m[1] and ARGV[6] == '1' then
  return redis.error_reply('GONE ' .. KEYS[1] .. ' is gone, and was there')
end
if m[2] and tonumber(m[2]) > tonumber(ARGV[3]) then
  return redis.error_reply('NEWER schema ' .. m[2])
end
if m[3] and tonumber(m[3]) > tonumber(ARGV[4]) then
  return redis.error_reply('NEWER layout ' .. m[3])
end
redis.call('HSETNX', KEYS[1], 'sequence', 0)
redis.call('HSETNX', KEYS[1], 'token', string.rep('0', 32))
redis.call('HSETNX', KEYS[1], 'bytes', 0)
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
local schema = math.max(tonumber(m[2] or 0), tonumber(ARGV[5]))
redis.call('HSET', KEYS[1],
  'owner', ARGV[1], 'schema', string.format('%d', schema), 'layout', ARGV[4])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local at = redis.call('HMGET', KEYS[1], 'sequence', 'token')
return {epoch, tonumber(at[1]), at[2]}
"""
)

# KEYS meta lease log rows payloads replies
# ARGV 1 epoch, 2 expected token, 3 new token, 4 owner, 5 lease ms, 6 groups kept, 7 bytes of events
#      kept, 8 events, 9 changes, 10 replies, 11 first group whose replies are kept, 12 life of the
#      replies in ms, 13 schema that reads the changes
# Changes are a msgpack list of three lists: rows to set, payloads to set (each field, value, ...),
# fields gone.
COMMIT: Final = Script.of(f"""
#!lua
local m = redis.call('HMGET', KEYS[1], 'epoch', 'token', 'sequence', 'bytes', 'schema')
if m[1] ~= ARGV[1] then return redis.error_reply('FENCED ' .. tostring(m[1])) end
if m[2] == ARGV[3] then
  redis.call('HSET', KEYS[1], 'token', ARGV[3])
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
  return {{tonumber(m[3]), 1}}
end
if m[2] ~= ARGV[2] then
  return redis.error_reply('CONFLICT ' .. tostring(m[2]) .. ' ' .. tostring(m[3]))
end
local changes = cmsgpack.unpack(ARGV[9])
local rows, payloads, gone = changes[1], changes[2], changes[3]
local number = tonumber(m[3]) + 1
local sequence = string.format('%d', number)
local total = tonumber(m[4]) + #ARGV[8]
local function call_in_chunks(command, key, list)
  local first, count = 1, #list
  while first <= count do
    local last = math.min(first + {_CHUNK} - 1, count)
    redis.call(command, key, unpack(list, first, last))
    first = last + 1
  end
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], sequence .. '-0',
  't', ARGV[3], 'n', string.format('%.0f', total), 'e', ARGV[8])
redis.call('HSET', KEYS[1],
  'sequence', sequence, 'token', ARGV[3], 'bytes', string.format('%.0f', total))
if tonumber(ARGV[13]) > tonumber(m[5]) then redis.call('HSET', KEYS[1], 'schema', ARGV[13]) end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
call_in_chunks('HSET', KEYS[4], rows)
call_in_chunks('HSET', KEYS[5], payloads)
call_in_chunks('HDEL', KEYS[4], gone)
call_in_chunks('HDEL', KEYS[5], gone)
if #ARGV[10] > 0 then
  redis.call('XADD', KEYS[6], 'MINID', '~', ARGV[11] .. '-0', sequence .. '-0', 'r', ARGV[10])
  redis.call('PEXPIRE', KEYS[6], ARGV[12])
end
if number % 16 == 0 then
  local most = tonumber(ARGV[7])
  for _ = 1, {_FORGET_MAX} do
    local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
    local before = tonumber(oldest[2][4]) - #oldest[2][6]
    if total - before <= most or oldest[1] == sequence .. '-0' then break end
    redis.call('XDEL', KEYS[3], oldest[1])
  end
end
return {{number, 0}}
""")

# KEYS meta lease   ARGV epoch, owner, lease ms
RENEW: Final = Script.of("""
#!lua flags=allow-oom
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return redis.error_reply('FENCED ' .. tostring(epoch)) end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
""")

# KEYS meta lease   ARGV epoch
RELEASE: Final = Script.of("""
#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('DEL', KEYS[2])
return 1
""")
