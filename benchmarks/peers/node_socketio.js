// The chat of the tutorial on Socket.IO for Node.js as its documents show it; nothing is tuned.
//
// node node_socketio.js PORT      (with socket.io installed beside this file)
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { serveClient: false });

io.of("/chat").on("connection", (socket) => {
  socket.on("join", (user, ...rest) => {
    const ack = rest.pop();
    socket.data.user = user;
    socket.data.room = rest[0] ?? "lobby";
    socket.join(socket.data.room);
    ack(true, user);
  });
  socket.on("message", (text, ack) => {
    socket.to(socket.data.room).emit("message", { sender: socket.data.user, content: text });
    ack(true, text);
  });
});

http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
