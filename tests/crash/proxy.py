"""A TCP proxy with faults: it cuts a connection behind the n-th byte of either direction, stalls (open, and silent for ever), delays, resets.
One thread with an event loop of its own; everything public may be called from the test's thread."""
import asyncio
import random
import re
import socket
import struct
import threading

UP, DOWN = "up", "down"  # to the server, to the client
APPLICATION = re.compile(rb"application_name\0([^\0]*)\0")


class Cut:
    """A cut that is due: `n` bytes more in `direction` on a connection of `application`, then the end. n = 0: the next byte is not passed on."""

    def __init__(self, direction, n, how, application, act):
        self.direction, self.left, self.how, self.application, self.act = direction, n, how, application, act
        self.done = threading.Event()


class Link:
    """One client's connection and the one to the server."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.ends = {UP: server, DOWN: client}  # (reader, writer) by where bytes are written to
        self.application = b""
        self.record = {UP: bytearray(), DOWN: bytearray()}
        self.go = asyncio.Event()
        self.go.set()

    async def pump(self, direction):
        reader = self.ends[DOWN if direction == UP else UP][0]
        writer = self.ends[direction][1]
        try:
            while data := await reader.read(65536):
                await self.go.wait()
                if direction == UP and not self.application:
                    found = APPLICATION.search(data)
                    self.application = found.group(1) if found else b"?"
                if self.proxy.keeps:
                    self.record[direction] += data
                data, rest, cut = self.proxy.take_cut(self, direction, data)
                await self.pass_on(writer, data)
                if cut and cut.act:
                    await self.stand_still(cut.act)
                    cut.done.set()
                    await self.pass_on(writer, rest)
                elif cut:
                    self.end(cut.how)
                    cut.done.set()
                    return
            self.end("close")
        except (OSError, asyncio.IncompleteReadError):
            self.end("reset")

    async def pass_on(self, writer, data):
        if data:
            await self.proxy.bad_weather(self)
            await self.go.wait()
            writer.write(data)
            await writer.drain()

    async def stand_still(self, act):
        """Nothing moves in either direction while act() runs."""
        self.go.clear()
        await asyncio.get_running_loop().run_in_executor(None, act)
        self.go.set()

    def end(self, how):
        for _, writer in self.ends.values():
            if how == "reset" and (s := writer.get_extra_info("socket")) is not None and s.fileno() >= 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        self.go.set()
        self.proxy.links.discard(self)


class Proxy:
    def __init__(self, port, keeps=False):
        self.server_port = port
        self.keeps = keeps  # what passed, for whoever asks afterwards
        self.links, self.past = set(), []
        self.cut = None
        self.stalls_new = False
        self.delay, self.reset_share, self.stall_share = 0, 0, 0
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def _accept(self, reader, writer):
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        link = Link(self, (reader, writer), server)
        self.links.add(link)
        if self.keeps:
            self.past.append(link)
        if self.stalls_new:
            link.go.clear()
        await asyncio.gather(link.pump(UP), link.pump(DOWN))

    # ---- in the loop

    def take_cut(self, link, direction, data):
        """What may pass of the data, what is left of it, and the cut between the two, if one is due."""
        cut = self.cut
        if not cut or cut.direction != direction or not link.application.startswith(cut.application):
            return data, b"", None
        if len(data) < cut.left:
            cut.left -= len(data)
            return data, b"", None
        self.cut = None
        return data[:cut.left], data[cut.left:], cut

    async def bad_weather(self, link):
        if self.delay:
            await asyncio.sleep(random.uniform(0, self.delay))
        luck = random.random()
        if luck < self.reset_share:
            link.end("reset")
            raise ConnectionResetError
        if luck < self.reset_share + self.stall_share:
            link.go.clear()

    # ---- from the test

    def _call(self, function):
        async def call():
            return function()
        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    def cut_after(self, direction, n, how="close", application=b"", act=None):
        """Arms one cut; wait for .done. With `act` the connection is not cut: act() runs (in a thread) while nothing moves on it."""
        cut = Cut(direction, n, how, application, act)

        def arm():
            self.cut = cut
        self._call(arm)
        return cut

    def disarm(self):
        def disarm():
            self.cut = None
        self._call(disarm)

    def stall(self, new=False):
        """Whatever is open stays open and says nothing more; `new`: those to come, too."""
        def stall():
            self.stalls_new = new
            for link in self.links:
                link.go.clear()
        self._call(stall)

    def resume(self):
        def resume():
            self.stalls_new = False
            for link in self.links:
                link.go.set()
        self._call(resume)

    def forget_stalled(self):
        """Ends what is stalled, as a router does in the end."""
        self._call(lambda: [link.end("reset") for link in list(self.links) if not link.go.is_set()])

    def end_all(self, how="reset"):
        """Ends every connection at once, and tells whose they were."""
        def end_all():
            ended = list(self.links)
            for link in ended:
                link.end(how)
            return {link.application.decode() for link in ended}
        return self._call(end_all)

    def applications(self):
        """Whose connections are open."""
        return self._call(lambda: {link.application.decode() for link in self.links})

    def close(self):
        def close():
            self.server.close()
            for link in list(self.links):
                link.end("reset")
        self._call(close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()
