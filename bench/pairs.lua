-- A client that starts a push and stops it, again and again.  Each thread of wrk is one client, with ids of its own.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local round, step, ahead

function init(words)
  -- wrk asks the first thread for its first request once more than it sends it.
  round, step, ahead = words[1], 1, number == 0
end

function request()
  local now = step
  if ahead then
    ahead = false
  else
    step = step + 1
  end
  local id = string.format("%s-%d-%d", round, number, math.floor((now + 1) / 2))
  local app = "/v1/vhosts/default/apps/app"
  if now % 2 == 1 then
    local push = '{"id":"%s","stream":{"name":"none"},"protocol":"rtmp","url":"rtmp://127.0.0.1:9/live","streamKey":"k"}'
    return wrk.format("POST", app .. ":startPush", nil, string.format(push, id))
  end
  return wrk.format("POST", app .. ":stopPush", nil, string.format('{"id":"%s"}', id))
end
