"""
The scripts by which a cell is moved to Redis.

While they are at it the field `migration` stands in `meta`, beside no epoch: with it ACQUIRE
refuses the cell (`redis_log.scripts`). Its value is drawn anew by each migration, so that one that
was thought dead writes nothing once another has begun. The lease keeps a second one waiting.

They use no command that the engine itself does not, so that its user may run them.
"""

from typing import Final

from adapters.redis_log.scripts import Script

_IS_OURS: Final = """
if redis.call('HGET', KEYS[1], 'migration') ~= ARGV[1] then
  return redis.error_reply('FENCED by another migration')
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
"""

# KEYS meta lease log rows payloads replies   ARGV migration, owner, lease ms, source
BEGIN: Final = Script.of("""
#!lua
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then
  return {0, redis.call('PTTL', KEYS[2]), holder}
end
local kinds = {'hash', 'string', 'stream', 'hash', 'hash', 'stream'}
local found = 0
for i, kind in ipairs(kinds) do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= kind then
    return redis.error_reply('TAKEN ' .. KEYS[i] .. ' is a ' .. is)
  end
  if is ~= 'none' and i ~= 2 then found = found + 1 end
end
if found > 0 and not redis.call('HGET', KEYS[1], 'migration') then
  return redis.error_reply('TAKEN ' .. KEYS[1] .. ' or a key beside it is there already')
end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
redis.call('HSET', KEYS[1], 'migration', ARGV[1], 'source', ARGV[4])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
""")

# KEYS meta lease rows payloads   ARGV migration, owner, lease ms, changes as COMMIT takes them
PUT_ROWS: Final = Script.of(f"""
#!lua
local changes = cmsgpack.unpack(ARGV[4])
{_IS_OURS}
for i, key in ipairs({{KEYS[3], KEYS[4]}}) do
  local list = changes[i]
  for first = 1, #list, 3998 do
    redis.call('HSET', key, unpack(list, first, math.min(first + 3997, #list)))
  end
end
return 1
""")

# KEYS meta lease log or replies   ARGV migration, owner, lease ms, strings of one entry, entries:
# a list of strings, of each entry the id and what follows it
PUT_ENTRIES: Final = Script.of(f"""
#!lua
local list, width = cmsgpack.unpack(ARGV[5]), tonumber(ARGV[4])
{_IS_OURS}
for first = 1, #list, width do
  redis.call('XADD', KEYS[3], unpack(list, first, first + width - 1))
end
return 1
""")

# KEYS meta lease replies   ARGV migration, owner, lease ms, life of the replies in ms, then fields
# and values of meta
FINISH: Final = Script.of(f"""
#!lua
{_IS_OURS}
redis.call('HDEL', KEYS[1], 'migration', 'source')
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('DEL', KEYS[2])
return 1
""")

# KEYS meta lease log rows payloads replies   ARGV migration
ABANDON: Final = Script.of("""
#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'migration') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
redis.call('DEL', KEYS[1], KEYS[2])
return 1
""")
