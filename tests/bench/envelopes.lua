-- envelopes.lua: what wrk posts: error events of about 4.2 KB with 25 frames, breadcrumbs and tags, each with an id of its own, of ISSUES issues.
-- wrk -s envelopes.lua URL -- KEY PROJECT ISSUES SALT
local threads = 0

function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
end

local function frames()
   local list = {}
   for i = 1, 25 do
      list[i] = string.format('{"function":"handle_%d","module":"shop.views.part_%d","filename":"shop/views/part_%d.py","lineno":%d,"in_app":%s,' ..
         '"context_line":"        total = basket.total(%d)"}', i, i, i, i * 7, i % 3 == 0 and "true" or "false", i)
   end
   return table.concat(list, ",")
end

local function crumbs()
   local list = {}
   for i = 1, 5 do
      list[i] = string.format('{"timestamp":1795219%03d.5,"category":"http","level":"info","message":"GET /basket/%d 200"}', i, i)
   end
   return table.concat(list, ",")
end

function init(args)
   key, project, issues, salt = args[1], args[2], tonumber(args[3]), args[4]
   path = "/api/" .. project .. "/envelope/"
   headers = {["X-Sentry-Auth"] = "Sentry sentry_version=7, sentry_client=bench/1, sentry_key=" .. key, ["Content-Type"] = "application/x-sentry-envelope"}
   tail = '","value":"basket 17 cannot be paid","stacktrace":{"frames":[' .. frames() .. ']}}]},"breadcrumbs":{"values":[' .. crumbs() ..
      ']},"tags":{"browser":"Firefox 140","region":"eu-west","plan":"team"},"user":{"id":"4711","email":"ann@example.com"},"platform":"python",' ..
      '"level":"error","transaction":"/basket/pay","release":"shop@4.2.0","environment":"production","server_name":"web-1",' ..
      '"sdk":{"name":"sentry.python","version":"2.75.0"}}\n'
   count = 0
end

function request()
   count = count + 1
   local id = string.format("%s%04x%012x", salt, number, count)
   return wrk.format("POST", path, headers, '{"event_id":"' .. id .. '"}\n{"type":"event"}\n{"event_id":"' .. id ..
      '","exception":{"values":[{"type":"Error' .. (count % issues) .. tail)
end

function response(status)
   if status == 200 then accepted = (accepted or 0) + 1 end
end
