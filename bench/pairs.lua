-- A client that starts a push and stops it, again and again.  Each thread of wrk is one client, with ids of its own.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local round, step, first

function init(words)
  round, step, first = words[1], 0, true
end

function request()
  -- wrk asks the first thread for one request more than it sends, before the others.
  if first and number == 0 then
    step = -1
  end
  first = false
  step = step + 1
  local pair = math.floor((math.max(step, 1) + 1) / 2)
  local id = string.format("%s-%d-%d", round, number, pair)
  local app = "/v1/vhosts/default/apps/app"
  if math.max(step, 1) % 2 == 1 then
    local push = '{"id":"%s","stream":{"name":"none"},"protocol":"rtmp","url":"rtmp://127.0.0.1:9/live","streamKey":"k"}'
    return wrk.format("POST", app .. ":startPush", nil, string.format(push, id))
  end
  return wrk.format("POST", app .. ":stopPush", nil, string.format('{"id":"%s"}', id))
end
